"""Scores of labelled pairs whose identities matter, drawn from a model in which every true value is known.

A pair's score is its label's mean, plus an effect of its identities, plus noise of its own; both have together variance 1.
`dependence` is the share of the identities. A positive pair has its identity's effect on positives; a negative pair the
mean of two effects on negatives, scaled back to variance 1. Two models see the same pairs: their effects are alike, and
so is their noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

EFFECTS_ALIKE, NOISE_ALIKE = 0.8, 0.6


@dataclass(frozen=True)
class Cell:
    """How many identities, how many pairs of each (half of them positive), and how much the identities matter."""

    identities: int
    pairs_each: int
    dependence: float


@dataclass(frozen=True)
class Pairs:
    """Which identities each pair shows; (n,) each. Positive pairs come first."""

    labels: np.ndarray
    front: np.ndarray
    angle: np.ndarray


def draw_pairs(identities: int, pairs_each: int, rng: np.random.Generator) -> Pairs:
    """Each identity has half of its pairs with itself, and is the front of as many with another one, drawn at random."""
    front = np.tile(np.arange(identities), pairs_each)
    positive = np.arange(len(front)) < len(front) // 2
    others = (front + rng.integers(1, identities, len(front))) % identities
    return Pairs(positive.astype(np.int8), front, np.where(positive, front, others))


def draw_scores(
    pairs: Pairs,
    gaps: np.ndarray,
    dependence: float,
    rng: np.random.Generator,
    draws: int,
    alike: tuple[float, float] = (EFFECTS_ALIKE, NOISE_ALIKE),
) -> np.ndarray:
    """(models, draws, n) scores. gaps: (models,), the distance of a model's two means, which lie around 0.

    alike: correlation of two models' effects of the same identity, and of their noise at the same pair.
    """
    shape = (len(gaps), draws, int(pairs.front.max()) + 1)
    own, other = _alike(shape, alike[0], rng), _alike(shape, alike[0], rng)
    positive = pairs.labels == 1
    effects = np.where(
        positive, own[..., pairs.front], (other[..., pairs.front] + other[..., pairs.angle]) / np.sqrt(2)
    )
    noise = _alike((len(gaps), draws, len(positive)), alike[1], rng)
    means = np.asarray(gaps)[:, None, None] * (pairs.labels - 0.5)
    return means + np.sqrt(dependence) * effects + np.sqrt(1 - dependence) * noise


def true_accuracy(gap: float, thresholds: np.ndarray | float, labels: np.ndarray) -> np.ndarray:
    """(n,) probability that a pair of each label is classified correctly at its threshold."""
    return norm.cdf(np.where(labels == 1, gap / 2 - thresholds, gap / 2 + thresholds))


def true_auc(gap: float) -> float:
    """Probability that a positive pair scores above a negative one, of other identities."""
    return float(norm.cdf(gap / np.sqrt(2)))


def _alike(shape: tuple[int, ...], correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers; those of two models have the given correlation."""
    shared = rng.standard_normal((1, *shape[1:]))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.standard_normal(shape)
