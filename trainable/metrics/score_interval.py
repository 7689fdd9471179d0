"""The interval of an AUC, with the variance that it has at each AUC that may be the true one.

Near 1 the variance that is estimated from the scores collapses: the fewer pairs are out of order, the surer the AUC looks,
and it looks surest where it is luckiest. A score interval (Wilson's for a share; for an AUC Newcombe's, 2006) holds every
AUC from which the one found is not too far, measured by the variance at that AUC. Here that is the variance of two normal
distributions alike in spread, times what the scores say it is more than that: shared identities, other distributions.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, owens_t

_HALVINGS = 40
_EDGE = 1e-12


def binormal_variance(area: float, positives: int, negatives: int) -> float:
    """Variance of the AUC found with so many independent pairs, scores normal and alike in spread, the true one being `area`.

    Mann and Whitney's formula, with the chance that two pairs of one class are both on the right side of one of the other.

    >>> round(binormal_variance(0.5, 10, 20), 6) == round((10 + 20 + 1) / (12 * 10 * 20), 6)  # as if labels meant nothing
    True
    """
    area = min(max(area, _EDGE), 1 - _EDGE)
    both = area - 2 * float(owens_t(ndtri(area), 1 / np.sqrt(3)))
    return (area * (1 - area) + (positives + negatives - 2) * (both - area**2)) / (positives * negatives)


def score_interval(
    area: float, positives: int, negatives: int, variance: float, quantile: float
) -> tuple[float, float]:
    """Low and high of all AUCs that `area` is at most `quantile` standard deviations away from.

    positives, negatives: numbers of pairs; variance: as estimated from their scores, shared identities included; what
    is less than independent normal scores would have counts as that.

    >>> low, high = score_interval(1.0, 30, 30, 0.0, 1.96)
    >>> round(low, 3), high
    (0.947, 1.0)
    """
    expected = binormal_variance(area, positives, negatives)
    inflation = max(variance / expected, 1.0)  # less is the luck of few pairs out of order

    def within(candidate: float) -> bool:
        room = quantile**2 * inflation * binormal_variance(candidate, positives, negatives)
        return (candidate - area) ** 2 <= room

    def bound(outside: float) -> float:
        inside = area
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if within(middle) else (inside, middle)
        return inside

    return (0.0 if area <= 0 else bound(0.0)), (1.0 if area >= 1 else bound(1.0))
