"""Which learning rate, temperature and freezing, the threshold solved? The joint space, as far as a problem has its parts."""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial, blocks: int) -> dict[str, Any]:
    """Two numbers, and where blocks can be trained how many, and their learning rate over the head's."""
    values: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "temperature": trial.suggest_float("temperature", 0.01, 1.0, log=True),
    }
    if blocks > 0:
        values["trainable_blocks"] = trial.suggest_int("trainable_blocks", 0, blocks)
    if values.get("trainable_blocks"):
        values["backbone_lr_ratio"] = trial.suggest_float("backbone_lr_ratio", 1e-3, 1.0, log=True)
    return values
