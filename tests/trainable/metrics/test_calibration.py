"""Probabilities from cosines: the curve that maximises the likelihood, cross-fitted, and its error, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tests.tools import reference
from tests.trainable.metrics.test_thresholds import scored_pairs
from trainable.metrics import calibration


def drawn(pairs: int, slope: float = 8.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines, labels drawn with the probability of a known curve, and that probability."""
    random = np.random.default_rng(seed)
    scores = random.uniform(-0.5, 1, pairs)
    truth = 1 / (1 + np.exp(-slope * (scores - 0.3)))
    return scores, (random.random(pairs) < truth).astype(int), truth


def test_the_curve_is_the_most_likely_one() -> None:
    """No slope and intercept has a lower loss at Platt's targets, found by another optimiser."""
    scores, labels, _ = drawn(400)
    found = calibration.fit(scores, labels)
    best = minimize(lambda p: reference.platt_loss(scores, labels, *p), [1.0, 0.0], method="Nelder-Mead")
    assert (found.slope, found.intercept) == pytest.approx(tuple(best.x), rel=1e-2)
    assert reference.platt_loss(scores, labels, found.slope, found.intercept) <= best.fun + 1e-6


def test_true_probabilities_are_found_again() -> None:
    """Cross-fitted ones too, and their error is small, where that of a curve twice as steep is not."""
    scores, labels, truth = drawn(4000)
    identity = np.arange(4000) // 2
    found = calibration.cross_fitted(scores, labels, identity, identity)
    assert np.abs(found - truth).max() < 0.05
    assert calibration.reliability(found, labels).error < 0.03
    steep = 1 / (1 + np.exp(-24 * (scores - 0.3)))
    assert calibration.reliability(steep, labels).error > 0.05


@settings(max_examples=40, deadline=None)
@given(scored_pairs())
def test_probabilities_are_finite_and_rise_with_the_cosine(pairs) -> None:
    """Also where scores separate the labels wholly, are all the same, or the wrong way round."""
    scores, labels = pairs
    curve = calibration.fit(scores, labels)
    found = curve(np.linspace(-1, 1, 50))
    assert ((found > 0) & (found < 1)).all() and (np.diff(found) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_reliability_is_the_loop_reference(rows) -> None:
    """Bins of equally many pairs; the error is their mean distance, a pair each."""
    probabilities, labels = (np.array(column) for column in zip(*rows, strict=True))
    found = calibration.reliability(probabilities, labels)
    error, brier = reference.calibration_error(probabilities.tolist(), labels.tolist(), calibration.BINS)
    assert found.error == pytest.approx(error) and found.brier == pytest.approx(brier)
    assert found.pairs.sum() == len(rows) and (np.diff(found.predicted) >= 0).all()


def test_no_pair_has_a_say_in_its_own_probability() -> None:
    """Turning the label of every pair of an identity leaves its probabilities as they were."""
    scores, labels, _ = drawn(300)
    front, angle = np.random.default_rng(1).integers(0, 60, (2, 300))
    before = calibration.cross_fitted(scores, labels, front, angle)
    own = (front == 7) | (angle == 7)
    after = calibration.cross_fitted(scores, np.where(own, 1 - labels, labels), front, angle)
    np.testing.assert_array_equal(after[own], before[own])
    assert (after[~own] != before[~own]).any()
