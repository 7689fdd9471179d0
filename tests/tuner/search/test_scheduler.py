"""Early stopping: which trials a scheduler stops, at which epochs, and whom it spares."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.cli.run_options import SCHEDULERS
from tuner.search import scheduler


class Trial:
    """What a scheduler looks at in one of Tune's trials."""

    def __init__(self, number: int) -> None:
        self.trial_id, self.config = str(number), {"number": number}


class Scheduled:
    """A scheduler's view of a search: trials that report their objective, and whether each goes on."""

    def __init__(self, trials, epochs=10, metric="val_accuracy", name="asha"):
        self.scheduler = scheduler.make_scheduler(name, metric, epochs)
        self.trials = [Trial(number) for number in range(trials)]
        for trial in self.trials:
            self.scheduler.on_trial_add(None, trial)

    def goes_on(self, number, epoch, objective):
        result = {"epoch": epoch, "training_objective": objective}
        return self.scheduler.on_trial_result(None, self.trials[number], result) == "CONTINUE"

    def ends(self, number, epoch, objective):
        self.scheduler.on_trial_complete(None, self.trials[number], {"epoch": epoch, "training_objective": objective})


@pytest.mark.parametrize(
    ("name", "epochs", "expected"),
    [
        ("asha", 6, [2, 5]),
        ("asha", 10, [3, 8]),
        ("asha", 12, [3, 9]),
        ("asha", 4, [1, 3]),
        ("asha", 2, [1]),
        ("asha", 1, []),
        ("hyperband", 12, [1, 3, 9]),
        ("hyperband", 6, [1, 2, 5]),
        ("median", 6, [2, 3, 4, 5]),
        ("none", 6, []),
    ],
)
def test_trials_are_compared_at_a_quarter_and_three_quarters(name, epochs, expected):
    """As the help says, rounded up; hyperband's first group is compared at a twelfth too, median from a quarter on."""
    assert scheduler.rungs(name, epochs) == expected


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_the_default_trial_is_never_stopped_early(name):
    """Trial 0, the worst at every epoch, trains to its end; others as bad are stopped."""
    run = Scheduled(40, name=name)
    for epoch in scheduler.rungs(name, 10):
        for number in range(2, 40):
            run.goes_on(number, epoch, 0.7 + number / 100)
    assert all(run.goes_on(0, epoch, 0.5) for epoch in range(1, 11))
    assert not all(run.goes_on(1, epoch, 0.5) for epoch in range(1, 11))


@given(epochs=st.integers(2, 60))
def test_asha_lets_the_best_third_go_on_at_every_rung(epochs):
    """Whatever the number of epochs: a trial behind two thirds of the others is stopped exactly at the rungs."""
    for rung in scheduler.rungs("asha", epochs):
        run = Scheduled(12, epochs)
        for number in range(2, 12):
            run.goes_on(number, rung, number / 100)
        assert [epoch for epoch in range(1, rung + 1) if not run.goes_on(1, epoch, 0.07)] == [rung]
        run = Scheduled(12, epochs)
        for number in range(2, 12):
            run.goes_on(number, rung, number / 100)
        assert run.goes_on(1, rung, 0.1)


def test_epochs_of_the_same_number_are_compared():
    """A later epoch, as of a trial that goes on from a saved state, says nothing about the others' second."""
    run = Scheduled(8, epochs=6)
    for number in range(2, 7):
        assert run.goes_on(number, 2, 0.7 + number / 100)
    assert run.goes_on(7, 4, 0.1), "nobody else has told of its fourth epoch"
    assert run.goes_on(1, 3, 0.1)
    run.ends(1, 4, 0.1)
    run = Scheduled(4, epochs=6)
    assert run.goes_on(1, 2, 0.5) and run.goes_on(2, 3, 0.9) and run.goes_on(3, 2, 0.5), "0.9 is of a third epoch"


def test_hyperband_gives_each_group_its_part_and_compares_within_it():
    """9, 5 and 3 of 17 trials; one of the last group, compared late, is not stopped by those of the first."""
    run = Scheduled(17, epochs=12, name="hyperband")
    left, stopped = list(range(17)), {}
    for epoch in (1, 3, 9):  # each is worse than all before it: only the first of a group, and the default, go on
        stopped[epoch] = [number for number in left if not run.goes_on(number, epoch, -number)]
        left = [number for number in left if number not in stopped[epoch]]
    assert {epoch: len(numbers) for epoch, numbers in stopped.items()} == {1: 9 - 1, 3: 5 - 1, 9: 3 - 1}


def test_median_stops_who_is_behind_the_others_means():
    """The best epoch so far, against the middle of what the others had on average; of three others at least."""
    run = Scheduled(6, epochs=8, name="median")
    for number in (1, 2, 3):
        assert run.goes_on(number, 2, 0.6 + number / 10) and run.goes_on(number, 3, 0.6 + number / 10)
    assert run.goes_on(4, 2, 0.85) and run.goes_on(4, 3, 0.1), "its best counts"
    assert not run.goes_on(5, 2, 0.65)


def test_a_lower_metric_is_stopped_when_it_is_high():
    """An equal error rate ranks the other way round."""
    run = Scheduled(4, metric="val_eer")
    assert run.goes_on(1, 3, 0.2) and run.goes_on(2, 3, 0.1)
    assert not run.goes_on(3, 3, 0.4)


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_an_undefined_objective_neither_stops_a_trial_nor_moves_a_rung(name):
    """NaN is no evidence: the trial goes on, its end is taken in, and the cut for the others stays what it was."""
    run, clean = Scheduled(12, name=name), Scheduled(12, name=name)
    assert run.goes_on(1, 3, math.nan)
    run.ends(1, 3, math.nan)
    said = [[(search.goes_on(n, 3, 0.9 - n / 100)) for n in range(2, 12)] for search in (run, clean)]
    assert said[0] == said[1] and not all(said[0])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_trials_that_end_or_fail_are_forgotten(name):
    """At a rung, between rungs, before one; nothing is left of any."""
    run = Scheduled(4, epochs=8, name=name)
    run.goes_on(1, 2, 0.5)
    run.ends(1, 2, 0.5)
    run.ends(2, 1, 0.5)
    run.scheduler.on_trial_error(None, run.trials[3])
    run.scheduler.on_trial_remove(None, run.trials[0])


def test_without_a_scheduler_every_trial_goes_on():
    """`--scheduler none` is Tune's plain queue."""
    run = Scheduled(3, name="none")
    assert all(run.goes_on(number, epoch, -number) for number in range(3) for epoch in range(1, 11))
