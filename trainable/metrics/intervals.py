"""How sure is a measure? Intervals of accuracies and AUC, and resamples, where pairs share identities.

Pairs that share an identity vary together, so neither counting pairs nor resampling them tells how much a measure
varies. The variance is estimated as the sum of products of residuals over all couples of pairs that share an identity,
each couple counted once (two-way clustering, Cameron, Gelbach and Miller 2011; for pairs as here, Aronow, Samii and
Assenova 2015). Everything is a sum over pairs or identities: O(n) once the identities are coded.

Everywhere: front and angle identities (n,) are codes of any kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from trainable.metrics.score_interval import score_interval

_LEAST_SHARED = -0.15
"""The shared part of a variance, in units of the pairs' own part, is taken to be at least this. Sharing an identity hardly
ever makes pairs differ, and a strongly negative estimate is the luck of few identities."""
_IDENTITIES_A_DEGREE = 3.0
"""With K identities that matter the variance scatters like a chi-square of K / 2 (accuracy) to K / 5 (AUC) degrees of
freedom (simulated, benchmarks/coverage.py), not of K - 1: each is known by few pairs, and classes are unlike."""
_CROSS_FITTING_MOST = 0.2
"""By how much more a cross-fitted accuracy varies than one at a fixed threshold: n^(-1/3) of the variance (the rate at which
solved thresholds settle), and at most this. An identity that moves the other folds' thresholds makes their errors alike.
Found by simulation (7 to 25 % with 32 to 2,400 pairs, benchmarks/coverage.py); we know of no formula for it."""


@dataclass(frozen=True)
class Strata:
    """How the classes of pairs are linked; what the mean of each class takes out of the residuals follows from it."""

    members: np.ndarray
    """(n,) class of each pair, 0 to C - 1."""
    sizes: np.ndarray
    """(C,) pairs of each class."""
    within: float
    """Expected loss of shared products by centring, for independent residuals of variance 1."""
    left: float
    """Expected shared products that centring leaves, for residuals of covariance 1 where an identity is shared."""


@dataclass(frozen=True)
class LinkedPairs:
    """Which pairs share an identity: made once for a set of pairs, used for every interval on it."""

    front: np.ndarray
    """(n,) codes 0 to K - 1."""
    angle: np.ndarray
    identities: int
    two: np.ndarray
    """(n,) bool: the pair shows two identities."""
    couple: np.ndarray
    """(number of pairs that show two identities,) code of the two, whichever is in front."""
    links: float
    """Ordered couples of different pairs that share at least one identity."""
    effective_identities: float
    """As many equally frequent identities would make the variance as uncertain as these do (Satterthwaite)."""
    strata: Strata
    """Pairs of one identity, and pairs of two."""

    def sums(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(K,) sum of the values of each identity's pairs, and those of each couple of identities."""
        of_identities = np.bincount(self.front, values, self.identities)
        of_identities += np.bincount(self.angle[self.two], values[self.two], self.identities)
        return of_identities, np.bincount(self.couple, values[self.two])

    def strata_of(self, second: np.ndarray) -> Strata:
        """Of two classes of pairs. second: (n,) bool, of the second one."""
        return self.strata if np.array_equal(second, self.two) else _strata(self, second)

    def neighbours(self, values: np.ndarray) -> np.ndarray:
        """(n,) for each pair the sum of the values of the pairs that share an identity with it, itself included."""
        of_identities, of_couples = self.sums(values)
        total: np.ndarray = of_identities[self.front]
        total[self.two] += of_identities[self.angle[self.two]] - of_couples[self.couple]
        return total


_NO_VARIANCE = 1e-14
"""Less is rounding: the variance of a mean of numbers from 0 to 1 over a billion pairs is larger."""


@dataclass(frozen=True)
class Spread:
    """Variance of a mean over linked pairs, and how well it is known."""

    own: float
    """What the pairs' own variance adds to it."""
    shared: float
    """What the covariance of pairs that share an identity adds; slightly negative at times."""
    degrees: float
    """Degrees of freedom: near n where pairs are independent, few where a few identities decide."""

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.own + self.shared

    def reach(self, level: float) -> float:
        """Half the width of the interval that is symmetric about the mean."""
        return self.quantile(level) * float(np.sqrt(self.variance))

    def quantile(self, level: float) -> float:
        """Student's quantile of the central `level`."""
        return float(stdtrit(self.degrees, (1 + level) / 2))


