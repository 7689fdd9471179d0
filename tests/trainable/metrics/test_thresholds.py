"""The solved threshold, cross-fitting and accuracy at a threshold, against tests/tools/reference.py and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import reference
from trainable.config import Purpose
from trainable.errors import InputError
from trainable.metrics import thresholds, verification


@st.composite
def scored_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, -1 and 1 among them, and labels of both classes, in fp32 or fp64."""
    size = draw(st.integers(2, 24))
    grid = st.integers(-4, 4).map(lambda step: step / 4)
    free = st.floats(-1, 1, width=32)
    scores = draw(st.lists(draw(st.sampled_from([grid, free])), min_size=size, max_size=size))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size).filter(lambda y: 0 < sum(y) < len(y)))
    return np.array(scores, dtype=draw(st.sampled_from([np.float32, np.float64]))), np.array(labels)


def simulated(pairs: int, seed: int = 0, gap: float = 0.5) -> tuple[np.ndarray, ...]:
    """scores, labels, front and angle identities: every other pair positive, a negative links two identities."""
    rng = np.random.default_rng(seed)
    labels = np.arange(pairs) % 2
    scores = np.clip(rng.normal(gap * labels - gap / 2, 0.3), -1, 1)
    front = rng.permutation(np.arange(pairs) % (pairs // 2))
    strangers = (front + rng.integers(1, pairs // 2, pairs)) % (pairs // 2)
    return scores, labels, front, np.where(labels == 1, front, strangers)


@settings(max_examples=150, deadline=None)
@given(scored_pairs(), st.data())
def test_best_threshold_is_the_brute_force_optimum(pairs, data):
    """Its accuracy is that of trying every cut, its own cut reaches it, and its plateau is the widest such."""
    scores, labels = pairs
    weights = None
    if data.draw(st.booleans()):
        weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))) / 3.0
        if min(weights[labels == 1].sum(), weights[labels == 0].sum()) == 0:
            return
    found = thresholds.best_threshold(scores, labels, weights)
    exact = scores.astype(np.float64)
    best, width = reference.best_plateau(exact.tolist(), labels, weights)
    assert found.accuracy == pytest.approx(best)
    for cut in (found.value, found.high):
        assert reference.accuracy(exact, labels, cut, weights) == pytest.approx(best)
    assert found.high - found.low == pytest.approx(width, abs=2e-7)
    assert found.low <= found.value <= found.high
    assert np.array_equal(scores >= found.value, exact >= found.value), "fp32 scores may be compared as they are"


def test_the_threshold_is_the_middle_of_the_widest_plateau():
    """Between 0.2 and 0.6, both of which could be cut at; a lone negative above loses less than a narrow cut wins."""
    found = thresholds.best_threshold(np.array([-0.5, 0.2, 0.6, 0.9]), np.array([0, 0, 1, 1]))
    assert (found.value, found.low, found.high, found.accuracy) == (pytest.approx(0.4), 0.2, 0.6, 1.0)
    two = thresholds.best_threshold(np.array([0.1, 0.2, 0.5, 0.9]), np.array([0, 1, 0, 1]))
    assert (two.low, two.high, two.accuracy) == (0.5, 0.9, 0.75), "0.1 to 0.2 is as good and narrower"


@pytest.mark.parametrize("level", [1.0, 0.3, -1.0, 0.0])
def test_collapsed_scores_give_50_percent_whatever_the_order(level):
    """Ties are never split: half of the pairs are right, also with all positives first."""
    labels = np.repeat([1, 0], 10)
    for order in (slice(None), slice(None, None, -1)):
        found = thresholds.best_threshold(np.full(20, level, dtype=np.float32), labels[order])
        assert found.accuracy == 0.5
        assert thresholds.accuracy_at(np.full(20, level, dtype=np.float32), labels[order], found.value) == 0.5


def test_accept_all_and_reject_all_stay_near_the_cosine_range():
    """The ends reach to -1 and 1; only a score of exactly 1 that must be rejected takes the value one step past 1."""
    scores = np.array([0.2, 0.4, 0.6, 0.8])
    accept = thresholds.best_threshold(scores, np.array([1, 1, 1, 0]))
    assert (accept.low, accept.high, accept.value) == (-1, 0.2, pytest.approx(-0.4)) and accept.accuracy == 0.75
    reject = thresholds.best_threshold(scores, np.array([1, 0, 0, 0]))
    assert (reject.low, reject.high, reject.value) == (0.8, 1, pytest.approx(0.9)) and reject.accuracy == 0.75
    for dtype in (np.float32, np.float64):
        top = np.array([1.0, 1.0, 1.0], dtype=dtype)
        found = thresholds.best_threshold(top, np.array([1, 0, 0]))
        assert 1 < found.value < 1 + 1e-6 and thresholds.accuracy_at(top, [1, 0, 0], found.value) == pytest.approx(
            2 / 3
        )
        assert not (top >= found.value).any()


def test_neighbouring_floats_are_told_apart():
    """No float lies between the two scores: the cut is the upper one, which is accepted."""
    scores = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], dtype=np.float32)
    found = thresholds.best_threshold(scores, np.array([0, 1]))
    assert found.accuracy == 1 and found.value == scores[1]
    assert thresholds.accuracy_at(scores, [0, 1], found.value) == 1
    assert thresholds.accuracy_at(scores, [0, 1], float(scores[0])) == 0.5


