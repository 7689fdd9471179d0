"""Trials that work: configurations drawn from every space, kept where all that is searched is in a sensible range."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
DECENT_AUC = 0.8
"""Validation AUC from which a trial has shown that it was healthy."""


@dataclass(frozen=True)
class Healthy:
    """One trial of which no detector may say anything."""

    space: str
    backbone: str
    seed: int
    config: dict[str, Any]
    """Of the TrialConfig, where it is not the default."""

    @property
    def name(self) -> str:
        """What the space searched, in words."""
        words = " ".join(f"{name} {value:.3g}" for name, value in self.config.items())
        return f"{self.space}: {words}, {self.backbone}, seed {self.seed}"


def drawn(backbones: dict[str, int], seeds: int, each: int) -> list[Healthy]:
    """`each` trials of every space, backbone and seed. backbones: name to number of blocks."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # nobody needs to read that a study was created
    cells = itertools.product(search_spaces.names(), backbones, range(seeds))
    return [
        Healthy(space, backbone, seed, config)
        for number, (space, backbone, seed) in enumerate(cells)
        for config in itertools.islice(_sensible(space, backbones[backbone], number), each)
    ]


def _sensible(space: str, blocks: int, draw: int) -> Iterator[dict[str, Any]]:
    """The space's own suggestions at random, without end, those left out that are not all in a sensible range."""
    searched = search_spaces.load(space)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(draw))
    while True:
        trial = study.ask()
        config = searched.suggest(trial, blocks)
        if all(low <= config.get(name, low) <= high for name, (low, high) in SENSIBLE.items()):
            yield {name: value for name, value in config.items() if name in TrialConfig.names()}
