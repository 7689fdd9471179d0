"""How much of the backbone should be trained, and how gently?

From the head alone (0 blocks) to all of the backbone. How gently is asked only where something of it is trained.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial, blocks: int) -> dict[str, Any]:
    """The last so many of the backbone's blocks, and their learning rate over the head's, by its logarithm."""
    values: dict[str, Any] = {"trainable_blocks": trial.suggest_int("trainable_blocks", 0, blocks)}
    if values["trainable_blocks"] > 0:
        values["backbone_lr_ratio"] = trial.suggest_float("backbone_lr_ratio", 1e-3, 1.0, log=True)
    return values
