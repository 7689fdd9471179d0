"""The value to expect of a chosen winner, against loops, clear cases and simulated searches of known true values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tools import reference
from trainable.metrics.intervals import linked_pairs
from tuner.analysis import expected_value as ev


def searched(trials: int = 6, identities: int = 30, seed: int = 0, gaps: np.ndarray | None = None) -> ev.TrialScores:
    """Trials that score the same pairs alike: two pairs of each identity, and one with each of two others."""
    rng = np.random.default_rng(seed)
    front = np.tile(np.arange(identities), 4)
    labels = (np.arange(len(front)) < 2 * identities).astype(int)
    angle = np.where(labels == 1, front, (front + rng.integers(1, identities, len(front))) % identities)
    gaps = np.full(trials, 1.5) if gaps is None else gaps
    noise = 0.8 * rng.normal(size=len(front)) + 0.6 * rng.normal(size=(len(gaps), len(front)))
    scores = gaps[:, None] * (labels - 0.5) + noise
    return ev.TrialScores(scores, (scores >= 0) == (labels == 1), labels, front, angle, default=0)


def values_by_loops(trials: ev.TrialScores, weights: np.ndarray) -> list[tuple[float, float]]:
    """AUC of all couples and accuracy of each class at its share, one trial at a time."""
    share, found = trials.labels.mean(), []
    for scores, correct in zip(trials.scores, trials.correct, strict=True):
        of_class = [
            sum(w * c for w, c, y in zip(weights, correct, trials.labels, strict=True) if y == label)
            / sum(w for w, y in zip(weights, trials.labels, strict=True) if y == label)
            for label in (0, 1)
        ]
        accuracy = (1 - share) * of_class[0] + share * of_class[1]
        found.append((reference.auc(scores, trials.labels, weights), accuracy))
    return found


def by_loops(trials: ev.TrialScores, rank_by: str, splits: np.ndarray) -> tuple[float, float]:
    """Mean AUC and accuracy on the left-out pairs of whichever trial the other pairs choose."""
    found = []
    for out in splits:
        inside = [
            float(not out[f] and not out[a]) for f, a in zip(trials.front_identity, trials.angle_identity, strict=True)
        ]
        outside = [float(out[f] and out[a]) for f, a in zip(trials.front_identity, trials.angle_identity, strict=True)]
        if {y for y, w in zip(trials.labels, outside, strict=True) if w} != {0, 1}:
            continue
        keys = [pair if rank_by == "auc" else pair[::-1] for pair in values_by_loops(trials, np.array(inside))]
        found.append(values_by_loops(trials, np.array(outside))[max(range(len(keys)), key=lambda trial: keys[trial])])
    auc, accuracy = np.mean(found, axis=0)
    return float(auc), float(accuracy)


@pytest.mark.parametrize("rank_by", ["auc", "accuracy"])
def test_it_is_the_mean_of_what_the_loops_find(rank_by):
    """Choosing, scoring and weighing of classes, with ties among the scores."""
    trials = searched(trials=3, identities=12)
    trials = replace(trials, scores=trials.scores.round(1), front_identity=trials.front_identity + 0)
    found = ev.expected_value(trials, rank_by, resamples=15, seed=4)
    linked = linked_pairs(trials.front_identity, trials.angle_identity)
    auc, accuracy = by_loops(trials, rank_by, ev._left_out(linked, 15, seed=4))
    assert found.auc == pytest.approx(auc) and found.accuracy == pytest.approx(accuracy)


def test_chunks_change_nothing(monkeypatch):
    """A few resamples at a time, as with many pairs, give the same as all at once."""
    trials = searched()
    whole = ev.expected_value(trials, resamples=40)
    monkeypatch.setattr(ev, "_CHUNK", 7 * len(trials.labels))
    assert ev.expected_value(trials, resamples=40).auc == whole.auc
    monkeypatch.setattr(ev, "_CHUNK", 1)
    assert np.array_equal(ev.expected_value(trials, resamples=40).won, whole.won)


def test_a_fifth_of_the_identities_is_left_out_in_couples():
    """Where every negative pair joins an identity to its twin, twins are left out together."""
    identity = np.arange(40)
    front, angle = np.r_[identity, identity], np.r_[identity, identity ^ 1]
    out = ev._left_out(linked_pairs(front, angle), 200, seed=0)
    assert (out.sum(axis=1) == 8).all() and np.array_equal(out[:, ::2], out[:, 1::2])
    assert out.mean(axis=0) == pytest.approx(np.full(40, 0.2), abs=0.1)


def test_identities_that_nothing_links_are_left_out_too():
    """Those without a negative pair as often as those with one, within the luck of the draw."""
    identity = np.arange(40)
    front, angle = np.r_[identity, identity[:20]], np.r_[identity, identity[:20] ^ 1]
    out = ev._left_out(linked_pairs(front, angle), 400, seed=0)
    assert (out.sum(axis=1) == 8).all()
    assert 0.1 < out[:, 20:].mean() < 0.3 and 0.1 < out[:, :20].mean() < 0.3


def test_a_clear_winner_keeps_its_value():
    """It wins every resample, beats the default in each, and is worth what it shows."""
    trials = searched(gaps=np.array([0.5, 0.5, 3.0]))
    found = ev.expected_value(trials, resamples=100)
    assert found.winner == 2 and found.won[2] == 1 and found.beats_default == 1
    assert found.auc == pytest.approx(reference.auc(trials.scores[2], trials.labels), abs=0.01)
    assert found.accuracy == pytest.approx(trials.correct[2].mean(), abs=0.02)


def test_one_of_many_equal_trials_is_worth_less_than_it_shows():
    """The corrected value is below the winner's own, no trial wins most resamples, and the default is hardly beaten."""
    trials = searched(trials=12)
    found = ev.expected_value(trials, resamples=200)
    assert found.auc < reference.auc(trials.scores[found.winner], trials.labels) - 0.01
    assert found.won.max() < 0.7 and found.won.sum() == pytest.approx(1)
    assert found.beats_default is not None and found.beats_default < 0.9


