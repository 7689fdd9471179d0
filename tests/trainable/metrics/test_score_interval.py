"""The score interval of an AUC: its variance against a loop and the textbook, its bounds, and near 1 its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from trainable.metrics.intervals import auc_interval, auc_parts, linked_pairs
from trainable.metrics.score_interval import binormal_variance, score_interval


@pytest.mark.parametrize("area", [0.2, 0.5, 0.86, 0.99])
def test_the_variance_is_mann_and_whitneys(area):
    """With the chance of two pairs on the right side of a third one from the bivariate normal distribution itself."""
    both = multivariate_normal.cdf([norm.ppf(area)] * 2, cov=[[1, 0.5], [0.5, 1]])
    expected = (area * (1 - area) + (7 - 1 + 9 - 1) * (both - area**2)) / (7 * 9)
    assert binormal_variance(area, 7, 9) == pytest.approx(expected, abs=1e-6)


def test_the_variance_is_that_of_simulated_areas():
    """4,000 draws of 15 and 25 normal scores."""
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(2, 1, (4000, 15)), rng.normal(0, 1, (4000, 25))
    areas = (positive[:, :, None] > negative[:, None, :]).mean(axis=(1, 2))
    assert areas.var() == pytest.approx(binormal_variance(norm.cdf(np.sqrt(2)), 15, 25), rel=0.08)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.98), st.integers(2, 300), st.integers(2, 300), st.floats(0, 0.01), st.floats(1, 3))
def test_the_bounds_are_where_the_distance_is_the_quantile(area, positives, negatives, variance, quantile):
    """Inside 0 to 1, about the area, mirrored with it, and never narrower for more variance."""
    low, high = score_interval(area, positives, negatives, variance, quantile)
    assert 0 <= low <= area <= high <= 1
    assert score_interval(1 - area, positives, negatives, variance, quantile) == pytest.approx((1 - high, 1 - low))
    inflation = max(variance / binormal_variance(area, positives, negatives), 1)
    for bound in (low, high):
        room = quantile**2 * inflation * binormal_variance(bound, positives, negatives)
        assert (bound - area) ** 2 == pytest.approx(room, rel=1e-3, abs=1e-9)
    wider = score_interval(area, positives, negatives, 2 * variance, quantile)
    assert wider[0] <= low + 1e-9 and wider[1] >= high - 1e-9


def test_it_covers_an_auc_near_1():
    """AUC .99 of 24 identities with two pairs each: 93 % and more; log-odds with the estimated variance did not."""
    rng, identity = np.random.default_rng(1), np.arange(24)
    front, angle = np.tile(identity, 4), np.r_[identity, identity, np.roll(identity, 1), np.roll(identity, 5)]
    labels, true = (front == angle).astype(int), norm.cdf(3.3 / np.sqrt(2))
    linked, held, by_log_odds = linked_pairs(front, angle), [], []
    for _ in range(400):
        effect = rng.normal(size=(2, 24))
        negative = (effect[1, front] + effect[1, angle]) / np.sqrt(2)
        own = rng.normal(size=96)
        scores = 3.3 * labels + np.sqrt(0.7) * np.where(labels == 1, effect[0, front], negative) + np.sqrt(0.3) * own
        low, high = auc_interval(scores, labels, linked)
        held.append(low <= true <= high)
        parts = auc_parts(scores, labels == 1)
        reach = 1.96 * parts.std() / np.sqrt(96) / max(parts.mean() * (1 - parts.mean()), 1e-9)
        middle = np.log(parts.mean() / max(1 - parts.mean(), 1e-9))
        by_log_odds.append(abs(np.log(true / (1 - true)) - middle) <= reach)
    assert np.mean(held) >= 0.93 and np.mean(by_log_odds) < 0.93