def test_weights_move_the_threshold():
    """A heavy negative is rejected at the cost of light positives; a pair of weight 0 has no say."""
    scores, labels = np.array([0.1, 0.3, 0.5, 0.7]), np.array([1, 1, 0, 1])
    assert thresholds.best_threshold(scores, labels).value < 0.1
    heavy = thresholds.best_threshold(scores, labels, np.array([1, 1, 5, 1]))
    assert 0.5 < heavy.value <= 0.7 and heavy.accuracy == pytest.approx(6 / 8)
    silent = thresholds.best_threshold(scores, labels, np.array([1, 0, 1, 1]))
    assert silent == thresholds.best_threshold(scores[[0, 2, 3]], labels[[0, 2, 3]])
    for bad in ([1, 1, 0, 1], [1, 1, -1, 1], [1, 1, np.nan, 1], [1, 1]):
        with pytest.raises(ValueError, match="weight"):
            thresholds.best_threshold(scores, labels, np.array(bad))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [1, 1], "one label"),
        ([0.1, 0.2], [0, 0], "one label"),
        ([0.1, np.nan], [0, 1], "1 of 2 scores are NaN or infinite"),
        ([0.1, 0.2], [0, 2], "0 or 1"),
        ([0.1, 0.2, 0.3], [0, 1], "do not fit"),
    ],
)
def test_pairs_that_cannot_be_judged_are_refused(scores, labels, message):
    """A single class, a score that is not a number, another label or another length: ValueError from every function."""
    scores, labels = np.array(scores), np.array(labels)
    identities = np.arange(len(scores))
    for judge in (
        lambda: thresholds.best_threshold(scores, labels),
        lambda: verification.verify(scores, labels),
        lambda: thresholds.accuracy_at(scores, labels, 0.5),
        lambda: thresholds.cross_fitted(scores, labels, identities, identities),
    ):
        with pytest.raises(ValueError, match=message):
            judge()


def test_accuracies_count_decisions_at_or_above_the_threshold():
    """A score equal to the threshold is accepted."""
    scores, labels = np.array([0.9, 0.5, 0.5, 0.1, 0.0]), np.array([1, 1, 0, 0, 0])
    assert thresholds.accuracy_at(scores, labels, 0.5) == 0.8
    assert thresholds.correct_at(scores, labels, 0.5).tolist() == [True, True, False, True, True]


def test_random_scores_look_better_in_sample_than_they_are():
    """At n = 100 the best in-sample accuracy averages 0.558; cross-fitted it is what it should be, a half."""
    in_sample, fitted = [], []
    for seed in range(200):
        scores, labels, front, angle = simulated(100, seed, gap=0)
        in_sample.append(thresholds.best_threshold(scores, labels).accuracy)
        fitted.append(thresholds.cross_fitted(scores, labels, front, angle).accuracy)
    assert np.mean(in_sample) == pytest.approx(0.558, abs=0.006)
    assert np.mean(fitted) == pytest.approx(0.5, abs=0.012)


def test_cross_fitted_accuracy_of_separable_scores_is_near_the_in_sample_one():
    """Per-pair correctness is that of the thresholds given back, and their mean is the accuracy."""
    scores, labels, front, angle = simulated(400)
    found = thresholds.cross_fitted(scores, labels, front, angle)
    assert np.array_equal(found.correct, (scores >= found.thresholds) == (labels == 1))
    assert found.accuracy == found.correct.mean()
    assert found.accuracy == pytest.approx(thresholds.best_threshold(scores, labels).accuracy, abs=0.04)


def test_no_pair_meets_a_threshold_in_which_its_identities_had_a_say():
    """Changing the scores of every pair that shares an identity with pair 0 leaves pair 0's threshold as it was."""
    scores, labels, front, angle = simulated(60)
    before = thresholds.cross_fitted(scores, labels, front, angle)
    shares = np.isin(front, [front[1], angle[1]]) | np.isin(angle, [front[1], angle[1]])
    assert 1 < shares.sum() < 30
    after = thresholds.cross_fitted(np.where(shares, -scores, scores), labels, front, angle)
    assert after.thresholds[1] == before.thresholds[1]
    assert not np.array_equal(after.thresholds, before.thresholds)


