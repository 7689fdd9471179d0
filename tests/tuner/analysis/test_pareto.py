"""Seconds against accuracy: which choices no other beats in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.tuner.analysis.test_importance import frame
from trainable.errors import InputError
from tuner.analysis.pareto import front


def beaten(rows: pd.DataFrame) -> list[bool]:
    """The slow reference: some other trial is at least as good in no more seconds, and not equal in both."""
    points = list(zip(rows.seconds, rows.objective, strict=True))
    return [any(s <= t and o >= p and (s, o) != (t, p) for s, o in points) for t, p in points]


def test_the_pareto_set_is_what_no_other_trial_beats():
    """As comparing every trial with every other says, the cheapest first."""
    random = np.random.default_rng(0)
    found = front(frame(random.random(60).round(1), train_s=random.random(60)), metric="val_accuracy")
    assert list(found.seconds) == sorted(found.seconds) and len(found) == 60
    assert list(~found.pareto) == beaten(found) and 1 < found.pareto.sum() < 20


def test_a_lower_objective_is_better_where_the_metric_says_so():
    """Of two equally cheap trials the one with the lower error is in the set."""
    found = front(frame([0.3, 0.1, 0.2], train_s=[1, 1, 2]), metric="val_eer")
    assert list(found.trial[found.pareto]) == [1]


def test_a_replay_costs_what_its_training_cost():
    """And the training is one choice, at the threshold that was best."""
    trials = frame([0.7, 0.9, 0.8], train_s=[10.0, 0.0, 5.0], replay_of=[None, 0, None])
    found = front(trials, metric="val_accuracy")
    assert list(zip(found.trial, found.seconds, found.pareto, strict=True)) == [(2, 5.0, True), (1, 10.0, True)]


def test_trials_that_cannot_win_have_no_price():
    """A collapsed one was cheap because it was ended; a failed one has no number."""
    trials = frame([0.9, np.nan, 0.8], ["sick", "failed", "pruned"], train_s=[1.0, 1.0, 2.0])
    found = front(trials, metric="val_accuracy")
    assert list(found.trial) == [2]
    assert len(front(trials.iloc[:0], metric="val_accuracy")) == 0


@pytest.mark.parametrize("metric", ["val_accuracy", "val_eer"])
def test_equal_trials_are_in_the_set_once(metric):
    """Two of the same price and objective: the first stands for both."""
    assert list(front(frame([0.5, 0.5], train_s=[1.0, 1.0]), metric=metric).pareto) == [True, False]


def test_with_several_costs_it_is_enough_to_be_cheapest_in_one():
    """As comparing every trial with every other in all of them says."""
    random = np.random.default_rng(1)
    trials = frame(
        random.random(80).round(2), train_s=random.random(80).round(1), parameters=random.integers(1, 99, 80) * 1000
    )
    found = front(trials, metric="val_accuracy", costs=["seconds", "parameters"])
    points = list(zip(-found.objective, found.seconds, found.parameters, strict=True))
    first = {point: points.index(point) for point in points}
    expected = [
        first[p] == place and not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points)
        for place, p in enumerate(points)
    ]
    assert list(found.pareto) == expected and 3 < sum(expected) < 40


def test_who_exceeds_a_limit_or_repeats_another_is_no_choice():
    """Neither can win."""
    trials = frame([0.9, 0.8, 0.7], train_s=[1.0, 1.0, 1.0], repeat_of=[None, 0, None])
    trials["over_limits"] = [np.array(["seconds<=0.5"]), np.array([]), None]
    assert list(front(trials, metric="val_accuracy").trial) == [2]


def test_a_cost_that_is_none_is_told():
    """With the valid ones."""
    with pytest.raises(InputError, match="costs are watts; valid are: seconds, parameters, image_ms"):
        front(frame([0.5]), metric="val_accuracy", costs=["watts"])
