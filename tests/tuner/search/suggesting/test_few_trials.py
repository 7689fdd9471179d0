"""A sampler sees all of a small study, and of a large one the few hundred trials that matter to it."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from tuner.search.suggesting.few_trials import BEST, LATEST, MOST, FewTrials, ShownFew

pytestmark = pytest.mark.usefixtures("quiet_optuna")
SPACE = {"x": FloatDistribution(0.0, 1.0)}


def study_of(count, state=TrialState.COMPLETE, sampler=TPESampler, **arguments):
    """So many ended trials of one parameter, their values at random."""
    storage, values = InMemoryStorage(), np.random.default_rng(0).random(count)
    own = TPESampler(seed=1, constant_liar=True, multivariate=True, **arguments)
    study = optuna.create_study(
        storage=storage, sampler=own if sampler is TPESampler else sampler(own, storage), direction="maximize"
    )
    for value in values:
        value = float(value)
        stopped = state == TrialState.PRUNED
        study.add_trial(
            create_trial(
                params={"x": value**2},
                distributions=SPACE,
                value=None if stopped else value,
                state=state,
                intermediate_values={1: value},
            )
        )
    return study, storage


def suggestions(study, count=12):
    """The next values of x, told as they come, two of three running beside each other; some stopped, some failed."""
    drawn, running = [], []
    for number in range(count):
        trial = study.ask()
        drawn.append(trial.suggest_float("x", 0.0, 1.0))
        trial.report(drawn[-1], 1)
        running.append(trial)
        if number % 3:
            state = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL][number % 4 % 3]
            study.tell(running.pop(0), drawn[-1] if state == TrialState.COMPLETE else None, state=state)
    return drawn


@pytest.mark.parametrize("count", [0, 30, MOST - LATEST - 12])
def test_a_small_study_is_searched_as_without_this(count):
    """To the bit, with trials that run, were stopped and have failed."""
    assert suggestions(study_of(count)[0]) == suggestions(study_of(count, sampler=ShownFew)[0])


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_of_a_large_study_the_best_and_the_latest_are_shown_and_no_more_than_asked_for(state):
    """The 25 that TPE takes for good ones are those that it would take of all."""
    study, storage = study_of(3000, state)
    shown = FewTrials(storage, study._study_id).shown()
    numbers = [trial.number for trial in shown]
    assert numbers == sorted(numbers) and MOST / 2 < len(numbers) <= MOST
    every = study.get_trials(deepcopy=False)
    best = sorted(every, key=lambda trial: -trial.intermediate_values[1])[:BEST]
    assert {trial.number for trial in best} <= set(numbers)
    assert set(range(3000 - LATEST, 3000)) <= set(numbers)


def test_those_between_are_spread_evenly_over_the_search():
    """As many of each tenth of it, and as many even as odd ones: every second trial may be of another kind."""
    study, storage = study_of(6000)
    numbers = np.array([trial.number for trial in FewTrials(storage, study._study_id).shown()])
    between = numbers[numbers < 5800]
    counts = np.histogram(between, bins=10, range=(0, 5800))[0]
    assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.5 * counts.mean()
    assert 0.4 < np.mean(between % 2) < 0.6


def test_what_a_sampler_makes_of_few_is_near_what_it_makes_of_all():
    """Both look where good trials were."""
    few, every = (np.median(suggestions(study_of(2000, sampler=sampler)[0], 40)) for sampler in (ShownFew, TPESampler))
    assert abs(few - every) < 0.15


def test_a_trial_is_shown_running_and_then_as_it_ended():
    """And not at all once it has failed."""
    study, storage = study_of(600)
    shown = FewTrials(storage, study._study_id)
    trials = [study.ask() for _ in range(2)]
    for trial in trials:
        shown.add(storage.get_trial(trial._trial_id))
    assert [trial.state for trial in shown.shown()[-2:]] == [TrialState.RUNNING] * 2
    study.tell(trials[0], 2.0)
    study.tell(trials[1], state=TrialState.FAIL)
    assert shown.shown()[-1].number == trials[0].number and shown.shown()[-1].value == 2.0
