"""Make the tables of `search_quality`: python -m benchmarks.quality_training. Hours of a core, once; it can be interrupted.

Each problem's configurations are a Sobol sequence over the ranges of the joint space, the default first. Every one is
trained with several seeds; after every epoch the pool's pairs are scored and kept. Any beginning of the sequence covers the
ranges evenly, so the tables are usable while they are made: all problems get a few configurations before any gets many.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import qmc

from benchmarks.quality_problems import PROBLEMS, Problem, load
from trainable.config import Settings, TrialConfig
from trainable.errors import InputError
from trainable.model import features
from trainable.process import prepare_process
from trainable.training.loop import Training

LEARNING_RATE, TEMPERATURE, RATIO = (1e-5, 1e-1), (0.01, 1.0), (1e-3, 1.0)
"""The joint space's ranges, all by their logarithms."""


@dataclass(frozen=True)
class TrainingOptions:
    """Train the configurations that search_quality replays, and keep their scores."""

    cache: str | None = None
    """Folder below which tables and rendered images are kept; none: the user's cache folder."""
    shared: str = "../shared"
    """Folder with data/ and weights/ of the real sets."""
    problems: tuple[str, ...] = tuple(problem.name for problem in PROBLEMS)
    """Which problems."""
    configurations: int = 256
    """Of the Sobol sequence, for each problem, besides the default."""
    first: int = 64
    """So many for all problems before any gets twice as many."""
    seeds: int = 2
    """Trainings of each configuration."""

    def check(self) -> None:
        """InputError for values that cannot be."""
        known = [problem.name for problem in PROBLEMS]
        unknown = sorted(set(self.problems) - set(known))
        if unknown:
            raise InputError(f"--problems names {', '.join(unknown)}; valid are: {', '.join(known)}. Correct it.")
        for name in ("configurations", "first", "seeds"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}; valid is a whole number from 1. Give one.")


def configurations(problem: Problem, count: int) -> list[dict[str, Any]]:
    """The default's values, then `count` Sobol points; the same beginning for every count."""
    default = {"learning_rate": 3e-3, "temperature": 0.07, "trainable_blocks": problem.blocks, "backbone_lr_ratio": 1.0}
    drawn = qmc.Sobol(4 if problem.blocks else 2, scramble=True, rng=1).random_base2(max(0, (count - 1).bit_length()))
    return [default, *(_values(point, problem.blocks) for point in drawn[:count])]


def _values(point: np.ndarray, blocks: int) -> dict[str, Any]:
    """The configuration at a point of the unit cube."""
    rate, temperature = (_log(at, span) for at, span in zip(point[:2], (LEARNING_RATE, TEMPERATURE), strict=True))
    trained = min(blocks, int(point[2] * (blocks + 1))) if blocks else 0
    ratio = _log(point[3], RATIO) if trained else 1.0
    return {
        "learning_rate": rate,
        "temperature": temperature,
        "trainable_blocks": trained,
        "backbone_lr_ratio": ratio,
    }


def _log(at: float, span: tuple[float, float]) -> float:
    return float(span[0] * (span[1] / span[0]) ** at)


def trial_file(problem: Problem, cache: Path, configuration: int, seed: int) -> Path:
    """Where the epochs of one training are kept."""
    return problem.folder(cache) / "trials" / f"{configuration:04d}-{seed}.parquet"


class Trainer:
    """One problem, its images and features in memory."""

    def __init__(self, problem: Problem, cache: Path, shared: Path) -> None:
        self.problem, self._cache = problem, cache
        data, self._backbone = load(problem, cache, shared)
        cuts = features.cacheable_cuts(self._backbone, range(problem.blocks + 1))
        self._data = dataclasses.replace(data, features=features.extract(self._backbone, data.pixels, cuts))
        self._settings = Settings(metric="val_auc")

    def train(self, configuration: int, values: dict[str, Any], seed: int) -> None:
        """Train one configuration and keep its epochs; nothing if that was done."""
        path = trial_file(self.problem, self._cache, configuration, seed)
        if path.is_file():
            return
        config = TrialConfig(**values, epochs=self.problem.epochs, seed=10_000 * seed + configuration)
        rows = [{"configuration": configuration, "seed": seed, **values, **epoch} for epoch in self._epochs(config)]
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        pq.write_table(pa.Table.from_pylist(rows), draft)
        draft.rename(path)

    def _epochs(self, config: TrialConfig) -> Iterator[dict[str, Any]]:
        """What each epoch came to; scores are of the pool's pairs, validation pairs first, as pairs.csv has them."""
        training = Training(config, self._backbone, self._data, self._settings)
        while not training.finished:
            report = training.epoch()
            unseen, _ = training.score(self._data.rows("test"))
            scores = np.concatenate([report.scores, unseen]).astype(np.float32)
            yield {"epoch": report.epoch, "sick": report.sick, "epoch_s": report.epoch_s, "scores": scores}


def rounds(first: int, last: int) -> list[int]:
    """How many configurations every problem is to have, round by round: doubled until `last`."""
    counts = [min(first, last)]
    while counts[-1] < last:
        counts.append(min(2 * counts[-1], last))
    return counts


def make(options: TrainingOptions, cache: Path) -> None:
    """Train whatever is missing."""
    prepare_process(1)
    for count in rounds(options.first, options.configurations):
        for problem in (problem for problem in PROBLEMS if problem.name in options.problems):
            started = time.perf_counter()
            fill(problem, cache, Path(options.shared), count, options.seeds)
            took = time.perf_counter() - started
            print(f"{problem.name}: default + {count} configurations × {options.seeds} seeds, {took:.0f} s", flush=True)


def fill(problem: Problem, cache: Path, shared: Path, count: int, seeds: int) -> None:
    """Train the default and the first `count` configurations with each seed, as far as that was not done."""
    trainer = Trainer(problem, cache, shared)
    for number, values in enumerate(configurations(problem, count)):
        for seed in range(seeds):
            trainer.train(number, values, seed)


def main(arguments: list[str] | None = None) -> int:
    """The command; exit code 2 for bad input."""
    import tyro

    from tuner.cli.values import cache_folder

    options = tyro.cli(TrainingOptions, args=arguments, description=__doc__)
    try:
        options.check()
        make(options, cache_folder(options.cache))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
