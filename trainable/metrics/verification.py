"""Scores of labelled pairs -> threshold, accuracy, AUC, EER, TAR at FAR, and intervals. numpy and scikit-learn only.

Everywhere: scores (n,) are cosine similarities, labels (n,) are 0 and 1, identities (n,) are codes of any kind, and a
pair counts as the same when score >= threshold. ValueError on a single class, a score that is not finite, or lengths
that differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.metrics import auc, average_precision_score, roc_curve

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
    """Every measure of the scores that needs no threshold."""
    scores, positive = checked_pairs(scores, labels)
    scores = scores.astype(np.float64)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # checked above; saves half of the time
        false_accepts, true_accepts, _ = roc_curve(positive, scores, drop_intermediate=False)
        average_precision = float(average_precision_score(positive, scores))
    negatives = int((~positive).sum())
    tar = [
        float(true_accepts[false_accepts <= 1 / one_in].max()) if negatives >= one_in else None
        for one_in in (10, 100, 1000)
    ]
    of_positive, of_negative = scores[positive], scores[~positive]
    gap = float(of_positive.mean() - of_negative.mean())
    varies = np.ptp(of_positive) > 0 or np.ptp(of_negative) > 0
    return Verification(
        auc=float(auc(false_accepts, true_accepts)),
        average_precision=average_precision,
        eer=_equal_error_rate(false_accepts, 1 - true_accepts),
        tar_at_far_1e1=tar[0],
        tar_at_far_1e2=tar[1],
        tar_at_far_1e3=tar[2],
        positive_similarity=float(of_positive.mean()),
        negative_similarity=float(of_negative.mean()),
        similarity_gap=gap,
        d_prime=float(gap / np.sqrt((of_positive.var() + of_negative.var()) / 2)) if varies else None,
    )


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
