"""A temperature that is learnt with the weights, as CLIP learns its own: the searched or given one is its start."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from trainable.config import TrialConfig

LOWEST = 0.01
"""It falls no lower, unless it started there: below, the loss is all about single pairs. Source: Radford 2021 (CLIP), whose
scale is clipped at 100."""


class LearntTemperature:
    """The logarithm of a training's temperature: a parameter of its optimiser where its rate is above 0, else None."""

    def __init__(self, config: TrialConfig, device: torch.device) -> None:
        self._config, self.logarithm = config, None
        if config.temperature_lr_ratio:
            self.logarithm = nn.Parameter(torch.tensor(math.log(config.temperature), device=device))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimiser's group, without decay, which would draw the temperature to 1; none where it stays as it is."""
        rate = self._config.learning_rate * self._config.temperature_lr_ratio
        found = [{"name": "temperature", "params": [self.logarithm], "lr": rate, "weight_decay": 0.0}]
        return [] if self.logarithm is None else found

    def stepped(self) -> None:
        """After a step of the optimiser: back into its range."""
        if self.logarithm is not None:
            self.logarithm.data.clamp_(min=math.log(min(LOWEST, self._config.temperature)))

    def state(self) -> float | None:
        """What `restore` takes."""
        return None if self.logarithm is None else self.logarithm.item()

    def restore(self, state: float | None) -> None:
        """Go on from what `state` gave."""
        if self.logarithm is not None and state is not None:
            self.logarithm.data.fill_(state)
