"""95 % intervals by bootstrap over identities: pairs that share one are not independent."""

from __future__ import annotations

import numpy as np

from trainable.metrics.thresholds import checked_pairs, identity_codes


def identity_resamples(
    front_identity: np.ndarray, angle_identity: np.ndarray, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """(R, n) float32 pair weights of the identity bootstrap: draw them once, compare trials on the same ones.

    Each resample draws as many identities as there are, with replacement. A pair weighs the product of its two
    identities' counts; a pair of one identity, that count once. Source: Owen 2007 (the pigeonhole bootstrap), errs on
    the wide side.
    """
    front, angle, identities = identity_codes(front_identity, angle_identity, len(front_identity))
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
    scores, positive = checked_pairs(scores, labels)
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


def _percentiles(numerators: np.ndarray, denominators: np.ndarray, level: float) -> tuple[float, float]:
    """The central `level` of the ratios whose denominator is not 0."""
    usable = denominators > 0
    if not usable.any():
        raise ValueError("no resample is usable: each lacks weight or a class. Give more identities or more resamples.")
    low, high = np.quantile(numerators[usable] / denominators[usable], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
