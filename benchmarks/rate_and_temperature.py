"""Which learning rate and temperature? The space of every benchmark: all sides can train all of it without falling sick."""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Two numbers, each by its logarithm."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True),
        "temperature": trial.suggest_float("temperature", 0.05, 0.5, log=True),
    }
