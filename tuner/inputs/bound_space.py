"""What a search needs to know of its space: which configurations it gives, the default one among them, and their seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from search_spaces import SearchSpace
from trainable.config import OWN, STARTS_FROM, Choice, TrialConfig
from trainable.measures import AT_A_THRESHOLD

DEFAULT_THRESHOLD = 0.5
"""The threshold of the default configuration: the broken run's."""


class Origin(NamedTuple):
    """What a trial starts from, with nothing left to the run: by the names of STARTS_FROM."""

    backbone: str = ""
    image_size_px: int = 0
    views: int = 1
    view_strength: float | None = None


@dataclass(frozen=True)
class BoundSpace:
    """A space bound to a run: what is searched, and what else the trials have in common."""

    space: SearchSpace
    fixed: TrialConfig
    blocks: int
    searched: tuple[str, ...]
    """TrialConfig's names that differ between the space's configurations."""
    distributions: dict[str, BaseDistribution]
    """Of the space's parameters, by name."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """What the run says of STARTS_FROM, for configurations that leave it to the run."""
    choices: tuple[Choice, ...] = (OWN,)
    """All that trials can start from; what the default does comes first."""
    blocks_of: Mapping[str, int] = field(default_factory=dict)
    """The number of blocks of each backbone that trials can have; `blocks` is the smallest of them."""

    @property
    def cuts(self) -> list[int | None]:
        """Every value of trainable_blocks that a trial can have."""
        fixed = self.fixed.trainable_blocks
        return [fixed, *range(self.blocks + 1)] if "trainable_blocks" in self.searched else [fixed]

    def configure(self, trial: Trial, run_seed: int) -> TrialConfig:
        """The configuration of one suggestion, with the seed that follows from the run's and from all that training
        depends on.

        Equal trainings get equal seeds: two configurations that differ in the threshold only train the same model.
        """
        given = self.space.suggest(trial, self.blocks)
        return self.seeded(TrialConfig.of({**dataclasses.asdict(self.fixed), **given}), run_seed)

    @property
    def default(self) -> TrialConfig:
        """The default configuration, without the trial's own seed and what the space fixes for all trials."""
        threshold = DEFAULT_THRESHOLD if self.fixed.threshold is None else self.fixed.threshold
        return self.started(dataclasses.replace(self.fixed, threshold=threshold))

    def started(self, config: TrialConfig) -> TrialConfig:
        """The configuration, with what is searched of STARTS_FROM written out, and no strength of views that it has not."""
        left_out = [name for name in STARTS_FROM if name in self.searched and getattr(config, name) is None]
        written: dict[str, Any] = {name: self.own.get(name) for name in left_out}
        config = dataclasses.replace(config, **written)
        views = self.own.get("views") if config.views is None else config.views
        return config if (views or 1) > 1 else dataclasses.replace(config, view_strength=None)

    def origin(self, choice: Choice) -> Origin:
        """What a choice comes to in this run."""
        said = zip(STARTS_FROM, choice, strict=True)
        values: dict[str, Any] = {name: self.own.get(name) if value is None else value for name, value in said}
        found = Origin(**values)
        return found if (found.views or 1) > 1 else found._replace(view_strength=None)

    def count(self, config: TrialConfig) -> int:
        """The number of blocks of the configuration's backbone."""
        return self.blocks_of.get(self.origin(config.start).backbone, self.blocks)

    def ranked_by(self, metric: str) -> str:
        """What trials are ranked by where this metric is asked for: accuracy, if they differ in nothing but the threshold and
        the metric knows none."""
        alone = self.searched == ("threshold",)
        return "val_accuracy" if alone and metric not in AT_A_THRESHOLD else metric

    @property
    def ranges(self) -> dict[str, str]:
        """In words, what the space can give each searched parameter that it suggests under its own name."""
        return {name: in_words(d) for name, d in self.distributions.items() if name in self.searched}

    def in_study(self, config: TrialConfig) -> dict[str, Any]:
        """Of the configuration, what the space suggests under its own name and can hold as it is, for Optuna."""
        wanted = dataclasses.asdict(config)
        if config.trainable_blocks is None:
            wanted["trainable_blocks"] = self.count(config)
        found = {name: wanted[name] for name in self.distributions if name in wanted}
        return {name: value for name, value in found.items() if can_hold(self.distributions[name], value)}

    def seeded(self, config: TrialConfig, run_seed: int) -> TrialConfig:
        """The configuration with the trial's own seed; the whole backbone written as its number of blocks becomes None."""
        config = self.started(config)
        if config.trainable_blocks == self.count(config):
            config = dataclasses.replace(config, trainable_blocks=None)
        key = dataclasses.replace(config, seed=run_seed).training_key()
        return dataclasses.replace(config, seed=int(key, 16) % 2**31)


def in_words(distribution: BaseDistribution) -> str:
    """What a distribution can give.

    >>> in_words(FloatDistribution(1e-5, 0.1, log=True)), in_words(CategoricalDistribution([32, 64]))
    ('1e-05 to 0.1, logarithmic', '32, 64')
    """
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return str(distribution)
    step = f", in steps of {distribution.step:g}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low:g} to {distribution.high:g}{', logarithmic' if distribution.log else ''}{step}"


def can_hold(distribution: BaseDistribution, value: Any) -> bool:
    """Whether the value is one that the distribution can suggest."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return False
    if value is None or not distribution.low <= value <= distribution.high:
        return False
    steps = (value - distribution.low) / distribution.step if distribution.step else 0
    return math.isclose(steps, round(steps), abs_tol=1e-8)
