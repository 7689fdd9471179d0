"""What the validation scores of all trials say of the choice: what to expect of the winner, and how decided it is.

Nothing is trained: every trial that can win has kept its scores of the same validation pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from trainable.config import sign
from trainable.data.pairs import PairData
from trainable.metrics import thresholds
from tuner.analysis.expected_value import ExpectedValue, TrialScores, expected_value
from tuner.results.trial_record import TrialRecord, training_of, value_of

LEANING = 0.9
"""The winner is chosen only if it beats the default in this share of resamples; else the default is kept. Measured with
benchmarks/search_quality.py."""
RANKS: dict[str, Literal["auc", "accuracy"]] = {"val_auc": "auc", "val_accuracy": "accuracy"}
"""The metrics that a choice can be repeated by on resampled identities. Others are not resampled: nothing is said of them."""
MOST_TRIALS = 64
"""So many of the best trials are looked at: one further behind does not win on any resample."""
_MOST_CELLS = 100_000_000
"""Trials × validation pairs × resamples: what a few seconds compute. Of many pairs fewer resamples are drawn."""
_RESAMPLES = 500


Record = TypeVar("Record")


@dataclass(frozen=True)
class ValidationPairs:
    """Of all n validation pairs."""

    labels: np.ndarray
    """(n,) 0 and 1."""
    front_identity: np.ndarray
    """(n,) codes of any kind."""
    angle_identity: np.ndarray

    @classmethod
    def of(cls, data: PairData) -> ValidationPairs:
        """Those of the data, in the order in which trials score them."""
        rows = data.rows("val")
        return cls(np.asarray(data.pair_label)[rows], data.front_identity[rows], data.angle_identity[rows])

    def fitted(self, scores: np.ndarray) -> np.ndarray:
        """(n,) bool: is each pair right at a threshold that was solved without its identities?"""
        return thresholds.cross_fitted(scores, self.labels, self.front_identity, self.angle_identity).correct


@dataclass(frozen=True)
class Evidence:
    """What the trials' scores say of the choice among them."""

    value: ExpectedValue
    win_shares: dict[int, float]
    """By trial: share of resamples that it wins. Trials of one training are one where AUC ranks, named by the best of them."""
    winner: int

    def columns(self, winner: TrialRecord) -> dict[str, Any]:
        """As columns of the `runs` table. winner: the trial that won, which repeats may have decided otherwise."""
        return {
            "expected_auc": self.value.auc,
            "expected_accuracy": self.value.accuracy,
            "winner_share": self.win_shares.get(winner.number),
            "beats_default_share": self.value.beats_default,
        }


def evidence(
    records: Sequence[TrialRecord], pairs: ValidationPairs, metric: str, threshold_is_searched: bool
) -> Evidence | None:
    """None where no trial can win, the metric cannot be resampled, or there are too few identities to leave any out."""
    rank_by = RANKS.get(metric)
    rows = _rows(records, metric, one_a_training=rank_by == "auc")
    if rank_by is None or not rows or len(set(pairs.labels.tolist())) < 2:
        return None
    default = _default_row(rows, records)
    scores = np.stack([_arrays(record)["scores"] for record in rows])
    solved = [
        _is_solved(record, threshold_is_searched)
        or row == default
        or "correct" not in _arrays(record)  # of an older run
        for row, record in enumerate(rows)
    ]
    resamples = int(np.clip(_MOST_CELLS // scores.size, 50, _RESAMPLES))
    try:
        correct = [pairs.fitted(scores[row]) if solved[row] else _arrays(r)["correct"] for row, r in enumerate(rows)]
        identities = pairs.front_identity, pairs.angle_identity
        value = expected_value(
            TrialScores(scores, np.stack(correct), pairs.labels, *identities, default), rank_by, resamples
        )
    except ValueError:  # no fold or split of so few identities has pairs of both labels on both sides
        return None
    shares = {record.number: float(share) for record, share in zip(rows, value.won, strict=True)}
    return Evidence(value, shares, rows[0].number)


def chosen(winner: Record, default: Record, beats_default: float | None) -> Record:
    """The one of the two to use, by validation pairs alone. The default, which nobody had to choose, needs no proof.

    beats_default: share of resamples in which the winner beats the default at a solved threshold. None where that is not
    known, or the winner is the default's model: then the winner is chosen.
    """
    return default if beats_default is not None and beats_default < LEANING else winner


def _rows(records: Sequence[TrialRecord], metric: str, one_a_training: bool) -> list[TrialRecord]:
    """The trials that can win, the best first; of one training, where that is asked for, only the best."""
    able = sorted(
        (record for record in records if record.eligible),
        key=lambda record: value_of(record, sign(metric)),
        reverse=True,
    )
    default = next((r.number for r in records if r.is_default), None)
    rows: list[TrialRecord] = []
    trainings: set[int] = set()
    for record in able:  # scores are read for those that are looked at, of thousands of trials a few
        training = training_of(record)
        if (one_a_training and training in trainings) or (len(rows) >= MOST_TRIALS and training != default):
            continue
        if (arrays := record.best_arrays) and np.isfinite(arrays["scores"]).all():
            rows.append(record)
            trainings.add(training)
            if len(rows) > MOST_TRIALS:
                break
    return rows


def representatives(
    records: Sequence[TrialRecord], metric: str, most: int
) -> tuple[list[TrialRecord], TrialRecord | None]:
    """The best trials, one a training, and that which stands for the default's model, if it can win."""
    rows = _rows(records, metric, one_a_training=True)
    default = _default_row(rows, records)
    return rows[:most], None if default is None else rows[default]


def _default_row(rows: Sequence[TrialRecord], records: Sequence[TrialRecord]) -> int | None:
    """The row that stands for the default with a solved threshold: what was tried at the threshold its scores favour, if
    anything was, else the default itself."""
    default = next((record.number for record in records if record.is_default), None)
    of_default = [row for row, record in enumerate(rows) if training_of(record) == default]
    favoured = [row for row in of_default if rows[row].is_extra]
    return next(iter(favoured or of_default), None)


def _is_solved(record: TrialRecord, threshold_is_searched: bool) -> bool:
    """Whether the trial was ranked at a solved threshold whatever its own."""
    return not threshold_is_searched and record.config.threshold is not None


def _arrays(record: TrialRecord) -> dict[str, np.ndarray]:
    assert record.best_arrays is not None, "only trials with scores are asked"
    return record.best_arrays
