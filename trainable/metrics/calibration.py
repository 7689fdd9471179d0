"""A probability that two images show the same thing: a logistic curve over the cosine, and how far it can be trusted.

The curve is Platt's (1999), with his targets a little inside 0 and 1, so that it stays finite where scores separate the labels
wholly. Probabilities hold for as many positive among all pairs as there were when it was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from trainable.metrics.thresholds import checked_pairs, identity_codes

BINS = 10
"""Of the reliability curve and its error: each holds as many pairs."""
_FOLDS = 5
_LEAST = 1e-3  # slope: a curve that fell with the cosine would call alike things different


@dataclass(frozen=True)
class Curve:
    """P(same) = 1 / (1 + exp(-(slope · cosine + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(n,) probabilities of (n,) cosines."""
        found: np.ndarray = expit(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)
        return found


@dataclass(frozen=True)
class Reliability:
    """How often what was given a probability came true, on pairs whose identities had no say in the curve."""

    predicted: np.ndarray
    """(bins,) mean probability."""
    observed: np.ndarray
    """(bins,) share of positive pairs."""
    pairs: np.ndarray
    """(bins,) how many there are."""
    error: float
    """Expected calibration error: mean over pairs of |observed - predicted|, bin by bin."""
    brier: float
    """Mean squared difference of probability and label."""


def fit(scores: np.ndarray, labels: np.ndarray) -> Curve:
    """The curve of labelled pairs; never falling. ValueError as in `thresholds.checked_pairs`.

    >>> curve = fit(np.array([-0.2, 0.0, 0.1, 0.6, 0.7, 0.9]), np.array([0, 0, 0, 1, 1, 1]))
    >>> bool(curve(np.array([0.8]))[0] > 0.8), bool(curve(np.array([0.0]))[0] < 0.2)
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression  # here: no search needs it before its end

    scores, positive = checked_pairs(scores, labels)
    positives, negatives = positive.sum(), (~positive).sum()
    target = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # A target between the labels is both of them, each with its weight.
    both = np.concatenate([scores, scores]).astype(np.float64)[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(both, np.repeat([1, 0], len(scores)), sample_weight=np.concatenate([target, 1 - target]))
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < _LEAST:
        share = float(target.mean())
        return Curve(0.0, float(np.log(share / (1 - share))))
    return Curve(slope, intercept)


def cross_fitted(
    scores: np.ndarray, labels: np.ndarray, front_identity: np.ndarray, angle_identity: np.ndarray, seed: int = 0
) -> np.ndarray:
    """(n,) probabilities, each by a curve that was fitted without the identities of its pair; NaN where too few are left."""
    scores, positive = checked_pairs(scores, labels)
    front, angle, identities = identity_codes(front_identity, angle_identity, len(scores))
    dealt = np.random.default_rng(seed).permutation(identities) % min(_FOLDS, identities)
    sides = dealt[front], dealt[angle]
    found = np.full(len(scores), np.nan)
    for one, other in sorted({(min(pair), max(pair)) for pair in zip(*(s.tolist() for s in sides), strict=True)}):
        touched = [np.isin(side, (one, other)) for side in sides]
        rest = ~(touched[0] | touched[1])
        own = (np.minimum(*sides) == one) & (np.maximum(*sides) == other)
        if positive[rest].any() and not positive[rest].all():
            found[own] = fit(scores[rest], positive[rest])(scores[own])
    return found


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> Reliability:
    """Bins of equally many pairs, from the least to the most probable. probabilities, labels: (n,), finite."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, min(BINS, len(order))) if len(part)]
    positive = np.asarray(labels) == 1
    predicted = np.array([probabilities[part].mean() for part in parts])
    observed = np.array([positive[part].mean() for part in parts])
    pairs = np.array([len(part) for part in parts])
    error = float((pairs * np.abs(observed - predicted)).sum() / pairs.sum())
    return Reliability(predicted, observed, pairs, error, float(((probabilities - positive) ** 2).mean()))
