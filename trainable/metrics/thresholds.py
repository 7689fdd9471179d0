"""The threshold that classifies most pairs correctly, exact and cross-fitted, and accuracy at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainable.config import Purpose


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


def best_threshold(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Threshold:
    """The cosine cut that classifies most pairs correctly, in O(n log n).

    weights: (n,) from 0, or None for 1 each. Cuts fall only between distinct scores, accept-all and reject-all
    included; among equally good ones the middle of the widest plateau is taken, the plateaus at the ends reaching to -1
    and 1. The value is exact in the scores' own precision, and exceeds 1 by one step only when a score of 1 must be
    rejected. Raises ValueError for pairs of one label only, scores that are not finite, or lengths that differ.

    >>> best_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([0, 0, 1, 1]))
    Threshold(value=0.4, accuracy=1.0, low=0.2, high=0.6)
    """
    scores, positive = checked_pairs(scores, labels)
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


@dataclass(frozen=True)
class Solved:
    """A threshold for a purpose, how sure it is, and what it does on the pairs that it was solved on."""

    value: float
    low: float
    """Of its 95 % interval, over resamples of the identities."""
    high: float
    far: float
    """False accept rate: share of the negative pairs that it accepts."""
    tar: float
    """True accept rate: share of the positive pairs that it accepts."""


_RESAMPLES = 200


def solve_for(
    purpose: Purpose,
    scores: np.ndarray,
    labels: np.ndarray,
    identities: tuple[np.ndarray, np.ndarray] | None = None,
) -> Solved:
    """The threshold for a purpose, with its interval; for accuracy it is `best_threshold`'s, to the bit.

    identities: (n,) of the fronts and of the angles, resampled for the interval; None: pairs are. eer: where the rates of
    false accepts and false rejects are nearest; far: the lowest threshold whose false accept rate is at most the given one;
    cost: the lowest mean cost. Raises InputError if there are too few negative pairs for the rate.

    >>> found = solve_for(Purpose.of("eer"), np.array([0.1, 0.4, 0.3, 0.9]), np.array([0, 0, 1, 1]))
    >>> round(found.value, 2), found.far, found.tar
    (0.35, 0.5, 0.5)
    """
    scores, positive = checked_pairs(scores, labels)
    purpose.check(int((~positive).sum()))
    value = threshold_for(purpose, scores, positive)
    count = len(scores)
    front, angle, drawn = np.arange(count), np.arange(count), count
    if identities is not None:
        front, angle, drawn = identity_codes(*identities, count)
    random, found = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        times = np.bincount(random.integers(drawn, size=drawn), minlength=drawn)
        weights = np.where(front == angle, times[front], times[front] * times[angle]).astype(np.float64)
        if weights[positive].sum() and weights[~positive].sum():
            found.append(threshold_for(purpose, scores, positive, weights))
    low, high = np.quantile(found, [0.025, 0.975]) if found else (value, value)
    accepted = scores.astype(np.float64) >= value
    return Solved(value, float(low), float(high), float(accepted[~positive].mean()), float(accepted[positive].mean()))


def threshold_for(
    purpose: Purpose, scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """The threshold alone. scores: (n,); positive: (n,) labels; weights: (n,) from 0, or None for 1 each."""
    labels = np.asarray(positive).astype(bool)
    if purpose.kind == "accuracy":
        return best_threshold(scores, labels, weights).value
    given = np.ones(len(scores)) if weights is None else weights
    if purpose.kind == "cost":
        return best_threshold(scores, labels, given * np.where(labels, purpose.miss, purpose.false_accept)).value
    order = np.argsort(scores, kind="stable")
    scores, labels, given = scores[order], labels[order], given[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    # As in `_solve`: cut c lies in (bounds[c], bounds[c + 1]] and rejects the c lowest distinct scores.
    bounds = np.concatenate([[min(scores[0], -1)], scores[last], [max(np.nextafter(scores[-1], np.inf), 1)]])
    rejected = [np.append(0, np.cumsum(np.where(side, given, 0))[last]) for side in (labels, ~labels)]
    false_rejects, false_accepts = rejected[0] / rejected[0][-1], 1 - rejected[1] / rejected[1][-1]
    if purpose.kind == "far":
        cut = int(np.argmax(false_accepts <= purpose.far + 1e-12))
    else:
        cut = int(np.argmin(np.abs(false_accepts - false_rejects)))
    low, high = bounds[cut].astype(scores.dtype), bounds[cut + 1].astype(scores.dtype)
    middle = low + (high - low) / 2
    return float(middle if middle > low else high)


def accuracy_at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """Share of the pairs that are classified correctly at the threshold.

    >>> accuracy_at(np.array([0.1, 0.4, 0.6, 0.9]), np.array([0, 1, 1, 1]), threshold=0.5)
    0.75
    """
    return float(correct_at(scores, labels, threshold).mean())


def correct_at(scores: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """(n,) bool: is the pair classified correctly at the threshold."""
    scores, positive = checked_pairs(scores, labels)
    # In float64: numpy would round the threshold to the scores' precision, and with it across a score.
    correct: np.ndarray = (scores.astype(np.float64) >= np.float64(threshold)) == positive
    return correct


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

    >>> scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.3, 0.0]), np.array([1, 1, 1, 1, 0, 0, 0, 0])
    >>> front, angle = np.array([0, 1, 2, 3, 0, 1, 2, 3]), np.array([0, 1, 2, 3, 1, 0, 3, 2])
    >>> cross_fitted(scores, labels, front, angle).accuracy
    1.0
    """
    scores, positive = checked_pairs(scores, labels)
    front, angle, identities = identity_codes(front_identity, angle_identity, len(scores))
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


def identity_codes(
    front_identity: np.ndarray, angle_identity: np.ndarray, pairs: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Both views' identities as codes 0 to K - 1, and K."""
    front_identity, angle_identity = np.asarray(front_identity), np.asarray(angle_identity)
    if front_identity.shape != (pairs,) or angle_identity.shape != (pairs,):
        raise ValueError(
            f"identities have shapes {front_identity.shape} and {angle_identity.shape}; valid is ({pairs},) for both."
        )
    names, codes = np.unique(np.concatenate([front_identity, angle_identity]), return_inverse=True)
    return codes[:pairs], codes[pairs:], len(names)


def checked_pairs(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
