"""Which learning rate, temperature, threshold and degree of freezing work best together?

All four questions at once, over the ranges of the spaces that ask them singly; of the temperature's only the part in
which models are known to learn well. They are written out here, so that a copy of this file is a space of your own.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial, blocks: int) -> dict[str, Any]:
    """Four parameters, and a fifth, `backbone_lr_ratio`, only where something of the backbone is trained."""
    values: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "temperature": trial.suggest_float("temperature", 0.01, 1.0, log=True),
        "threshold": trial.suggest_float("threshold", -0.5, 1.0),
        "trainable_blocks": trial.suggest_int("trainable_blocks", 0, blocks),
    }
    if values["trainable_blocks"] > 0:
        values["backbone_lr_ratio"] = trial.suggest_float("backbone_lr_ratio", 1e-3, 1.0, log=True)
    return values
