"""Intervals by bootstrap over identities, against tests/tools/reference.py and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools import reference
from tests.trainable.metrics.test_thresholds import simulated
from trainable.metrics import bootstrap, thresholds, verification


def test_resamples_weigh_a_pair_by_the_counts_of_its_identities():
    """A pair of one identity by its count, once; a pair of two by the product; as many draws as identities."""
    front, angle = np.array([0, 1, 2, 0, 1]), np.array([0, 1, 2, 1, 2])
    weights = bootstrap.identity_resamples(front, angle, resamples=50, seed=3)
    assert weights.shape == (50, 5) and weights.dtype == np.float32
    assert (weights[:, :3].sum(axis=1) == 3).all()
    assert np.array_equal(weights[:, 3], weights[:, 0] * weights[:, 1])
    assert np.array_equal(weights[:, 4], weights[:, 1] * weights[:, 2])
    assert np.array_equal(weights, bootstrap.identity_resamples(front, angle, resamples=50, seed=3))
    assert not np.array_equal(weights, bootstrap.identity_resamples(front, angle, resamples=50, seed=4))
    assert bootstrap.identity_resamples(front, angle).shape[0] == 1000


def test_intervals_are_percentiles_of_the_weighted_loop_reference():
    """Mean, difference and AUC (ties included), one resample at a time; unusable resamples are left out."""
    scores, labels, front, angle = simulated(24)
    scores = scores.round(1)
    weights = bootstrap.identity_resamples(front, angle, resamples=60)
    weights[0], weights[1] = 0, labels
    correct, other = thresholds.correct_at(scores, labels, 0.0), thresholds.correct_at(scores, labels, 0.3)
    means = [np.average(correct, weights=w) for w in weights[1:]]
    assert bootstrap.interval(correct, weights) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    gaps = [np.average(correct * 1.0 - other, weights=w) for w in weights[1:]]
    assert bootstrap.difference_interval(correct, other, weights, 0.8) == pytest.approx(
        tuple(np.quantile(gaps, [0.1, 0.9]))
    )
    aucs = [reference.auc(scores, labels, w) for w in weights[2:] if min(w @ labels, w @ (1 - labels)) > 0]
    assert bootstrap.auc_interval(scores, labels, weights) == pytest.approx(tuple(np.quantile(aucs, [0.025, 0.975])))
    for unusable in (
        lambda: bootstrap.interval(correct, weights[:1]),
        lambda: bootstrap.auc_interval(scores, labels, weights[:2]),
    ):
        with pytest.raises(ValueError, match="no resample is usable"):
            unusable()


def test_the_interval_covers_the_truth_95_percent_of_the_time():
    """Independent identities, true accuracy 0.8: about 95 of 100 intervals of accuracy hold it."""
    rng, pairs = np.random.default_rng(0), np.arange(250)
    weights = bootstrap.identity_resamples(pairs, pairs, resamples=400)
    intervals = [bootstrap.interval(rng.random(250) < 0.8, weights) for _ in range(1000)]
    assert np.mean([low <= 0.8 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.02)


def test_pairs_that_share_an_identity_make_the_interval_wider():
    """Where whole identities succeed or fail, a bootstrap of pairs claims too much; one of identities does not."""
    rng = np.random.default_rng(0)
    identity = np.arange(200) // 10
    by_identity = bootstrap.identity_resamples(identity, identity, resamples=400)
    by_pair = bootstrap.identity_resamples(np.arange(200), np.arange(200), resamples=400)
    covered = {"identity": 0, "pair": 0}
    for _ in range(200):
        correct = (rng.random(20) < 0.7)[identity]
        wide, narrow = bootstrap.interval(correct, by_identity), bootstrap.interval(correct, by_pair)
        assert wide[1] - wide[0] > 1.8 * (narrow[1] - narrow[0]) or correct.mean() in (0, 1)
        covered["identity"] += wide[0] <= 0.7 <= wide[1]
        covered["pair"] += narrow[0] <= 0.7 <= narrow[1]
    assert covered["identity"] / 200 > 0.88 and covered["pair"] / 200 < 0.6


def test_negatives_that_link_two_identities_widen_the_auc_interval_too():
    """Scores driven by the identities: resampling identities is wider than resampling pairs."""
    rng = np.random.default_rng(1)
    _, labels, front, angle = simulated(200)
    front, angle = front % 15, angle % 15
    angle = np.where((labels == 0) & (front == angle), (angle + 1) % 15, angle)
    effect = rng.normal(size=15)
    scores = labels + effect[front] + effect[angle] + 0.1 * rng.normal(size=200)
    wide = bootstrap.auc_interval(scores, labels, bootstrap.identity_resamples(front, angle))
    narrow = bootstrap.auc_interval(scores, labels, bootstrap.identity_resamples(np.arange(200), np.arange(200)))
    assert wide[0] < verification.verify(scores, labels).auc < wide[1]
    assert wide[1] - wide[0] > 1.3 * (narrow[1] - narrow[0])
