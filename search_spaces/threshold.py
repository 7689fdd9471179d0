"""From which similarity on should two views count as the same thing?

Cosines reach from -1 to 1, but training pushes different things to 0 or little below, and no further: below -0.5 every
threshold accepts all pairs alike. Above, the whole range is asked, because a collapsed model has its scores close to 1.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Threshold alone. It changes no training: what is trained once answers every threshold."""
    return {"threshold": trial.suggest_float("threshold", -0.5, 1.0)}