def test_the_corrected_value_is_true_on_average():
    """24 searches among 12 equally good trials: what the winner shows is too high, what is expected of it is not."""
    shown, expected = [], []
    for seed in range(24):
        trials = searched(trials=12, seed=seed)
        of_all = [auc_without_ties(scores, trials.labels) for scores in trials.scores]
        # All trials are equally good: their mean is the same set's value without a choice.
        shown.append(max(of_all) - np.mean(of_all))
        expected.append(ev.expected_value(trials, resamples=100, seed=seed).auc - np.mean(of_all))
    assert np.mean(shown) > 0.02
    assert abs(np.mean(expected)) < 0.006


def auc_without_ties(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of couples in order."""
    return float((scores[labels == 1][:, None] > scores[labels == 0]).mean())


def test_equal_aucs_are_decided_by_accuracy():
    """Two thresholds of one training have the same scores: the better one wins."""
    trials = searched(trials=3)
    scores = np.repeat(trials.scores[:1], 3, axis=0)
    correct = (scores >= [[2.0], [0.0], [-2.0]]) == (trials.labels == 1)
    found = ev.expected_value(replace(trials, scores=scores, correct=correct), resamples=50)
    assert found.winner == 1 and found.won[1] > 0.95


def test_where_the_default_wins_there_is_nothing_to_beat():
    """Nor where there is no default."""
    trials = searched(gaps=np.array([3.0, 0.5]))
    assert ev.expected_value(trials, resamples=30).winner == 0
    assert ev.expected_value(trials, resamples=30).beats_default is None
    assert ev.expected_value(replace(trials, default=None), resamples=30).beats_default is None


def test_the_names_of_identities_do_not_matter():
    """Texts in the same order give the same numbers."""
    trials = searched()
    names = np.array([f"{one:03d}" for one in range(30)])
    named = replace(trials, front_identity=names[trials.front_identity], angle_identity=names[trials.angle_identity])
    assert ev.expected_value(named, resamples=30).auc == ev.expected_value(trials, resamples=30).auc


def test_what_cannot_be_answered_is_refused():
    """Shapes that do not fit, one label, scores that are not finite, and too few identities to leave any out."""
    trials = searched()
    two = searched(identities=2)
    for wrong, said in (
        (replace(trials, correct=trials.correct[:2]), "do not fit"),
        (replace(trials, labels=np.ones(120)), "one label"),
        (replace(trials, scores=trials.scores * np.nan), "finite"),
        (two, "none of 500 splits of 2 identities"),
    ):
        with pytest.raises(ValueError, match=said):
            ev.expected_value(wrong)