def linked_pairs(front_identity: np.ndarray, angle_identity: np.ndarray) -> LinkedPairs:
    """Which pairs share an identity. ValueError if the lengths differ or there is no pair."""
    front_identity, angle_identity = np.asarray(front_identity), np.asarray(angle_identity)
    if front_identity.ndim != 1 or front_identity.shape != angle_identity.shape or not len(front_identity):
        raise ValueError(
            f"identities have shapes {front_identity.shape} and {angle_identity.shape}; valid is (n,) for both, n > 0."
        )
    names, codes = np.unique(np.concatenate([front_identity, angle_identity]), return_inverse=True)
    front, angle, identities = codes[: len(front_identity)], codes[len(front_identity) :], len(names)
    two = front != angle
    ends = np.minimum(front, angle)[two] * identities + np.maximum(front, angle)[two]
    couple = np.unique(ends, return_inverse=True)[1]
    pairs_of = np.bincount(front, minlength=identities) + np.bincount(angle[two], minlength=identities)
    squares = pairs_of.astype(np.float64) ** 2
    links = squares.sum() - (np.bincount(couple).astype(np.float64) ** 2).sum() - len(front)
    effective = squares.sum() ** 2 / (squares**2).sum()
    bare = LinkedPairs(front, angle, identities, two, couple, float(links), float(effective), _NO_STRATA)
    return LinkedPairs(front, angle, identities, two, couple, float(links), float(effective), _strata(bare, two))


def interval(correct: np.ndarray, linked: LinkedPairs, level: float = 0.95) -> tuple[float, float]:
    """Interval of the share of pairs classified correctly at a threshold that these pairs did not choose.

    correct: (n,) bool. Wilson's interval with the number of independent pairs that would vary as much, and Student's
    quantile, so that it stays inside 0 to 1. Where all pairs are right, or all wrong, as many as there are identities count.
    The numbers of positive and of negative pairs are taken as given.
    """
    values = _values(correct, linked)
    found = spread(values, linked)
    return _wilson(float(values.mean()), found.variance, found.quantile(level), linked)


def cross_fitted_interval(correct: np.ndarray, linked: LinkedPairs, level: float = 0.95) -> tuple[float, float]:
    """Interval of a cross-fitted accuracy, which covers the mean accuracy that its folds' thresholds truly have.

    correct: (n,) bool, each pair at the threshold solved without its identities. As `interval`,
    with up to a fifth more variance.
    """
    values = _values(correct, linked)
    found = spread(values, linked)
    variance = found.variance * (1 + min(len(values) ** (-1 / 3), _CROSS_FITTING_MOST))
    return _wilson(float(values.mean()), variance, found.quantile(level), linked)


def difference_interval(
    correct_a: np.ndarray, correct_b: np.ndarray, linked: LinkedPairs, level: float = 0.95
) -> tuple[float, float]:
    """Interval of mean(correct_a) - mean(correct_b) on the same pairs; (n,) bool or numbers each.

    (0, 0) where the two are right on the very same pairs.
    """
    differences = _values(correct_a, linked) - _values(correct_b, linked)
    reach = spread(differences, linked).reach(level)
    return max(float(differences.mean()) - reach, -1.0), min(float(differences.mean()) + reach, 1.0)


