"""How a search ends: winner beside default on the test pairs, once, and four lines that say whether training is healthy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trainable.config import Purpose
from trainable.data.pairs import PairData
from trainable.metrics import intervals, thresholds, verification
from trainable.metrics.over_seeds import auc_over_seeds, over_seeds
from tuner.results.trial_record import TrialRecord


@dataclass(frozen=True)
class TestResult:
    """One trial's accuracy and AUC on the test pairs, at a threshold fixed on validation, with 95 % intervals."""

    __test__: ClassVar[bool] = False  # not a test, whatever pytest reads into the name

    threshold: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    auc: float
    auc_interval: tuple[float, float]
    correct: np.ndarray
    """(n_test,) bool; of repeats (R, n_test)."""


@dataclass(frozen=True)
class Comparison:
    """Winner and default on the same test pairs. fair_default: the default's model at a threshold solved for it."""

    winner: TestResult
    default: TestResult
    fair_default: TestResult
    difference: float
    difference_interval: tuple[float, float]
    fair_difference: float
    fair_difference_interval: tuple[float, float]
    pairs: int
    identities: int


class TestPairs:
    """The test pairs, and how they are linked by identities, which every interval takes into account."""

    __test__ = False  # not a test, whatever pytest reads into the name

    def __init__(self, data: PairData) -> None:
        rows = data.rows("test")
        front, angle = data.front_identity[rows], data.angle_identity[rows]
        self.labels = np.asarray(data.pair_label)[rows]
        self.identities = len(np.unique(np.concatenate([front, angle])))
        self._linked = intervals.linked_pairs(front, angle)

    def result(self, scores: np.ndarray, threshold: float) -> TestResult:
        """scores: (n_test,); threshold: fixed on validation pairs, never on these."""
        correct = thresholds.correct_at(scores, self.labels, threshold)
        return TestResult(
            threshold=threshold,
            accuracy=float(correct.mean()),
            accuracy_interval=intervals.interval(correct, self._linked),
            auc=verification.verify(scores, self.labels).auc,
            auc_interval=intervals.auc_interval(scores, self.labels, self._linked),
            correct=correct,
        )

    def repeated(self, threshold: float, scores: np.ndarray, thresholds_of: Sequence[float]) -> TestResult:
        """The mean over a trial's repeats, intervals over seeds and identities. scores: (R, n_test) of each, at its own of the
        thresholds, fixed on validation pairs; threshold: the trial's."""
        correct = np.stack(
            [thresholds.correct_at(s, self.labels, t) for s, t in zip(scores, thresholds_of, strict=True)]
        )
        accuracy, auc = over_seeds(correct, self._linked), auc_over_seeds(scores, self.labels, self._linked)
        ends = [tuple(np.clip(found.interval(), 0.0, 1.0).tolist()) for found in (accuracy, auc)]
        return TestResult(threshold, accuracy.mean, ends[0], auc.mean, ends[1], correct)

    def _difference(self, one: TestResult, other: TestResult) -> tuple[float, float]:
        if one.correct.ndim == 1:
            return intervals.difference_interval(one.correct, other.correct, self._linked)
        return over_seeds(one.correct.astype(float) - other.correct, self._linked).interval()

    def compare(self, winner: TestResult, default: TestResult, fair_default: TestResult) -> Comparison:
        """All three on the same resamples."""
        return Comparison(
            winner,
            default,
            fair_default,
            winner.accuracy - default.accuracy,
            self._difference(winner, default),
            winner.accuracy - fair_default.accuracy,
            self._difference(winner, fair_default),
            len(self.labels),
            self.identities,
        )


def threshold_for(
    own: float, solve: bool, scores: np.ndarray, labels: np.ndarray, purpose: Purpose | None = None
) -> float:
    """The threshold to use a trial's model at: its own, or, where nothing chose that, solved on all validation pairs.

    scores, labels: (n_val,) of its best epoch; purpose: what it is solved for, None: accuracy. Any other purpose is a wish
    that is later than a search's choice: it is solved in any case.
    """
    purpose = purpose or Purpose()
    solve = solve or purpose.kind != "accuracy"
    return thresholds.threshold_for(purpose, scores, np.asarray(labels) == 1) if solve else own


