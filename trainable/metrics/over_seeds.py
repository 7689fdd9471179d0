"""How sure is a measure that was taken of several trainings, one a seed? Two sources: the identities, and the seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from trainable.metrics.intervals import LinkedPairs, auc_parts, spread


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs and seeds, and how much it varies."""

    mean: float
    variance: float
    """Of the mean: what other identities would change, and what other seeds would."""
    degrees: float
    """Degrees of freedom of the variance (Satterthwaite)."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Symmetric about the mean, within -1 to 1."""
        reach = float(stdtrit(self.degrees, (1 + level) / 2)) * float(np.sqrt(self.variance))
        return max(self.mean - reach, -1.0), min(self.mean + reach, 1.0)

    @property
    def above_zero(self) -> float:
        """How surely the true mean is above 0: one side of Student's distribution; a half where nothing varies about 0."""
        if self.variance == 0:
            return float(self.mean > 0) + 0.5 * (self.mean == 0)
        return float(stdtr(self.degrees, self.mean / np.sqrt(self.variance)))


def over_seeds(values: np.ndarray, linked: LinkedPairs, second: np.ndarray | None = None) -> Estimate:
    """Of values (R, n) of n pairs in R trainings, all of the same pairs.

    second: (n,) bool, the class that is centred by itself; None: pairs of two identities. The variance is that of the pairs'
    means over seeds, which counts shared identities, plus the seeds' own variance over R; of one seed only the first is known.
    """
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    identities = spread(values.mean(axis=0), linked, None if second is None else linked.strata_of(second))
    seeds = len(values)
    of_seeds = float(values.mean(axis=1).var(ddof=1)) / seeds if seeds > 1 else 0.0
    variance = identities.variance + of_seeds
    uncertain = identities.variance**2 / identities.degrees + of_seeds**2 / max(seeds - 1, 1)
    degrees = variance**2 / uncertain if uncertain > 0 else identities.degrees
    return Estimate(float(values.mean()), variance, degrees)


def auc_over_seeds(scores: np.ndarray, labels: np.ndarray, linked: LinkedPairs) -> Estimate:
    """Of the mean AUC of scores (R, n), labels (n,)."""
    positive = np.asarray(labels) == 1
    return over_seeds(np.stack([auc_parts(one, positive) for one in scores]), linked, ~positive)


def auc_difference(a: np.ndarray, b: np.ndarray, labels: np.ndarray, linked: LinkedPairs) -> Estimate:
    """Of the mean AUC of scores a (R, n) less that of b (R, n), seed by seed and pair by pair."""
    positive = np.asarray(labels) == 1
    parts = [auc_parts(one, positive) - auc_parts(other, positive) for one, other in zip(a, b, strict=True)]
    return over_seeds(np.stack(parts), linked, ~positive)
