"""Trials that work: configurations drawn from every space, kept where all that is searched is in a sensible range."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

import search_spaces
from trainable.config import TrialConfig

SENSIBLE: dict[str, tuple[float, float]] = {
    "learning_rate": (5e-4, 1e-2),
    "temperature": (0.03, 0.5),
    "threshold": (0.3, 0.8),
    "trainable_blocks": (3, 99),
    "backbone_lr_ratio": (0.3, 1.0),
}
"""Lowest and highest value. Chosen by the validation AUC that trials reach from random weights, never by what was said."""
FREEZING: dict[str, int | None] = {"head only": 0, "last block": 1, "all": None}
"""What is trained on real sets, in words, and its `trainable_blocks`."""
HEAD_RATES, FINE_TUNED_RATES = SENSIBLE["learning_rate"], (2e-4, 3e-3)
"""Lowest and highest learning rate there, where the head or the last block is trained, and where all is."""
DECENT_AUC = 0.8
"""Validation AUC from which a trial has shown that it was healthy."""


@dataclass(frozen=True)
class Healthy:
    """One trial of which no detector may say anything."""

    space: str
    """The space it was drawn from; of a real set, how much of its backbone is trained."""
    setting: str
    """The name of its data and backbone."""
    seed: int
    config: dict[str, Any]
    """Of the TrialConfig, where it is not the default."""

    @property
    def name(self) -> str:
        """What the space searched, in words."""
        words = " ".join(f"{name} {value:.3g}" for name, value in self.config.items() if value is not None)
        return f"{self.space}: {words}, {self.setting}, seed {self.seed}"


def drawn(blocks: dict[str, int], seeds: int, each: int) -> list[Healthy]:
    """`each` trials of every space, setting and seed. blocks: a setting's name to its backbone's number of blocks."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # nobody needs to read that a study was created
    cells = itertools.product(search_spaces.names(), blocks, range(seeds))
    return [
        Healthy(space, setting, seed, config)
        for number, (space, setting, seed) in enumerate(cells)
        for config in itertools.islice(_sensible(space, blocks[setting], number), each)
    ]


def of_real_sets(settings: Iterable[str], each: int) -> list[Healthy]:
    """`each` trials of every setting with only the head, the last block, or all trained; rates and temperatures at random."""
    draw = np.random.default_rng(16)
    cells = itertools.product(settings, FREEZING.items(), range(each))
    return [Healthy(words, setting, seed, _fine_tuned(blocks, draw)) for setting, (words, blocks), seed in cells]


def _fine_tuned(blocks: int | None, draw: np.random.Generator) -> dict[str, Any]:
    """Rates for trained weights: where all blocks move, they move in smaller steps than a head that is new."""
    low, high = FINE_TUNED_RATES if blocks is None else HEAD_RATES
    rate = float(np.exp(draw.uniform(np.log(low), np.log(high))))
    temperature = float(np.exp(draw.uniform(*np.log(SENSIBLE["temperature"]))))
    return {"trainable_blocks": blocks, "learning_rate": rate, "temperature": temperature}


def _sensible(space: str, blocks: int, draw: int) -> Iterator[dict[str, Any]]:
    """The space's own suggestions at random, without end, those left out that are not all in a sensible range."""
    searched = search_spaces.load(space)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(draw))
    while True:
        trial = study.ask()
        config = searched.suggest(trial, blocks)
        if all(low <= config.get(name, low) <= high for name, (low, high) in SENSIBLE.items()):
            yield {name: value for name, value in config.items() if name in TrialConfig.names()}