def run_columns(comparison: Comparison, winner: TrialRecord) -> dict[str, Any]:
    """The comparison as columns of the `runs` table."""
    solved = comparison.fair_default
    return (
        winner_columns(comparison.winner, winner, comparison.identities)
        | _result_columns("default", comparison.default)
        | {"threshold_default_solved": solved.threshold}
        | _with_interval("test_accuracy_default_solved", solved.accuracy, solved.accuracy_interval)
        | _with_interval("test_difference", comparison.difference, comparison.difference_interval)
        | _with_interval("test_difference_solved", comparison.fair_difference, comparison.fair_difference_interval)
    )


def winner_columns(result: TestResult, winner: TrialRecord, identities: int) -> dict[str, Any]:
    """The winner alone as columns of the `runs` table. identities: how many the test pairs show."""
    return {"winner_trial": winner.number, "test_identities": identities} | _result_columns("winner", result)


def _result_columns(name: str, result: TestResult) -> dict[str, Any]:
    return (
        {f"threshold_{name}": result.threshold}
        | _with_interval(f"test_accuracy_{name}", result.accuracy, result.accuracy_interval)
        | _with_interval(f"test_auc_{name}", result.auc, result.auc_interval)
    )


def _with_interval(column: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {column: value, f"{column}_low": interval[0], f"{column}_high": interval[1]}


def rates(threshold: float, scores: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """What a threshold does to pairs, and what the best one could where few negatives may pass.

    scores, labels: (n,) cosines and 0 or 1 of pairs of both labels. None: of too few negatives to tell.

    >>> found = rates(0.5, np.array([0.9, 0.3, 0.6, 0.1]), np.array([1, 1, 0, 0]))
    >>> found["true_accept_rate"], found["false_accept_rate"], found["tar_at_far_1e2"]
    (0.5, 0.5, None)
    """
    accepted, found = scores.astype(np.float64) >= threshold, verification.verify(scores, labels)
    return {
        "true_accept_rate": float(accepted[labels == 1].mean()),
        "false_accept_rate": float(accepted[labels == 0].mean()),
        "tar_at_far_1e1": found.tar_at_far_1e1,
        "tar_at_far_1e2": found.tar_at_far_1e2,
        "tar_at_far_1e3": found.tar_at_far_1e3,
    }


def rates_in_words(purpose: str | None, threshold: float, found: Mapping[str, float | None]) -> str:
    """A sentence: what a threshold was solved for and what it does; compare and page say the same, from `rates`.

    >>> rates_in_words(None, 0.5, {"true_accept_rate": 0.9, "false_accept_rate": 0.05, "tar_at_far_1e1": 0.95})
    'threshold 0.500 for accuracy: TAR 0.900 at FAR 0.050; TAR 0.950 at FAR 0.1'
    """
    others = best_rates(found)
    return (
        f"threshold {threshold:.3f} for {purpose or 'accuracy'}: TAR {found['true_accept_rate']:.3f} at "
        f"FAR {found['false_accept_rate']:.3f}{others and f'; {others}'}"
    )


def best_rates(found: Mapping[str, float | None]) -> str:
    """TAR at the round FARs of `rates`; empty where there are too few negatives for any.

    >>> best_rates({"tar_at_far_1e1": 0.95, "tar_at_far_1e2": 0.5, "tar_at_far_1e3": None})
    'TAR 0.950 at FAR 0.1, 0.500 at FAR 0.01'
    """
    names = {"tar_at_far_1e1": "0.1", "tar_at_far_1e2": "0.01", "tar_at_far_1e3": "0.001"}
    best = [f"{found[name]:.3f} at FAR {far}" for name, far in names.items() if _known(found.get(name))]
    return f"TAR {', '.join(best)}" if best else ""


def _known(value: float | None) -> bool:
    return value is not None and not np.isnan(value)
