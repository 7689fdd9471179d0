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


@dataclass(frozen=True)
class Threshold:
    """A cosine cut; every cut in (low, high] classifies the pairs it was solved on equally well."""

    value: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class CrossFitted:
    """Accuracy at thresholds that were solved without the identities they are scored on."""

    accuracy: float
    correct: np.ndarray
    """(n,) bool: was the pair classified correctly."""
    thresholds: np.ndarray
    """(n,) the threshold that each pair met."""


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


def best_threshold(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Threshold:
    """The cosine cut that classifies most pairs correctly, in O(n log n).

    weights: (n,) from 0, or None for 1 each. Cuts fall only between distinct scores, accept-all and reject-all
    included; among equally good ones the middle of the widest plateau is taken, the plateaus at the ends reaching to -1
    and 1. The value is exact in the scores' own precision, and exceeds 1 by one step only when a score of 1 must be
    rejected.
    """
    scores, positive = _checked(scores, labels)
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != scores.shape or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be as many as scores, finite and not negative.")
    accept_all, total = weights[positive].sum(), weights.sum()
    if accept_all == 0 or accept_all == total:
        raise ValueError("only one class has weight; a threshold needs positive and negative pairs.")
    order = np.argsort(scores, kind="stable")
    gains = np.where(positive, -weights, weights)[order][None]
    value, low, high, gain = (column[0] for column in _solve(scores[order], gains))
    return Threshold(float(value), float((accept_all + gain) / total), float(low), float(high))


def accuracy_at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """Share of the pairs that are classified correctly at the threshold."""
    return float(correct_at(scores, labels, threshold).mean())


def balanced_accuracy_at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """Mean of the shares of positive and of negative pairs that are classified correctly at the threshold."""
    correct, positive = correct_at(scores, labels, threshold), np.asarray(labels) == 1
    return float((correct[positive].mean() + correct[~positive].mean()) / 2)


def correct_at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """(n,) bool: is the pair classified correctly at the threshold."""
    scores, positive = _checked(scores, labels)
    # In float64: numpy would round the threshold to the scores' precision, and with it across a score.
    return (scores.astype(np.float64) >= np.float64(threshold)) == positive


def cross_fitted(
    scores: np.ndarray,
    labels: np.ndarray,
    front_identity: np.ndarray,
    angle_identity: np.ndarray,
    folds: int = 10,
    seed: int = 0,
) -> CrossFitted:
    """Accuracy at solved thresholds, each pair scored where neither of its identities had a say (as LFW's ten folds).

    Identities are dealt to `folds` folds, one each when there are fewer of them. A pair meets the threshold solved on
    all pairs that touch none of its one or two folds, weighted so that the two classes have their overall shares there.
    Where such a rest lacks a class the folds are doubled, at most to one identity a fold; ValueError when that does not
    help. Deterministic in the seed; the order of the pairs does not matter.
    """
    scores, positive = _checked(scores, labels)
    front, angle, identities = _coded(front_identity, angle_identity, len(scores))
    order = np.argsort(scores, kind="stable")
    scores, positive, front, angle = scores[order], positive[order], front[order], angle[order]
    group, rest = _folded(positive, front, angle, identities, folds, seed)
    share = np.where(positive, positive.sum() / rest[:, positive].sum(axis=1, keepdims=True), 0)
    share += np.where(~positive, (~positive).sum() / rest[:, ~positive].sum(axis=1, keepdims=True), 0)
    value, *_ = _solve(scores, np.where(positive, -share, share) * rest)
    thresholds, correct = np.empty(len(scores)), np.empty(len(scores), dtype=bool)
    thresholds[order] = value[group]
    correct[order] = (scores >= value[group]) == positive
    return CrossFitted(float(correct.mean()), correct, thresholds)


def verify(scores: np.ndarray, labels: np.ndarray) -> Verification:
    """Every measure of the scores that needs no threshold."""
    scores, positive = _checked(scores, labels)
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


def identity_resamples(
    front_identity: np.ndarray, angle_identity: np.ndarray, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """(R, n) float32 pair weights of the identity bootstrap: draw them once, compare trials on the same ones.

    Each resample draws as many identities as there are, with replacement. A pair weighs the product of its two
    identities' counts; a pair of one identity, that count once. Source: Owen 2007 (the pigeonhole bootstrap), errs on
    the wide side.
    """
    front, angle, identities = _coded(front_identity, angle_identity, len(front_identity))
    drawn = np.random.default_rng(seed).integers(0, identities, (resamples, identities))
    drawn += identities * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * identities).reshape(resamples, identities)
    counts = counts.astype(np.float32)
    return counts[:, front] * np.where(front == angle, np.float32(1), counts[:, angle])


def interval(correct: np.ndarray, weights: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean of `correct` over the resamples `weights`.

    correct: (n,) bool or numbers; weights: (R, n). Resamples of no weight are left out; ValueError when none is left.
    """
    values = np.asarray(correct, dtype=np.float64)
    totals = weights.sum(axis=1, dtype=np.float64)
    return _percentiles(weights @ values, totals, level)


def difference_interval(
    correct_a: np.ndarray, correct_b: np.ndarray, weights: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of mean(correct_a) - mean(correct_b) on the same pairs and the same resamples (R, n)."""
    return interval(np.asarray(correct_a, dtype=np.float64) - np.asarray(correct_b, dtype=np.float64), weights, level)


def auc_interval(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the AUC (half credit for ties) over the resamples `weights` (R, n).

    Resamples that lack a class are left out; ValueError when none is left.
    """
    scores, positive = _checked(scores, labels)
    order = np.argsort(scores[~positive])
    negatives, positives = scores[~positive][order], scores[positive]
    of_negatives = weights[:, ~positive][:, order]
    below = np.zeros((len(weights), len(negatives) + 1))
    np.cumsum(of_negatives, axis=1, dtype=np.float64, out=below[:, 1:])
    # A positive beats the negatives below it, and half of those that tie with it.
    won = below[:, np.searchsorted(negatives, positives, "left")]
    won += below[:, np.searchsorted(negatives, positives, "right")]
    of_positives = weights[:, positive]
    wins = np.einsum("rp,rp->r", of_positives, won) / 2
    return _percentiles(wins, of_positives.sum(axis=1, dtype=np.float64) * below[:, -1], level)


def _solve(scores: np.ndarray, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each row's best cut as (G,) value, low, high and gain over accept-all; a pair of weight 0 has no influence.

    scores: (n,) ascending; gains: (G, n), what rejecting the pair adds to the weight of correct decisions.
    """
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of each distinct score
    cuts = scores[last]
    # Cut c lies in (bounds[c], bounds[c + 1]] and rejects the c lowest distinct scores.
    bounds = np.concatenate([[min(cuts[0], -1)], cuts, [max(np.nextafter(cuts[-1], np.inf), 1)]]).astype(scores.dtype)
    reached = np.pad(np.cumsum(gains, axis=1)[:, last], ((0, 0), (1, 0)))
    best = reached.max(axis=1)
    # The tolerance is below one unweighted pair and above the rounding of weighted ones.
    optimal = reached >= (best - 1e-9 * np.abs(gains).sum(axis=1))[:, None]
    edges = np.diff(np.pad(optimal.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, stops = np.nonzero(edges == -1)
    low, high = bounds[starts], bounds[stops]
    order = np.lexsort((starts, low - high, rows))
    widest = order[np.unique(rows[order], return_index=True)[1]]
    low, high = low[widest], high[widest]
    middle = low + (high - low) / 2
    # Between two neighbouring floats the middle rounds to one of them, and only the upper one is inside.
    return np.where(middle > low, middle, high), low, high, best


def _folded(
    positive: np.ndarray, front: np.ndarray, angle: np.ndarray, identities: int, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) group of each pair by its two folds, and (G, n): which pairs touch neither fold of that group."""
    dealt = np.random.default_rng(seed).permutation(identities)
    folds = min(max(folds, 2), identities)
    while True:
        a, b = dealt[front] % folds, dealt[angle] % folds
        groups, group = np.unique(np.minimum(a, b) * folds + np.maximum(a, b), return_inverse=True)
        first, second = (groups // folds)[:, None], (groups % folds)[:, None]
        rest = (a != first) & (b != first) & (a != second) & (b != second)
        if rest[:, positive].any(axis=1).all() and rest[:, ~positive].any(axis=1).all():
            return group, rest
        if folds == identities:
            raise ValueError(
                f"{identities} identities in {len(positive)} pairs are too few to cross-fit a threshold: without the "
                "identities of one pair the rest must hold both labels. Give more identities, or a fixed threshold."
            )
        folds = min(2 * folds, identities)


def _equal_error_rate(false_accepts: np.ndarray, false_rejects: np.ndarray) -> float:
    """Where the two rates cross, going from reject-all (0 and 1) to accept-all (1 and 0)."""
    gap = false_rejects - false_accepts
    after = int(np.argmax(gap <= 0))
    step = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(false_accepts[after - 1] + step * (false_accepts[after] - false_accepts[after - 1]))


def _percentiles(numerators: np.ndarray, denominators: np.ndarray, level: float) -> tuple[float, float]:
    """The central `level` of the ratios whose denominator is not 0."""
    usable = denominators > 0
    if not usable.any():
        raise ValueError("no resample is usable: each lacks weight or a class. Give more identities or more resamples.")
    low, high = np.quantile(numerators[usable] / denominators[usable], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _coded(front_identity: np.ndarray, angle_identity: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Both views' identities as codes 0 to K - 1, and K."""
    front_identity, angle_identity = np.asarray(front_identity), np.asarray(angle_identity)
    if front_identity.shape != (pairs,) or angle_identity.shape != (pairs,):
        raise ValueError(
            f"identities have shapes {front_identity.shape} and {angle_identity.shape}; valid is ({pairs},) for both."
        )
    names, codes = np.unique(np.concatenate([front_identity, angle_identity]), return_inverse=True)
    return codes[:pairs], codes[pairs:], len(names)


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores as floats, and which pairs are positive."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} do not fit; valid is (n,) for both.")
    scores = scores if scores.dtype.kind == "f" else scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are NaN or infinite.")
    positive = labels == 1
    if not (positive | (labels == 0)).all():
        raise ValueError("labels must be 0 or 1.")
    if positive.all() or not positive.any():
        raise ValueError(f"all {len(labels)} pairs have one label; valid are pairs of both labels, 0 and 1.")
    return scores, positive
