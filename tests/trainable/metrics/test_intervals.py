"""Intervals where pairs share identities, against loops over all couples of pairs and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.tools import reference
from trainable.metrics import intervals as b


def drawn_pairs(pairs: int, identities: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """labels, front and angle identities: every other pair is positive, the others link two identities at random."""
    rng = np.random.default_rng(seed)
    labels, front = np.arange(pairs) % 2, rng.integers(0, identities, pairs)
    other = (front + rng.integers(1, identities, pairs)) % identities
    return labels, front, np.where(labels == 1, front, other)


def shares(front: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(n, n) 1 where two pairs have an identity in common: the loop that the fast path stands for."""
    sets = [{one, other} for one, other in zip(front.tolist(), angle.tolist(), strict=True)]
    return np.array([[float(bool(one & other)) for other in sets] for one in sets])


@st.composite
def linked_values(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Front and angle identities of 2 to 20 pairs, and a number for each pair."""
    size = draw(st.integers(2, 20))
    identity = st.lists(st.integers(0, draw(st.integers(1, 12))), min_size=size, max_size=size)
    numbers = st.lists(st.integers(0, 1), min_size=size, max_size=size)
    return np.array(draw(identity)), np.array(draw(identity)), np.array(draw(numbers), dtype=np.float64)


@settings(max_examples=50, deadline=None)
@given(linked_values())
def test_sums_over_sharing_pairs_are_those_of_the_loop(given_values):
    """Each sharing pair counts once, also where two pairs share both identities, and a pair shares with itself."""
    front, angle, values = given_values
    linked = b.linked_pairs(front, angle)
    matrix = shares(front, angle)
    assert linked.neighbours(values) == pytest.approx(matrix @ values)
    of_identities, of_couples = linked.sums(values)
    assert of_identities @ of_identities - of_couples @ of_couples == pytest.approx(values @ matrix @ values)
    assert linked.links == matrix.sum() - len(values)


def matrix_variance(values: np.ndarray, front: np.ndarray, angle: np.ndarray) -> tuple[float, float]:
    """Both parts of the variance of the mean from n × n matrices, the shared part as it is found."""
    size, one, off = len(values), np.eye(len(values)), shares(front, angle) - np.eye(len(values))
    classes = [side for side in (front == angle, front != angle) if side.any()]
    centring = one - sum(np.outer(side, side) / side.sum() for side in classes)
    residuals = centring @ values
    # Expected products of residuals that have variance `own` and, where an identity is shared, covariance `shared`.
    expected = [[np.trace(centring @ left @ centring @ right) for right in (one, off)] for left in (one, off)]
    own, shared = np.linalg.solve(expected, [residuals @ residuals, residuals @ off @ residuals])
    return own / size, shared * off.sum() / size**2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 9), st.integers(10, 30))
def test_the_variance_is_the_one_solved_with_matrices(seed, identities, pairs):
    """Own and shared part; a shared part below -0.15 of the own one is raised to that."""
    _, front, angle = drawn_pairs(pairs, identities, seed)
    values = np.random.default_rng(seed).random(pairs)
    found = b.spread(values, b.linked_pairs(front, angle))
    own, shared = matrix_variance(values, front, angle)
    assume(own > 0)
    assert found.own == pytest.approx(own)
    assert found.shared == pytest.approx(max(shared, -0.15 * own))
    assert found.variance == found.own + found.shared
    assert 1 <= found.degrees <= pairs + identities


def test_pairs_that_share_nothing_have_the_textbook_variance():
    """The pooled variance over n, with as many degrees of freedom as pairs less classes."""
    front, angle = np.arange(40), np.r_[np.arange(20), np.arange(100, 120)]
    values = np.random.default_rng(0).random(40)
    found = b.spread(values, b.linked_pairs(front, angle))
    pooled = (values[:20].var(ddof=1) + values[20:].var(ddof=1)) / 2
    assert (found.own, found.shared, found.degrees) == (pytest.approx(pooled / 40), 0, pytest.approx(38))


@pytest.mark.parametrize("dependence", [0.0, 0.8])
def test_the_variance_is_right_on_average(dependence, monkeypatch):
    """Over 600 draws of values with identity effects it is within 6 % of how much the mean truly varies."""
    monkeypatch.setattr(b, "_LEAST_SHARED", -np.inf)  # which keeps single estimates sensible, and biases their mean
    _, front, angle = drawn_pairs(96, 24, seed=1)
    linked, rng = b.linked_pairs(front, angle), np.random.default_rng(2)
    loading = (np.eye(24)[front] + np.eye(24)[angle]) * np.where(front == angle, 0.5, np.sqrt(0.5))[:, None]
    values = np.sqrt(dependence) * rng.normal(size=(600, 24)) @ loading.T
    values += np.sqrt(1 - dependence) * rng.normal(size=(600, 96))
    true = (dependence * loading @ loading.T + (1 - dependence) * np.eye(96)).mean()
    assert np.mean([b.spread(one, linked).variance for one in values]) == pytest.approx(true, rel=0.06)


def test_degrees_of_freedom_follow_where_the_variance_comes_from():
    """Pairs of their own luck: about as many as pairs. Whole identities right or wrong: fewer than identities."""
    identity, rng = np.repeat(np.arange(30), 10), np.random.default_rng(0)
    linked = b.linked_pairs(identity, identity)
    assert b.spread((rng.random(30) < 0.7)[identity] * 1.0, linked).degrees < 30
    own = b.spread(np.tile(np.arange(10.0), 30), linked)
    assert own.degrees == pytest.approx(299) and own.shared <= 0


def test_the_interval_covers_the_truth_95_percent_of_the_time():
    """Accuracy 0.8 of independent pairs, and of 30 identities with 6 pairs each that are right or wrong together."""
    rng = np.random.default_rng(0)
    lone, grouped = np.arange(250), np.repeat(np.arange(30), 6)
    for identity, correct in (
        (lone, rng.random((800, 250)) < 0.8),
        (grouped, (rng.random((800, 30)) < 0.8)[:, grouped]),
    ):
        linked = b.linked_pairs(identity, identity)
        intervals = [b.interval(one, linked) for one in correct]
        assert np.mean([low <= 0.8 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.02)


def test_identities_that_matter_make_every_interval_wider():
    """Scores driven by 15 identities: accuracy, difference and AUC vary more than 200 pairs of their own would."""
    labels, front, angle = drawn_pairs(200, 15)
    rng = np.random.default_rng(1)
    effect, other = rng.normal(size=(2, 15))
    scores = 2 * labels + effect[front] + effect[angle] + 0.1 * rng.normal(size=200)
    correct = (scores > 1) == (labels == 1)
    second = (2 * labels + other[front] + other[angle] > 1) == (labels == 1)
    linked, lone = b.linked_pairs(front, angle), b.linked_pairs(np.arange(200), np.arange(200))
    for find in (
        lambda by: b.interval(correct, by),
        lambda by: b.difference_interval(correct, second, by),
        lambda by: b.auc_interval(scores, labels, by),
        lambda by: b.cross_fitted_interval(correct, by),
    ):
        wide, narrow = find(linked), find(lone)
        assert wide[1] - wide[0] > 1.25 * (narrow[1] - narrow[0])


@settings(max_examples=50, deadline=None)
@given(linked_values(), st.floats(0.5, 0.99))
def test_bounds_hold_the_share_and_stay_inside_0_and_1(given_values, level):
    """Whatever shares identities with what; right and wrong exchanged, the interval is mirrored."""
    front, angle, correct = given_values
    linked = b.linked_pairs(front, angle)
    for find in (b.interval, b.cross_fitted_interval):
        low, high = find(correct, linked, level)
        assert 0 <= low <= correct.mean() + 1e-12 and correct.mean() - 1e-12 <= high <= 1 and low < high
        assert find(1 - correct, linked, level) == pytest.approx((1 - high, 1 - low))
    wider = b.interval(correct, linked, 0.995)
    assert wider[0] <= b.interval(correct, linked, level)[0] + 1e-12


@settings(max_examples=50, deadline=None)
@given(linked_values(), st.integers(0, 10**6))
def test_an_auc_interval_is_mirrored_when_the_scores_are_negated(given_values, seed):
    """It holds the AUC (ties included), and stays inside 0 to 1, also at an AUC of 0 or 1."""
    front, angle, scores = given_values
    labels = np.random.default_rng(seed).integers(0, 2, len(scores))
    assume(0 < labels.sum() < len(labels))
    linked = b.linked_pairs(front, angle)
    low, high = b.auc_interval(scores, labels, linked)
    area = reference.auc(scores, labels)
    assert 0 <= low <= area + 1e-12 and area - 1e-12 <= high <= 1
    assert b.auc_interval(-scores, labels, linked) == pytest.approx((1 - high, 1 - low))


def test_placements_are_shares_of_the_other_class_on_the_right_side():
    """Counted one by one, half for ties; their mean over either class is the AUC."""
    scores = np.array([0.1, 0.5, 0.5, 0.9, 0.3])
    positive = np.array([False, True, False, True, False])
    assert b.placements(scores, positive) == pytest.approx([1, 2.5 / 3, 0.75, 1, 1])
    assert b.placements(scores, positive)[positive].mean() == pytest.approx(reference.auc(scores, positive * 1))


def test_a_difference_is_mirrored_when_its_sides_are_exchanged():
    """And nothing at all where the two are right on the same pairs."""
    _, front, angle = drawn_pairs(60, 12)
    first, second = np.random.default_rng(0).random((2, 60)) < [[0.8], [0.6]]
    linked = b.linked_pairs(front, angle)
    low, high = b.difference_interval(first, second, linked)
    assert low < first.mean() - second.mean() < high
    assert b.difference_interval(second, first, linked) == pytest.approx((-high, -low))
    assert b.difference_interval(first, first, linked) == (0, 0)


def test_no_error_at_all_is_not_certainty():
    """All right: as if there were as many pairs as identities, not as many as pairs."""
    identity = np.repeat(np.arange(20), 10)
    low, high = b.interval(np.ones(200, dtype=bool), b.linked_pairs(identity, identity))
    assert high == 1 and 0.75 < low < 0.85
    labels, front, angle = drawn_pairs(200, 20)
    low, high = b.auc_interval(labels * 1.0, labels, b.linked_pairs(front, angle))
    assert high == 1 and 0.85 < low < 0.92


def test_the_names_of_identities_and_the_order_of_pairs_do_not_matter():
    """Texts do as well as numbers, and which of two identities is in front is the same to all."""
    labels, front, angle = drawn_pairs(80, 10)
    scores = np.random.default_rng(0).normal(labels, 1)
    expected = b.auc_interval(scores, labels, b.linked_pairs(front, angle))
    order = np.random.default_rng(1).permutation(80)
    names = np.array([f"object {one}" for one in range(10)])
    again = b.linked_pairs(names[angle[order]], names[front[order]])
    assert b.auc_interval(scores[order], labels[order], again) == pytest.approx(expected)


def test_where_everything_is_linked_whole_dependence_is_assumed():
    """One identity only: its pairs tell nothing about other identities, and the interval is nearly everything."""
    one = np.zeros(20, dtype=int)
    low, high = b.interval(np.arange(20) < 15, b.linked_pairs(one, one))
    assert low < 0.1 and high > 0.9


def test_cross_fitting_adds_to_the_width():
    """By a fifth of the variance at most, by less the more pairs there are."""
    rng = np.random.default_rng(0)
    for pairs, least, most in ((60, 1.07, 1.1), (4000, 1.02, 1.05)):
        linked, correct = b.linked_pairs(np.arange(pairs), np.arange(pairs)), rng.random(pairs) < 0.5
        (low, high), (first, last) = b.cross_fitted_interval(correct, linked), b.interval(correct, linked)
        assert least < (high - low) / (last - first) < most


def test_resamples_draw_as_many_identities_as_there_are():
    """Uniformly, with replacement, and the same ones for the same seed."""
    counts = b.identity_resamples(10, 2000, seed=3)
    assert counts.shape == (2000, 10) and (counts.sum(axis=1) == 10).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(10), abs=0.1)
    assert np.array_equal(counts, b.identity_resamples(10, 2000, seed=3))
    assert not np.array_equal(counts, b.identity_resamples(10, 2000, seed=4))


def test_what_does_not_fit_is_refused():
    """Lengths that differ, no pair, and an AUC of one class or of scores that are no numbers, each with what was given."""
    linked = b.linked_pairs(np.arange(4), np.arange(4))
    for call, said in (
        (lambda: b.linked_pairs(np.arange(3), np.arange(4)), r"identities have shapes \(3,\) and \(4,\)"),
        (lambda: b.linked_pairs(np.arange(0), np.arange(0)), "n > 0"),
        (lambda: b.interval(np.ones(3), linked), r"\(3,\) values do not fit \(4,\) pairs"),
        (lambda: b.auc_interval(np.ones(4), np.ones(4), linked), "hold both 0 and 1"),
        (lambda: b.auc_interval(np.ones(3), np.arange(4) % 2, linked), r"scores \(3,\)"),
        (lambda: b.auc_interval(np.array([0, np.nan, 1, 2]), np.arange(4) % 2, linked), "1 of 4 scores are NaN"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