def auc_interval(
    scores: np.ndarray, labels: np.ndarray, linked: LinkedPairs, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the AUC (half credit for ties).

    scores, labels: (n,). DeLong's placement values (1988), linked pairs' products added, tell by how much more it varies than
    normal scores of independent pairs would; the interval is a score interval, as near an AUC of 1 their own variance
    is too small. At an AUC of 0 or 1 as many pairs count as there are identities, or as the smaller class has.
    ValueError on a single class, a score that is not finite, or lengths that differ.
    """
    scores, positive = np.asarray(scores), np.asarray(labels) == 1
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are NaN or infinite.")
    if scores.shape != positive.shape or positive.shape != linked.front.shape or positive.all() or not positive.any():
        raise ValueError(
            f"scores {scores.shape} and labels {positive.shape} must fit {linked.front.shape} pairs, and labels hold "
            "both 0 and 1."
        )
    parts = auc_parts(scores, positive)
    area = float(parts.mean())
    found = spread(parts, linked, linked.strata_of(~positive))
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if found.variance == 0 or not 0 < area < 1:
        fewer = min(linked.identities, positives, negatives)
        return score_interval(area, fewer, fewer, 0.0, found.quantile(level))
    return score_interval(area, positives, negatives, found.variance, found.quantile(level))


def auc_parts(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(n,) what each pair adds: their mean is the AUC, and varies as it does (DeLong). positive: (n,) bool."""
    placed = placements(scores, positive)
    sizes = np.where(positive, positive.sum(), (~positive).sum())
    return np.asarray(placed[positive].mean() + (placed - placed[positive].mean()) * len(sizes) / sizes)


def placements(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(n,) share of the other class's pairs that each pair is on the right side of, half for ties."""
    placed = np.empty(len(scores))
    for side, others in ((positive, np.sort(scores[~positive])), (~positive, np.sort(scores[positive]))):
        below = np.searchsorted(others, scores[side], "left") + np.searchsorted(others, scores[side], "right")
        placed[side] = below / (2 * len(others))
    placed[~positive] = 1 - placed[~positive]
    return placed


def spread(values: np.ndarray, linked: LinkedPairs, strata: Strata | None = None) -> Spread:
    """Variance of the mean of `values` (n,), and its degrees of freedom.

    Two parts: the pairs' own variance, and the covariance of pairs that share an identity. Both are solved from sums of
    products such that they are unbiased where every pair varies alike and shared identities covary alike; taking out the
    classes' means would else make them too small. Degrees of freedom follow the parts, as Satterthwaite's.
    """
    strata = linked.strata if strata is None else strata
    pairs = len(values)
    residuals = values - (np.bincount(strata.members, values) / strata.sizes)[strata.members]
    own_products = float(residuals @ residuals)
    of_identities, of_couples = linked.sums(residuals)
    shared_products = float(of_identities @ of_identities - of_couples @ of_couples) - own_products
    free = max(pairs - len(strata.sizes), 1)
    solvable = free * strata.left - strata.within**2
    if linked.links == 0:
        own, shared = own_products / free, 0.0
    elif solvable <= 1e-9 * free * linked.links:  # every pair is linked to every other one: nothing can be told apart
        own = shared = own_products / free
    else:
        own = max((own_products * strata.left + shared_products * strata.within) / solvable, 0.0)
        shared = (own_products * strata.within + shared_products * free) / solvable
    own_part = own / pairs
    shared_part = max(shared * linked.links / pairs**2, _LEAST_SHARED * own_part)
    variance = own_part + shared_part
    if variance <= _NO_VARIANCE:
        return Spread(0.0, 0.0, float(max(linked.identities - 1, 1)))
    by_identities = min(max(shared_part / variance, 0.0), 1.0)
    uncertain = by_identities**2 * _IDENTITIES_A_DEGREE / linked.effective_identities + (1 - by_identities) ** 2 / free
    return Spread(own_part, shared_part, max(1 / uncertain, 1.0))


def identity_resamples(identities: int, resamples: int, seed: int = 0) -> np.ndarray:
    """(R, K) uint16: how often each resample draws each identity; as many draws as there are identities."""
    drawn = np.random.default_rng(seed).integers(0, identities, (resamples, identities))
    drawn += identities * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * identities).reshape(resamples, -1).astype(np.uint16)


def _wilson(share: float, variance: float, quantile: float, linked: LinkedPairs) -> tuple[float, float]:
    """Wilson's interval with as many independent pairs as would have this variance."""
    like = share * (1 - share) / variance if variance > _NO_VARIANCE else min(linked.identities, len(linked.front))
    return _wilson_bounds(share, like, quantile)


def _wilson_bounds(share: float, pairs: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share of that many independent pairs."""
    odd = quantile**2 / pairs
    middle = (share + odd / 2) / (1 + odd)
    reach = float(np.sqrt(odd * share * (1 - share) + odd**2 / 4)) / (1 + odd)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _values(correct: np.ndarray, linked: LinkedPairs) -> np.ndarray:
    values = np.asarray(correct, dtype=np.float64)
    if values.shape != linked.front.shape:
        raise ValueError(f"{values.shape} values do not fit {linked.front.shape} pairs.")
    return values


def _strata(linked: LinkedPairs, second: np.ndarray) -> Strata:
    """Constants of the pairs' design; second: (n,) bool, of the second class.

    With A the 0/1 matrix of linked pairs without its diagonal, C the classes' indicators over the root of their sizes,
    and M = I - CCᵀ, which takes the means out: within = -tr(MA), left = tr(MAMA), from A applied to each class.
    """
    members = np.unique(second, return_inverse=True)[1]
    sizes = np.bincount(members)
    reached = np.stack([linked.neighbours((members == one) * 1.0) - (members == one) for one in range(len(sizes))])
    between = np.stack([np.bincount(members, row, len(sizes)) for row in reached])
    within = float((np.diag(between) / sizes).sum())
    left = linked.links - 2 * ((reached**2).sum(axis=1) / sizes).sum() + (between**2 / np.outer(sizes, sizes)).sum()
    return Strata(members, sizes, within, float(left))


_NO_STRATA = Strata(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 0.0, 0.0)