def test_a_cross_fitted_threshold_is_the_reweighted_best_threshold_of_the_rest():
    """With one identity a fold the rest is known without the deal: the pairs that share none of the two identities."""
    scores, labels, front, angle = simulated(40)
    found = thresholds.cross_fitted(scores, labels, front, angle, folds=20)
    for pair in range(40):
        own = [front[pair], angle[pair]]
        rest = ~(np.isin(front, own) | np.isin(angle, own))
        weights = np.where(labels[rest] == 1, 20 / labels[rest].sum(), 20 / (1 - labels[rest]).sum())
        expected = thresholds.best_threshold(scores[rest], labels[rest], weights)
        assert found.thresholds[pair] == pytest.approx(expected.value)


def test_cross_fitting_is_deterministic_and_blind_to_the_order_of_the_pairs():
    """Same seed, same thresholds, also shuffled and with identities as text; another seed deals otherwise."""
    scores, labels, front, angle = simulated(120)
    first = thresholds.cross_fitted(scores, labels, front, angle)
    order = np.random.default_rng(5).permutation(120)
    again = thresholds.cross_fitted(scores[order], labels[order], front[order], angle[order])
    assert np.array_equal(again.thresholds, first.thresholds[order])
    texts = np.char.zfill(front.astype(str), 4), np.char.zfill(angle.astype(str), 4)
    assert np.array_equal(thresholds.cross_fitted(scores, labels, *texts).thresholds, first.thresholds)
    assert not np.array_equal(
        thresholds.cross_fitted(scores, labels, front, angle, seed=1).thresholds, first.thresholds
    )


def test_few_identities_are_cross_fitted_as_well_as_they_can_be():
    """Fewer identities than folds: one a fold. Too few for any rest to hold both labels: ValueError, saying so."""
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.3, 0.0])
    front, angle = np.array([0, 1, 2, 3, 0, 1, 2, 3]), np.array([0, 1, 2, 3, 1, 0, 3, 2])
    assert thresholds.cross_fitted(scores, labels, front, angle).accuracy == 1
    assert thresholds.cross_fitted(scores, labels, front, angle, folds=2).accuracy == 1, "two folds are doubled to four"
    with pytest.raises(ValueError, match="2 identities in 4 pairs are too few"):
        thresholds.cross_fitted(scores[[0, 1, 4, 5]], labels[[0, 1, 4, 5]], front[[0, 1, 4, 5]], angle[[0, 1, 4, 5]])
    with pytest.raises(ValueError, match="identities have shapes"):
        thresholds.cross_fitted(scores, labels, front[:3], angle)


@settings(max_examples=80, deadline=None)
@given(scored_pairs(), st.sampled_from(["eer", "cost=5:1", "cost=1:3", "far=0.3", "far=0.5"]))
def test_a_threshold_for_a_purpose_is_that_of_the_loop_reference(pairs, text):
    """Equal error rates, a false accept rate, costs: no other cut is better, ties included."""
    scores, labels = pairs
    purpose = Purpose.of(text)
    if (labels == 0).sum() < purpose.negatives_needed:
        with pytest.raises(InputError, match=f"needs {purpose.negatives_needed} negative"):
            thresholds.solve_for(purpose, scores, labels)
        return
    exact = scores.astype(np.float64)
    value = thresholds.threshold_for(purpose, scores, labels == 1)
    found = reference.purpose_cuts(purpose.kind, exact, labels, purpose.far, purpose.miss, purpose.false_accept)
    assert any(low < value <= high for low, high in found)


def test_for_accuracy_it_is_the_best_threshold_to_the_bit():
    """The default changes nothing; interval and rates come with it."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 300)
    scores = random.normal(0.3 * labels, 0.2).clip(-1, 1).astype(np.float32)
    best = thresholds.best_threshold(scores, labels).value
    solved = thresholds.solve_for(Purpose(), scores, labels)
    assert solved.value == best == thresholds.threshold_for(Purpose(), scores, labels == 1)
    assert solved.low <= best <= solved.high and solved.high > solved.low
    assert (solved.far, solved.tar) == ((scores[labels == 0] >= best).mean(), (scores[labels == 1] >= best).mean())


@pytest.mark.parametrize(
    "text", ["", "far", "far=0", "far=1", "far=x", "cost=1", "cost=0:1", "cost=1:2:3", "cost=1:inf", "luck"]
)
def test_what_is_no_purpose_is_told_with_the_valid_ones(text):
    """And each purpose is spelt as it was given."""
    with pytest.raises(InputError, match="valid are accuracy, eer"):
        Purpose.of(text)
    assert [str(Purpose.of(valid)) for valid in ("accuracy", "eer", "far=0.001", "cost=5:1")] == [
        "accuracy", "eer", "far=0.001", "cost=5:1",
    ]  # fmt: skip
