"""Scores of labelled pairs -> threshold, accuracy, AUC, EER, TAR at FAR, and intervals.

numpy only: every worker computes them, and scikit-learn, whose numbers they are to the bit, takes a second and 50 MB to import.

Everywhere: scores (n,) are cosine similarities, labels (n,) are 0 and 1, identities (n,) are codes of any kind, and a
pair counts as the same when score >= threshold. ValueError on a single class, a score that is not finite, or lengths
that differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainable.metrics.thresholds import checked_pairs


@dataclass(frozen=True)
class Verification:
    """How well scores tell positive from negative pairs, whatever the threshold. None: undefined on these pairs."""

    auc: float
    """Area under the ROC curve, half credit for ties."""
    average_precision: float
    eer: float
    """Equal error rate: where false accepts equal false rejects, by linear interpolation of the two rates."""
    tar_at_far_1e1: float | None
    """Largest true accept rate at a false accept rate of at most 0.1; None with fewer than 10 negatives."""
    tar_at_far_1e2: float | None
    tar_at_far_1e3: float | None
    positive_similarity: float
    negative_similarity: float
    similarity_gap: float
    """Mean positive score less mean negative score."""
    d_prime: float | None
    """The gap over the root mean of the two population variances; None when neither class varies."""


def verify(scores: np.ndarray, labels: np.ndarray) -> Verification:
    """Every measure of the scores that needs no threshold.

    >>> found = verify(np.array([0.9, 0.3, 0.4, 0.1]), np.array([1, 1, 0, 0]))
    >>> round(found.auc, 2), round(found.eer, 2), round(found.similarity_gap, 2)
    (0.75, 0.5, 0.35)
    """
    scores, positive = checked_pairs(scores, labels)
    scores = scores.astype(np.float64)
    accepted = _accepted(scores, positive)
    false_accepts, true_accepts = _rates(accepted)
    negatives = int((~positive).sum())
    tar = [
        float(true_accepts[false_accepts <= 1 / one_in].max()) if negatives >= one_in else None
        for one_in in (10, 100, 1000)
    ]
    of_positive, of_negative = scores[positive], scores[~positive]
    gap = float(of_positive.mean() - of_negative.mean())
    varies = np.ptp(of_positive) > 0 or np.ptp(of_negative) > 0
    return Verification(
        auc=float(np.trapezoid(true_accepts, false_accepts)),
        average_precision=_average_precision(accepted),
        eer=_equal_error_rate(false_accepts, 1 - true_accepts),
        tar_at_far_1e1=tar[0],
        tar_at_far_1e2=tar[1],
        tar_at_far_1e3=tar[2],
        positive_similarity=float(of_positive.mean()),
        negative_similarity=float(of_negative.mean()),
        similarity_gap=gap,
        d_prime=float(gap / np.sqrt((of_positive.var() + of_negative.var()) / 2)) if varies else None,
    )


def roc_curve(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true accept rates (k + 1,) at a threshold above all scores, then at each of the k distinct ones, from the
    highest down.

    >>> [rates.tolist() for rates in roc_curve(np.array([0.9, 0.3, 0.4, 0.1]), np.array([1, 1, 0, 0]))]
    [[0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0]]
    """
    scores, positive = checked_pairs(scores, labels)
    return _rates(_accepted(scores.astype(np.float64), positive))


def _accepted(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many negative and how many positive pairs score at least as high as each distinct score, from the highest down."""
    order = np.argsort(scores, kind="stable")[::-1]
    lasts = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(positive[order], dtype=np.float64)[lasts]
    return 1 + lasts - true, true


def _rates(accepted: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    false, true = (np.concatenate([[0.0], count]) for count in accepted)
    return false / false[-1], true / true[-1]


def _average_precision(accepted: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean precision, each weighted by the recall that it adds."""
    false, true = accepted
    precision, recall = (true / (true + false))[::-1], np.append((true / true[-1])[::-1], 0.0)
    return max(0.0, float(-(np.diff(recall) * precision).sum()))


def of_decisions(correct: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measures of decisions at some threshold. correct, labels: (n,), whether each pair was told right, and its label."""
    sides = [float(correct[labels == label].mean()) for label in (1, 0)]
    return {"accuracy": float(correct.mean()), "balanced_accuracy": sum(sides) / 2}


def _equal_error_rate(false_accepts: np.ndarray, false_rejects: np.ndarray) -> float:
    """Where the two rates cross, going from reject-all (0 and 1) to accept-all (1 and 0)."""
    gap = false_rejects - false_accepts
    after = int(np.argmax(gap <= 0))
    step = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(false_accepts[after - 1] + step * (false_accepts[after] - false_accepts[after - 1]))
