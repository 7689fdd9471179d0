"""How sharp should the contrastive loss be?

The temperature divides every cosine before the softmax: a low one makes the hardest negatives count, a high one lets
all of them count alike. 0.05 to 0.5 are in use; the range goes far beyond, so that an optimum is seen from both sides:
at 10 hardly anything is learnt.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Temperature alone, by its logarithm."""
    return {"temperature": trial.suggest_float("temperature", 0.01, 10.0, log=True)}
