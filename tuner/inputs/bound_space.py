"""What a search needs to know of its space: which configurations it gives, the default one among them, and their seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import Trial

from search_spaces import SearchSpace
from trainable.config import TrialConfig

DEFAULT_THRESHOLD = 0.5
"""The threshold of the default configuration: the broken run's."""


@dataclass(frozen=True)
class BoundSpace:
    """What a search needs to know of its space: what is searched, and what else the trials have in common."""

    space: SearchSpace
    fixed: TrialConfig
    blocks: int
    searched: tuple[str, ...]
    """TrialConfig's names that differ between the space's configurations."""
    distributions: dict[str, optuna.distributions.BaseDistribution]
    """Of the space's parameters, by name."""

    @property
    def cuts(self) -> list[int | None]:
        """Every value of trainable_blocks that a trial can have."""
        fixed = self.fixed.trainable_blocks
        return [fixed, *range(self.blocks + 1)] if "trainable_blocks" in self.searched else [fixed]

    def configure(self, trial: Trial, run_seed: int) -> dict[str, Any]:
        """The values of one suggestion, with the seed that follows from the run's and from all that training depends on.

        Equal trainings get equal seeds: two configurations that differ in the threshold only train the same model.
        """
        given = self.space.suggest(trial, self.blocks)
        return self.seeded({**_values(self.fixed), **given}, run_seed)

    @property
    def default(self) -> dict[str, Any]:
        """The default configuration's values, without the trial's own seed and what the space fixes for all trials."""
        values = _values(self.fixed)
        return values | {"threshold": DEFAULT_THRESHOLD if values["threshold"] is None else values["threshold"]}

    def in_study(self, values: dict[str, Any]) -> dict[str, Any]:
        """Of these values, those that the space suggests under their own name and that it can hold as they are."""
        wanted = values | {
            "trainable_blocks": self.blocks if values["trainable_blocks"] is None else values["trainable_blocks"]
        }
        found = {name: wanted[name] for name in self.distributions if name in wanted}
        return {name: value for name, value in found.items() if can_hold(self.distributions[name], value)}

    def seeded(self, values: dict[str, Any], run_seed: int) -> dict[str, Any]:
        """The values with the trial's own seed; the whole backbone written as its number of blocks becomes None."""
        if values["trainable_blocks"] == self.blocks:
            values = {**values, "trainable_blocks": None}
        key = TrialConfig.of({**values, "seed": run_seed}).training_key()
        return {**values, "seed": int(key, 16) % 2**31}


def _values(config: TrialConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in TrialConfig.names()}


def can_hold(distribution: optuna.distributions.BaseDistribution, value: Any) -> bool:
    """Whether the value is one that the distribution can suggest."""
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return value in distribution.choices
    if value is None or not distribution.low <= value <= distribution.high:
        return False
    steps = (value - distribution.low) / distribution.step if distribution.step else 0
    return math.isclose(steps, round(steps), abs_tol=1e-8)
