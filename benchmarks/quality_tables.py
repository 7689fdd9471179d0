"""The tables that `search_quality` replays: what every configuration came to, judged on validation sets drawn from the pool."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from scipy.stats import rankdata

from benchmarks.quality_problems import Problem
from benchmarks.quality_training import LEARNING_RATE, RATIO, TEMPERATURE
from trainable.errors import InputError
from trainable.metrics import thresholds

_PARAMETERS = ("learning_rate", "temperature", "trainable_blocks", "backbone_lr_ratio")


class Epoch(NamedTuple):
    """One epoch of one training in a table."""

    configuration: int
    seed: int
    epoch: int


class Table:
    """All trainings of one problem: configurations × seeds × epochs × scores of the pool's pairs.

    A table that is still being made is as long as its complete beginning. limit: use no more configurations than that,
    besides the default. InputError where there is nothing.
    """

    def __init__(self, problem: Problem, cache: Path, limit: int | None = None) -> None:
        self.problem = problem
        folder = problem.folder(cache)
        rows = _rows(folder, problem)
        self.seeds = int(rows.seed.max()) + 1
        complete = (
            rows.groupby("configuration").seed.nunique().reindex(range(rows.configuration.max() + 1), fill_value=0)
        )
        usable = int((complete == self.seeds).cumprod().sum())
        rows = rows[rows.configuration < (usable if limit is None else min(usable, limit + 1))]
        first = rows.drop_duplicates("configuration").sort_values("configuration")
        columns = {name: first[name].tolist() for name in _PARAMETERS}
        self.configurations: list[dict[str, Any]] = [
            dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
        ]
        keys = list(zip(rows.configuration, rows.seed, rows.epoch, strict=True))
        self._scores: dict[Epoch, np.ndarray] = {
            Epoch(*map(int, k)): scores for k, scores in zip(keys, rows.scores, strict=True)
        }
        why = rows.sick.astype(object).where(rows.sick.notna(), None)
        self._sick: dict[Epoch, str | None] = {Epoch(*map(int, k)): w for k, w in zip(keys, why, strict=True)}
        self._last: dict[tuple[int, int], int] = {}
        for at in sorted(self._scores):
            self._last[at.configuration, at.seed] = at.epoch
        pairs = pd.read_csv(folder / "pairs.csv")
        pool = pd.concat([pairs[pairs.split == "val"], pairs[pairs.split == "test"]])  # the order of the scores
        self.labels = pool.pair_label.to_numpy()
        self.front_identity, self.angle_identity = pool.front_identity.to_numpy(), pool.angle_identity.to_numpy()
        self.cells = pool.cell.to_numpy()
        self._points = np.array([self._point(values) for values in self.configurations])

    def scores(self, at: Epoch) -> np.ndarray:
        """(pool pairs,) float32."""
        return self._scores[at]

    def sick(self, at: Epoch) -> str | None:
        """Why the training ended there, if it did before its time."""
        return self._sick[at]

    def last_epoch(self, configuration: int, seed: int) -> int:
        """The training's last epoch: of a sick one before the problem's."""
        return self._last[configuration, seed]

    def last_epochs(self) -> list[Epoch]:
        """The last one of every training."""
        return [Epoch(configuration, seed, epoch) for (configuration, seed), epoch in self._last.items()]

    def seed_of(self, repetition: int, configuration: int) -> int:
        """The seed with which a repetition trains a configuration: drawn, and the same for every method."""
        return int(np.random.default_rng([11, repetition, configuration]).integers(self.seeds))

    def nearest(self, values: dict[str, Any]) -> int:
        """The tabulated configuration nearest to `values`, whatever it is that proposes them: of those with as many
        trainable_blocks, in the logarithms of the others, each over its range; backbone_lr_ratio counts where it acts."""
        point = self._point(values)
        gaps = np.square(self._points[:, :3] - point[:3]).sum(axis=1)
        gaps[self._points[:, 3] != point[3]] = np.inf
        return int(np.argmin(gaps))

    def _point(self, values: dict[str, Any]) -> np.ndarray:
        blocks = values.get("trainable_blocks", 0)
        blocks = self.problem.blocks if blocks is None else int(blocks)
        ratio = _place(values["backbone_lr_ratio"], RATIO) if blocks and values.get("backbone_lr_ratio") else 0.0
        rate, temperature = _place(values["learning_rate"], LEARNING_RATE), _place(values["temperature"], TEMPERATURE)
        return np.array([rate, temperature, ratio, blocks])

    @functools.cached_property
    def pool_auc(self) -> dict[Epoch, float]:
        """Of every epoch, on all of the pool's pairs: what it is worth, nearly without noise; NaN of a sick one."""
        return {at: auc(scores, self.labels) for at, scores in self._scores.items()}

    @functools.cached_property
    def best_known_auc(self) -> float:
        """Of the best configuration, at its last epoch, mean over its seeds."""
        found = defaultdict(list)
        for (configuration, seed), epoch in self._last.items():
            healthy = epoch == self.problem.epochs
            found[configuration].append(self.pool_auc[Epoch(configuration, seed, epoch)] if healthy else math.nan)
        means = [float(np.mean(values)) for values in found.values()]
        return float(np.nanmax(means))

    @functools.cached_property
    def good_models(self) -> list[tuple[Epoch, float]]:
        """The last epochs that are best on the whole pool, 32 at most, and the thresholds that are best for them there."""
        ranked = sorted(self.last_epochs(), key=lambda at: (math.isnan(self.pool_auc[at]), -self.pool_auc[at]))
        chosen = ranked[: min(32, max(1, len(ranked) // 4))]
        return [(at, thresholds.best_threshold(self.scores(at), self.labels).value) for at in chosen]


class ValidationSet:
    """Some of the pool's cells as validation pairs, the others unseen. Everything is computed once it is asked for."""

    def __init__(self, table: Table, identities: int, number: int) -> None:
        self._table = table
        order = np.random.default_rng([13, number]).permutation(np.unique(table.cells))
        sizes = pd.Series(table.front_identity).groupby(table.cells).nunique()
        chosen = order[: int(np.searchsorted(np.cumsum(sizes[order].to_numpy()), identities)) + 1]
        self.rows = np.flatnonzero(np.isin(table.cells, chosen))
        self.unseen = np.flatnonzero(~np.isin(table.cells, chosen))
        left = order[len(chosen) :]
        self.halves = [np.flatnonzero(np.isin(table.cells, cells)) for cells in (left[::2], left[1::2])]
        """The unseen pairs in two halves that share no identity."""
        self.labels = table.labels[self.rows]
        self.front_identity, self.angle_identity = table.front_identity[self.rows], table.angle_identity[self.rows]
        self.auc = functools.cache(self._auc)
        self.accuracy = functools.cache(self._accuracy)
        self.threshold = functools.cache(self._threshold)
        self.unseen_auc = functools.cache(self._unseen_auc)
        self.unseen_accuracy = functools.cache(self._unseen_accuracy)

    def scores(self, at: Epoch) -> np.ndarray:
        """(validation pairs,) float32."""
        return self._table.scores(at)[self.rows]

    @functools.cached_property
    def easier(self) -> tuple[float, float]:
        """By how much accuracy and AUC are higher on these validation pairs than on the unseen ones, for the same models.

        Mean over the table's good models, chosen and cut at thresholds without regard to this set: over many sets its mean
        is 0. What a promise is too high by, less this, has the same mean and a fraction of the noise.
        """
        gaps = []
        for at, threshold in self._table.good_models:
            scores, labels = self._table.scores(at), self._table.labels
            seen, unseen = (thresholds.accuracy_at(scores[r], labels[r], threshold) for r in (self.rows, self.unseen))
            gaps.append((seen - unseen, self.auc(at) - self.unseen_auc(at)))
        accuracy, area = np.mean(gaps, axis=0)
        return float(accuracy), float(area)

    def _auc(self, at: Epoch) -> float:
        return auc(self.scores(at), self.labels)

    def _accuracy(self, at: Epoch) -> float:
        """At solved thresholds, cross-fitted, as a training reports it; NaN of scores that are not finite."""
        scores = self.scores(at)
        if not np.isfinite(scores).all():
            return math.nan
        return thresholds.cross_fitted(scores, self.labels, self.front_identity, self.angle_identity).accuracy

    def accuracy_on_half(self, at: Epoch, half: int) -> float:
        """Of unseen pairs, at the threshold that was solved on the validation pairs."""
        rows = self.halves[half]
        return thresholds.accuracy_at(self._table.scores(at)[rows], self._table.labels[rows], self.threshold(at))

    def _threshold(self, at: Epoch) -> float:
        return thresholds.best_threshold(self.scores(at), self.labels).value

    def _unseen_auc(self, at: Epoch) -> float:
        return auc(self._table.scores(at)[self.unseen], self._table.labels[self.unseen])

    def _unseen_accuracy(self, at: Epoch) -> float:
        """At the threshold that was solved on the validation pairs."""
        scores, labels = self._table.scores(at)[self.unseen], self._table.labels[self.unseen]
        return thresholds.accuracy_at(scores, labels, self.threshold(at))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve, half credit for ties, by ranks: Mann and Whitney's. NaN of scores that are not finite."""
    if not np.isfinite(scores).all():
        return math.nan
    positive = labels == 1
    count = int(positive.sum())
    rank_sum = float(rankdata(scores)[positive].sum())
    return (rank_sum - count * (count + 1) / 2) / (count * (len(labels) - count))


def _rows(folder: Path, problem: Problem) -> pd.DataFrame:
    """One row an epoch; scores as arrays."""
    files = sorted(str(path) for path in (folder / "trials").glob("*.parquet"))
    if not files:
        raise InputError(
            f"the problem {problem.name} has no tables below {folder}; valid is a cache in which python -m "
            "benchmarks.quality_training has run. Run it, or name that cache with --cache."
        )
    schema = ds.dataset(files[0]).schema
    at = schema.get_field_index("sick")
    schema = schema.set(at, schema.field(at).with_type(pa.string()))  # where nothing is sick its type is null
    rows: pd.DataFrame = ds.dataset(files, schema=schema).to_table().to_pandas()
    return rows


def _place(value: float, span: tuple[float, float]) -> float:
    """0 to 1 by the logarithm."""
    return math.log(value / span[0]) / math.log(span[1] / span[0])
