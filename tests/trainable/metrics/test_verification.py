"""Measures of how well scores tell pairs apart, against tests/tools/reference.py and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from tests.tools import reference
from tests.trainable.metrics.test_thresholds import scored_pairs
from trainable.metrics import verification


@settings(max_examples=60, deadline=None)
@given(scored_pairs())
def test_verify_is_the_loop_reference(pairs):
    """AUC, average precision, EER, TAR, similarities and d', ties included; AUC is scikit-learn's too."""
    scores, labels = pairs
    found = verification.verify(scores, labels)
    exact = scores.astype(np.float64)
    assert found.auc == pytest.approx(reference.auc(exact, labels))
    assert found.auc == pytest.approx(roc_auc_score(labels, exact))
    assert found.average_precision == pytest.approx(reference.average_precision(exact, labels))
    assert found.eer == pytest.approx(reference.equal_error_rate(exact, labels))
    assert found.tar_at_far_1e1 == reference.tar_at_far(exact, labels, 10)
    assert found.tar_at_far_1e2 is None and found.tar_at_far_1e3 is None
    assert found.positive_similarity == pytest.approx(exact[labels == 1].mean())
    assert found.negative_similarity == pytest.approx(exact[labels == 0].mean())
    assert found.similarity_gap == pytest.approx(found.positive_similarity - found.negative_similarity)
    if found.d_prime is not None:
        assert found.d_prime == pytest.approx(reference.d_prime(exact, labels))


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_the_curve_and_its_areas_are_those_of_scikit_learn(pairs):
    """To the bit, ties included: workers compute them without it."""
    scores, labels = pairs
    exact = scores.astype(np.float64)
    false_accepts, true_accepts, _ = roc_curve(labels, exact, drop_intermediate=False)
    found = verification.roc_curve(scores, labels)
    assert np.array_equal(found[0], false_accepts) and np.array_equal(found[1], true_accepts)
    measures = verification.verify(scores, labels)
    assert measures.auc == auc(false_accepts, true_accepts)
    assert measures.average_precision == average_precision_score(labels, exact)


def test_tar_at_far_needs_enough_negatives():
    """1e-3 is absent below 1000 negatives and right from there on; 1e-2 from 100."""
    rng = np.random.default_rng(0)
    for negatives in (99, 100, 999, 1000):
        labels = np.repeat([1, 0], [50, negatives])
        scores = rng.normal(labels, 0.5)
        found = verification.verify(scores, labels)
        assert found.tar_at_far_1e2 == reference.tar_at_far(scores, labels, 100)
        assert found.tar_at_far_1e3 == reference.tar_at_far(scores, labels, 1000)
        assert (found.tar_at_far_1e2 is None) == (negatives < 100)
        assert (found.tar_at_far_1e3 is None) == (negatives < 1000)


def test_collapsed_scores_have_no_separation():
    """AUC and EER a half, gap 0, d' absent rather than 0 or infinite."""
    found = verification.verify(np.full(20, 0.998, dtype=np.float32), np.arange(20) % 2)
    assert (found.auc, found.eer, found.similarity_gap, found.d_prime) == (0.5, 0.5, 0, None)
    assert found.tar_at_far_1e1 == 0
