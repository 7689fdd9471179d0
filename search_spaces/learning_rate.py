"""How fast can the model learn before it breaks?

From where AdamW hardly moves in a few epochs to where it diverges, so that both edges of the working range are found.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Learning rate alone, by its logarithm."""
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)}
