"""The learning rate over a training: it warms up, then falls."""

from __future__ import annotations

import math

from trainable.config import TrialConfig


def learning_rate_factor(step: int, steps_per_epoch: int, config: TrialConfig) -> float:
    """Of the learning rate at a step, counted from 0: linear warm-up, then cosine decay to zero."""
    total, warmup = config.epochs * steps_per_epoch, config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))
