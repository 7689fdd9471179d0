"""Winner and default on the same test pairs: what is counted, at which thresholds, with which intervals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.tools.synthetic import pair_data
from tests.tuner.analysis.test_health import HEALTHY, record
from trainable.metrics import intervals
from tuner.analysis.winner import TestPairs, run_columns
from tuner.results.schema import SCHEMAS


@pytest.fixture(scope="module")
def data():
    """60 test pairs of 30 identities."""
    return pair_data(size_px=4, identities=90)


@pytest.fixture(scope="module")
def pairs(data):
    return TestPairs(data)


def scores_at(pairs, accuracy, seed=0):
    """Test scores of which this share is on the right side of 0.5."""
    random = np.random.default_rng(seed)
    right = random.permutation(len(pairs.labels)) < accuracy * len(pairs.labels)
    offset = random.uniform(0.01, 0.4, len(right))
    return (0.5 + np.where((pairs.labels == 1) == right, offset, -offset)).astype(np.float32)


def compared(pairs, winner, default, fair=None):
    results = [pairs.result(scores_at(pairs, share, seed), 0.5) for seed, share in enumerate((winner, default))]
    third = dataclasses.replace(results[1], threshold=0.41) if fair is None else pairs.result(*fair)
    return pairs.compare(*results, third)


def test_test_results_are_at_the_threshold_that_was_given(pairs):
    """No threshold is looked for on test pairs, though a better one is there."""
    scores = scores_at(pairs, 1.0)
    assert pairs.result(scores, 0.5).accuracy == 1.0
    accept_all = pairs.result(scores, -1.0)
    assert accept_all.threshold == -1.0 and accept_all.accuracy == 0.5
    assert accept_all.auc == pairs.result(scores, 0.5).auc == 1.0
    assert np.array_equal(accept_all.correct, pairs.labels == 1)


def test_only_test_pairs_are_counted(data, pairs):
    """Their number, their labels and their identities."""
    rows = data.rows("test")
    assert len(pairs.labels) == len(rows) == 60 and pairs.identities == 30
    assert np.array_equal(pairs.labels, data.pair_label[rows])


def test_intervals_count_shared_identities(data, pairs):
    """Accuracy, AUC and difference each from the same pairs, and around their values."""
    rows = data.rows("test")
    linked = intervals.linked_pairs(data.front_identity[rows], data.angle_identity[rows])
    found = compared(pairs, 0.9, 0.6)
    assert found.winner.accuracy_interval == intervals.interval(found.winner.correct, linked)
    assert found.winner.auc_interval == intervals.auc_interval(scores_at(pairs, 0.9), pairs.labels, linked)
    assert found.difference_interval == intervals.difference_interval(
        found.winner.correct, found.default.correct, linked
    )
    assert found.difference == pytest.approx(0.3)
    for value, (low, high) in [
        (found.winner.accuracy, found.winner.accuracy_interval),
        (found.winner.auc, found.winner.auc_interval),
        (found.difference, found.difference_interval),
    ]:
        assert low < value < high


def test_a_trial_compared_with_itself_differs_by_nothing(pairs):
    """Same pairs, same linked: the interval is a point, not the width of two independent ones."""
    result = pairs.result(scores_at(pairs, 0.8), 0.5)
    same = pairs.compare(result, result, result)
    assert same.difference == 0 and same.difference_interval == (0, 0)


def test_the_comparison_fits_the_runs_table(pairs):
    """Every column exists there, and low ends lie below high ends."""
    columns = run_columns(compared(pairs, 0.9, 0.6), record(HEALTHY))
    assert columns.keys() <= set(SCHEMAS["runs"].names)
    assert columns["winner_trial"] == 3 and columns["threshold_winner"] == 0.5
    assert columns["test_accuracy_winner"] == pytest.approx(0.9)
    for name in ("test_accuracy_winner", "test_accuracy_default", "test_difference"):
        assert columns[f"{name}_low"] < columns[name] < columns[f"{name}_high"]
    assert columns["test_difference_solved"] == pytest.approx(0.9 - columns["test_accuracy_default_solved"])
    assert columns["test_identities"] > 0
