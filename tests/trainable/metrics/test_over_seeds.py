"""Means over several trainings: their intervals count identities and seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainable.metrics.intervals import auc_interval, auc_parts, difference_interval, linked_pairs, spread
from trainable.metrics.over_seeds import auc_difference, auc_over_seeds, over_seeds
from trainable.metrics.verification import verify

IDENTITIES = 60
FRONT = np.tile(np.arange(IDENTITIES), 2)
ANGLE = np.concatenate([np.arange(IDENTITIES), np.roll(np.arange(IDENTITIES), 1)])
LABELS = (FRONT == ANGLE).astype(int)
LINKED = linked_pairs(FRONT, ANGLE)
RNG = np.random.default_rng(3)


def scores(seeds: int, gap: float = 1.0, of_seed: float = 0.0) -> np.ndarray:
    gaps = gap + of_seed * RNG.normal(size=(seeds, 1))
    return LABELS * gaps + RNG.normal(size=(seeds, len(LABELS)))


def test_of_one_seed_it_is_the_interval_over_identities() -> None:
    """Nothing is known of seeds then."""
    a, b = RNG.random(len(LABELS)) < 0.8, RNG.random(len(LABELS)) < 0.7
    found = over_seeds(a.astype(float) - b, LINKED)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.interval() == pytest.approx(difference_interval(a, b, LINKED))


def test_the_variance_is_that_of_identities_and_of_seeds() -> None:
    """The slow way: both by themselves, and Satterthwaite's degrees of freedom of their sum."""
    values = (scores(4) > 0.5).astype(float)
    found, identities = over_seeds(values, LINKED), spread(values.mean(axis=0), LINKED)
    of_seeds = np.var([row.mean() for row in values], ddof=1) / 4
    total = identities.variance + of_seeds
    degrees = total**2 / (identities.variance**2 / identities.degrees + of_seeds**2 / 3)
    assert (found.variance, found.degrees) == pytest.approx((total, degrees))
    assert found.interval()[1] - found.mean == pytest.approx(stats.t.ppf(0.975, degrees) * np.sqrt(total))
    assert found.above_zero == pytest.approx(stats.t.cdf(found.mean / np.sqrt(total), degrees))


def test_the_parts_of_an_auc_have_it_for_a_mean() -> None:
    """And its variance: the score interval is the same to first order."""
    one = scores(1)[0]
    assert auc_parts(one, LABELS == 1).mean() == pytest.approx(verify(one, LABELS).auc)
    plain, score = auc_over_seeds(one[None], LABELS, LINKED).interval(), auc_interval(one, LABELS, LINKED)
    assert plain == pytest.approx(score, abs=0.02)


def test_a_difference_of_aucs_is_paired() -> None:
    """Equal scores differ by nothing, whatever they are; a difference that seeds decide is less sure than it looks."""
    a = scores(3)
    same = auc_difference(a, a, LABELS, LINKED)
    assert (same.mean, same.interval(), same.above_zero) == (0, (0, 0), 0.5)
    better = auc_difference(a + LABELS, a, LABELS, LINKED)
    assert better.mean == pytest.approx(np.mean([verify(x + LABELS, LABELS).auc - verify(x, LABELS).auc for x in a]))
    assert better.interval()[0] > 0 and better.above_zero > 0.97


def test_intervals_hold_the_mean_over_all_seeds() -> None:
    """About 95 times in 100, where seeds matter as much as identities; those over identities alone far less often."""
    held, held_without = [], []
    for _ in range(150):
        values = scores(4, of_seed=0.0) + 0.3 * RNG.normal(size=(4, 1)) - LABELS
        found = over_seeds(values, LINKED)
        low, high = found.interval()
        held.append(low < 0 < high)
        reach = spread(values.mean(axis=0), LINKED).reach(0.95)
        held_without.append(abs(found.mean) < reach)
    assert np.mean(held) > 0.9 and np.mean(held_without) < 0.8
