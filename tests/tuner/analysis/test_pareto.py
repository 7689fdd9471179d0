"""Seconds against accuracy: which choices no other beats in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.tuner.analysis.test_importance import frame
from tuner.analysis.pareto import prices


def beaten(rows: pd.DataFrame) -> list[bool]:
    """The slow reference: some other trial is at least as good in no more seconds, and not equal in both."""
    points = list(zip(rows.seconds, rows.objective, strict=True))
    return [any(s <= t and o >= p and (s, o) != (t, p) for s, o in points) for t, p in points]


def test_the_pareto_set_is_what_no_other_trial_beats():
    """As comparing every trial with every other says, the cheapest first."""
    random = np.random.default_rng(0)
    found = prices(frame(random.random(60).round(1), train_s=random.random(60)), metric="val_accuracy")
    assert list(found.seconds) == sorted(found.seconds) and len(found) == 60
    assert list(~found.pareto) == beaten(found) and 1 < found.pareto.sum() < 20


def test_a_lower_objective_is_better_where_the_metric_says_so():
    """Of two equally cheap trials the one with the lower error is in the set."""
    found = prices(frame([0.3, 0.1, 0.2], train_s=[1, 1, 2]), metric="val_eer")
    assert list(found.trial[found.pareto]) == [1]


def test_a_replay_costs_what_its_training_cost():
    """And the training is one choice, at the threshold that was best."""
    trials = frame([0.7, 0.9, 0.8], train_s=[10.0, 0.0, 5.0], replay_of=[None, 0, None])
    found = prices(trials, metric="val_accuracy")
    assert list(zip(found.trial, found.seconds, found.pareto, strict=True)) == [(2, 5.0, True), (1, 10.0, True)]


def test_trials_that_cannot_win_have_no_price():
    """A collapsed one was cheap because it was ended; a failed one has no number."""
    trials = frame([0.9, np.nan, 0.8], ["sick", "failed", "pruned"], train_s=[1.0, 1.0, 2.0])
    found = prices(trials, metric="val_accuracy")
    assert list(found.trial) == [2]
    assert len(prices(trials.iloc[:0], metric="val_accuracy")) == 0


@pytest.mark.parametrize("metric", ["val_accuracy", "val_eer"])
def test_equal_trials_are_in_the_set_once(metric):
    """Two of the same price and objective: the first stands for both."""
    assert list(prices(frame([0.5, 0.5], train_s=[1.0, 1.0]), metric=metric).pareto) == [True, False]
