"""The search between Tune and Optuna: what is suggested, what the study is told, what it remembers."""

from __future__ import annotations

import itertools
import math
import pickle
from dataclasses import replace

import optuna
import pytest
import torch
from optuna.trial import TrialState

import search_spaces
from tests.tools.by_hand import BLOCKS, FIXED, Search, arrays, numbers, space_of
from trainable.config import TrialConfig
from trainable.objectives import Objectives
from tuner.cli.run_options import SAMPLERS
from tuner.inputs import bound_space
from tuner.inputs.space import examine
from tuner.results.checkpoints import Saved
from tuner.search import experiment
from tuner.search.study_file import mend_study

pytestmark = pytest.mark.usefixtures("quiet_optuna")

LEARNING_RATE = 'return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)}'


@pytest.fixture
def space(tmp_path):
    return space_of(tmp_path, LEARNING_RATE)


def configs_of(trials):
    return [trial.config["config"] for trial in trials]


def test_the_default_configuration_is_the_first_trial(tmp_path, space):
    """Number 0 has the default values, the broken run's threshold, and is known to the study as its first trial."""
    run = Search(tmp_path, space)
    first, second = run.start(), run.start()
    assert first.config["number"] == 0 and first.config["resume_from"] is None
    config = first.config["config"]
    assert config.learning_rate == TrialConfig().learning_rate and config.temperature == 0.07
    assert config.threshold == bound_space.DEFAULT_THRESHOLD == 0.5
    assert config.trainable_blocks is None and config.epochs == FIXED.epochs
    assert run.recorder.records[0].is_default and not run.recorder.records[1].is_default
    assert run.frozen(0).params == {"learning_rate": config.learning_rate}
    assert second.config["number"] == 1 and second.config["config"].threshold is None


def test_a_finished_trial_is_complete_with_its_best_epoch_s_objective(tmp_path, space):
    """The last epoch's objective is an intermediate value like the others."""
    run = Search(tmp_path, space)
    run.run(run.start(), 0.5, 0.9, 0.7)
    told = run.frozen(0)
    assert told.state == TrialState.COMPLETE and told.value == 0.9
    assert told.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}


def test_a_stopped_trial_is_pruned_with_all_its_intermediate_values(tmp_path, space):
    """Also with the report at which it was stopped, which Tune does not pass on; never as a finished one."""
    run = Search(tmp_path, space)
    run.run(run.start(), 0.5, 0.6, stop=True)
    told = run.frozen(0)
    assert told.state == TrialState.PRUNED
    assert told.intermediate_values == {1: 0.5, 2: 0.6}


@pytest.mark.parametrize("objective", [math.nan, 0.7])
def test_a_sick_trial_is_infeasible_and_is_not_left_running(tmp_path, space, objective):
    """Its value is the worst that was seen; NaN is not reported as one; nothing waits for the trial for ever."""
    run = Search(tmp_path, space)
    trial = run.start()
    run.report(trial, 0.6)
    run.report(trial, objective, sick="not finite")
    told = run.frozen(0)
    assert told.state == TrialState.COMPLETE and told.value == 0.6
    assert told.constraints == {"sick": 1.0}
    assert all(math.isfinite(value) for value in told.intermediate_values.values())
    assert told.intermediate_values[1] == 0.6
    assert not run.study.get_trials(states=[TrialState.RUNNING])


def test_a_sick_trial_of_which_nothing_is_known_is_pruned(tmp_path, space):
    """NaN in its first epoch, and no other trial has reported anything: there is no value that could be told."""
    run = Search(tmp_path, space)
    run.report(run.start(), math.nan, sick="not finite")
    assert run.frozen(0).state == TrialState.PRUNED and run.frozen(0).constraints == {"sick": 1.0}


def sick_suggestions(folder, space, told):
    """How many of the last 12 of 18 suggestions have a rate above 1e-2, where all fall sick and the best border on it."""
    run = Search(folder, space, "tpe")
    tell = run.searcher.study.tell
    run.searcher.study.tell = lambda trial, record, state: tell(trial, record, told if state == "sick" else state)
    for _ in range(18):
        trial = run.start()
        rate = trial.config["config"].learning_rate
        if rate > 1e-2:
            run.report(trial, 0.6)
            run.report(trial, math.nan, sick="not finite")
        else:
            run.run(trial, 0.5, 0.6, 0.9 + math.log10(rate) / 10)
    records = run.recorder.records
    return sum(records[number].config.learning_rate > 1e-2 for number in range(6, 18))


def test_sick_trials_steer_the_sampler_away(tmp_path, space):
    """TPE suggests fewer where trials fall sick than it would if they were told as failures, which it ignores."""
    steered, ignored = (sick_suggestions(tmp_path / told, space, told) for told in ("sick", "failed"))
    assert steered <= ignored / 2


def test_a_trial_that_raised_is_a_failure(tmp_path, space):
    """With or without an epoch before; it is handed out no second time."""
    run = Search(tmp_path, space)
    early, late = run.start(), run.start()
    run.report(late, 0.6)
    run.fail(early, RuntimeError("no memory"))
    run.fail(late, RuntimeError("no memory"))
    assert [run.frozen(number).state for number in (0, 1)] == [TrialState.FAIL] * 2
    assert run.start().config["number"] == 2


def test_a_metric_that_was_never_defined_is_a_failure(tmp_path, space):
    """A finished trial without an epoch that could be ranked has no value to tell."""
    run = Search(tmp_path, space)
    run.run(run.start(), math.nan, math.nan, math.nan)
    assert run.frozen(0).state == TrialState.FAIL


def test_an_epoch_that_is_trained_twice_is_reported_once(tmp_path, space):
    """After a retry the epochs since the checkpoint come again; Optuna would warn and ignore them."""
    run = Search(tmp_path, space)
    trial = run.start()
    run.run(trial, 0.5, 0.6)
    trial.last_result = {"epoch": 1}
    run.recorder.on_trial_recover(0, [], trial)
    run.run(trial, 0.6, 0.7)
    assert run.frozen(0).intermediate_values == {1: 0.5, 2: 0.6, 3: 0.7}


def test_ends_that_nobody_started_or_that_come_twice_change_nothing(tmp_path, space):
    """Tune may say twice that a trial ended, and speak of trials of which the searcher knows nothing."""
    run = Search(tmp_path, space)
    trial = run.run(run.start(), 0.5, 0.9, 0.7)
    run.searcher.on_trial_complete(trial.trial_id, error=True)
    run.searcher.on_trial_complete("somebody else's", error=True)
    assert run.frozen(0).state == TrialState.COMPLETE


def test_a_lower_metric_is_minimised(tmp_path, space):
    """The study's direction follows the metric."""
    assert Search(tmp_path / "a", space, metric="val_eer").study.direction == optuna.study.StudyDirection.MINIMIZE
    assert Search(tmp_path / "b", space, metric="val_auc").study.direction == optuna.study.StudyDirection.MAXIMIZE


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_parallel_suggestions_differ(tmp_path, space, sampler):
    """Twelve trials asked for before any reports, then more while they run: no two configurations are the same."""
    run = Search(tmp_path, space, sampler=sampler)
    waiting = [run.start() for _ in range(12)]
    for index, trial in enumerate(waiting[:9]):
        run.run(trial, 0.5, 0.6, 0.5 + index / 30)
    rates = [config.learning_rate for config in configs_of(waiting + [run.start() for _ in range(4)])]
    assert len({round(math.log10(rate), 9) for rate in rates}) == 16
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_finite_space_is_tried_once_each_and_then_ends(tmp_path, sampler):
    """Every configuration, none twice; then FINISHED, and the run can say that nothing new is left.

    A sampler that has found the best asks for it again and again; that is not the end of the space.
    """
    body = 'return {"hidden_size": trial.suggest_int("width", 1, 8)}'
    run = Search(tmp_path, space_of(tmp_path, body), sampler)
    found = []
    while trial := run.start():
        found.append(trial)
        assert not run.searcher.exhausted
        run.run(trial, 0.5, 0.6, 0.5 + min(8, trial.config["config"].hidden_size) / 50)
    default, *others = [config.hidden_size for config in configs_of(found)]
    assert default == TrialConfig().hidden_size and sorted(others) == list(range(1, 9))
    assert [run.frozen(number).params for number in range(1, 9)] == [{"width": width} for width in others]
    assert run.searcher.exhausted
    assert run.start() is None
    assert not run.study.get_trials(states=[TrialState.RUNNING])


def test_suggestions_are_repeatable(tmp_path, space):
    """The same seed and the same course of events suggest the same; another seed something else."""

    def course(name, seed):
        run = Search(tmp_path / name, space, sampler="tpe", seed=seed)
        return configs_of([run.run(run.start(), 0.5, 0.6, 0.7) for _ in range(8)])

    assert course("a", 3) == course("b", 3)
    assert course("c", 4)[1:] != course("b", 3)[1:]


def test_a_resumed_run_hands_out_its_unfinished_trials_first(tmp_path, space):
    """With their numbers, values and newest checkpoints; then new ones, none of which was tried before."""
    first = Search(tmp_path, space)
    trials = [first.start() for _ in range(5)]
    first.run(trials[0], 0.5, 0.6, 0.7)
    first.run(trials[1], 0.5, stop=True)
    first.run(trials[2], 0.5)
    second = Search(tmp_path, space, attempt=2, saved={2: Saved("where trial 2 was saved", {})})
    assert [suggestion.number for suggestion in second.searcher.study.ended()] == [0, 1]
    resumed = [second.start() for _ in range(3)]
    assert [trial.config["number"] for trial in resumed] == [2, 3, 4]
    assert configs_of(resumed) == configs_of(trials[2:])
    assert [trial.config["resume_from"] for trial in resumed] == ["where trial 2 was saved", None, None]
    new = [second.start() for _ in range(4)]
    assert [trial.config["number"] for trial in new] == [5, 6, 7, 8]
    seen = [config.learning_rate for config in configs_of(trials + new)]
    assert len(set(seen)) == 9
    resumed[0].last_result = {"epoch": 1}
    second.run(resumed[0], 0.6, 0.8)
    assert second.frozen(2).state == TrialState.COMPLETE
    assert second.frozen(2).intermediate_values == {1: 0.5, 2: 0.6, 3: 0.8}


def test_a_resumed_run_remembers_what_its_sampler_was_told(tmp_path):
    """Of five configurations and the default, what the first attempt did not try is tried once by the second."""
    space = space_of(tmp_path, 'return {"hidden_size": trial.suggest_categorical("h", [8, 16, 32, 64, 256])}')
    first = Search(tmp_path, space)
    before = [first.run(first.start(), 0.5, 0.6, 0.7) for _ in range(3)]
    second = Search(tmp_path, space, attempt=2)
    after = [second.run(trial, 0.5, 0.6, 0.7) for trial in iter(second.start, None)]
    sizes = [(config.hidden_size, config.threshold) for config in configs_of(before + after)]
    assert sorted(sizes, key=str) == sorted([(256, 0.5), *((size, None) for size in (8, 16, 32, 64, 256))], key=str)


@pytest.mark.parametrize(
    ("objectives", "sick", "state", "told"),
    [
        ((0.5, 0.9, 0.7), None, "completed", TrialState.COMPLETE),
        ((0.5, 0.9), "not finite", "sick", TrialState.COMPLETE),
        ((0.5, 0.9), None, None, TrialState.RUNNING),
    ],
)
def test_a_trial_that_had_ended_when_the_driver_was_killed_is_closed(tmp_path, space, objectives, sick, state, told):
    """No epoch is to come: it is written down and not handed out again, as a trial with epochs to come is."""
    Search(tmp_path, space).start()
    history = [numbers(epoch, objective) for epoch, objective in enumerate(objectives, 1)]
    best = {name: torch.from_numpy(array) for name, array in arrays(2).items()}
    saved = {"history": history, "score_history": [], "best_epoch": 2}
    saved |= {"best_scores": best["scores"], "best_correct": best["correct"]}
    if sick:
        history[-1]["sick"] = sick
    second = Search(tmp_path, space, attempt=2, saved={0: Saved("where it was saved", saved | {"sick": sick})})
    second.take_up()
    assert second.frozen(0).state == told
    assert second.start().config["number"] == (0 if told == TrialState.RUNNING else 1)
    assert [row["state"] for row in second.tables.trial_rows()] == ([state] if state else [])
    if state == "completed":
        assert second.frozen(0).value == 0.9 and second.frozen(0).intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}


@pytest.mark.parametrize("killed_after", [0, 1])
def test_a_driver_killed_between_asking_and_starting_loses_only_that_suggestion(tmp_path, space, killed_after):
    """A trial of the study without a number is closed; numbers go on without a gap, and resuming works."""
    first = Search(tmp_path, space)
    first.start()
    written = itertools.count()
    trial = first.study.ask()
    trial.set_user_attr = stopping_after(killed_after, trial.set_user_attr, written)
    with pytest.raises(KeyboardInterrupt):
        first.searcher.study.mark(trial, first.bound.configure(trial, 0))
    second = Search(tmp_path, space, attempt=2)
    assert [second.start().config["number"] for _ in range(2)] == [0, 1]
    states = [t.state for t in second.study.get_trials(deepcopy=False) if "number" not in t.user_attrs]
    assert states == [TrialState.FAIL]


def stopping_after(calls, function, counter):
    def limited(*arguments):
        if next(counter) == calls:
            raise KeyboardInterrupt
        function(*arguments)

    return limited


def test_a_time_budget_prunes_what_runs_and_keeps_what_never_started(tmp_path, space):
    """A trial with an epoch counts by what it reached; one without is left for a resumption."""
    run = Search(tmp_path, space)
    reached, waiting = run.start(), run.start()
    run.run(reached, 0.5, 0.8)
    run.searcher.prune_leftovers()
    assert run.frozen(0).state == TrialState.PRUNED and run.recorder.records[0].state == "pruned"
    assert run.frozen(1).state == TrialState.RUNNING
    assert [row["trial"] for row in run.tables.trial_rows()] == [0]
    again = Search(tmp_path, space, attempt=2).start()
    assert again.config["number"] == waiting.config["number"] == 1


@pytest.mark.parametrize(
    "body",
    [
        'return {"temperature": trial.suggest_float("temperature", 0.2, 1.0)}',
        'return {"temperature": trial.suggest_float("temperature", 0.05, 0.45, step=0.1)}',
        'return {"temperature": trial.suggest_categorical("temperature", [0.1, 0.2, 0.4])}',
        'return {"temperature": 10 ** trial.suggest_float("log_temperature", -2.0, 0.0)}',
    ],
)
@pytest.mark.parametrize("ending", ["finished", "stopped", "time budget"])
def test_a_default_outside_the_space_is_tried_but_not_told(tmp_path, body, ending):
    """Its value would be told of parameters that it did not have; suggestions stay within the space."""
    run = Search(tmp_path, space_of(tmp_path, body))
    default, *others = [run.start() for _ in range(3)]
    assert default.config["config"].temperature == 0.07
    assert run.recorder.records[0].searched == {"temperature": 0.07}
    run.run(default, *((0.9, 0.9, 0.9) if ending == "finished" else (0.9,)), stop=ending == "stopped")
    if ending == "time budget":
        run.searcher.prune_leftovers()
    told = run.frozen(0)
    assert told.state == TrialState.FAIL and told.value is None
    assert all(config.temperature != 0.07 for config in configs_of(others))
    assert run.recorder.records[0].state == ("completed" if ending == "finished" else "pruned")


def test_a_space_may_name_its_parameters_as_it_likes(tmp_path):
    """The study knows the space's names, the trial those of the configuration."""
    body = 'return {"learning_rate": 10 ** trial.suggest_float("exponent", -4.0, -1.0)}'
    run = Search(tmp_path, space_of(tmp_path, body))
    run.start()
    trial = run.start()
    exponent = run.frozen(1).params["exponent"]
    assert trial.config["config"].learning_rate == 10**exponent
    assert run.recorder.records[1].searched == {"learning_rate": 10**exponent}
    assert trial.config["title"].startswith("trial 001 learning_rate=")


def test_constants_of_a_space_hold_for_the_default_too(tmp_path):
    """What the space fixes for all trials is no difference between default and winner."""
    body = LEARNING_RATE.replace("return {", 'return {"hidden_size": 0, "weight_decay": 0.0, ')
    run = Search(tmp_path, space_of(tmp_path, body))
    for trial in (run.start(), run.start()):
        assert (trial.config["config"].hidden_size, trial.config["config"].weight_decay) == (0, 0.0)


def test_a_parameter_that_does_nothing_is_not_shown(tmp_path):
    """The backbone's learning rate ratio belongs to a trial only where something of the backbone is trained."""
    run = Search(tmp_path, search_spaces.load("freezing"))
    trials = [run.start() for _ in range(12)]
    for trial in trials:
        record = run.recorder.records[trial.config["number"]]
        assert ("backbone_lr_ratio" in record.searched) == (record.config.trainable_blocks != 0)
    assert {trial.config["config"].trainable_blocks for trial in trials} >= {0, None}
    assert BLOCKS not in {trial.config["config"].trainable_blocks for trial in trials}, "that is None"


def test_trials_that_differ_only_in_the_threshold_get_one_seed(tmp_path):
    """They train the same model, so its scores can be replayed."""
    run = Search(tmp_path, search_spaces.load("threshold"), trials=5)
    run.run(run.start(), 0.5, 0.6, 0.7)
    run.start()
    values = [record.config for record in run.recorder.records.values()]
    assert len({v.threshold for v in values}) == 6
    assert len({v.seed for v in values}) == 1
    keys = {v.training_key() for v in values}
    assert len(keys) == 1


def test_a_seed_follows_from_the_configuration_and_the_run_s_seed_alone(tmp_path, space):
    """Different configurations and different runs get different ones; neither order nor number matters."""
    bound = examine(space, FIXED, BLOCKS)
    configs = [replace(bound.default, learning_rate=rate) for rate in (1e-3, 1e-2, 5e-2)]
    seeds = [bound.seeded(config, 7).seed for config in configs]
    assert len(set(seeds)) == 3
    assert [bound.seeded(config, 7).seed for config in reversed(configs)] == seeds[::-1]
    assert bound.seeded(replace(configs[0], seed=99), 7).seed == seeds[0]
    assert bound.seeded(configs[0], 8).seed != seeds[0]
    assert all(0 <= seed < 2**31 for seed in seeds)
    run = Search(tmp_path, space, seed=7)
    trials = [run.start() for _ in range(4)]
    for v in configs_of(trials):
        assert v.seed == bound.seeded(v, 7).seed
    assert len({v.seed for v in configs_of(trials)}) == 4


def test_the_whole_backbone_is_one_configuration_however_it_is_written(tmp_path, space):
    """All blocks as a number and as absent train the same, and have the same seed."""
    bound = examine(space, FIXED, BLOCKS)
    by_number = bound.seeded(replace(bound.default, trainable_blocks=BLOCKS), 0)
    assert by_number == bound.seeded(replace(bound.default, trainable_blocks=None), 0)


def test_optuna_opens_the_study_s_file(tmp_path, space):
    """As optuna-dashboard does: by the file and the run's name, with parameters, states and what we noted."""
    run = Search(tmp_path, space)
    run.run(run.start(), 0.5, 0.9, 0.7)
    run.run(run.start(), 0.5, stop=True)
    backend = optuna.storages.journal.JournalFileBackend(str(run.study_file))
    study = optuna.load_study(study_name="run-a", storage=optuna.storages.JournalStorage(backend))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert study.best_value == 0.9 and study.best_trial.user_attrs["is_default"]
    assert {"learning_rate", "seed"} <= set(values := study.best_trial.user_attrs["values"])
    assert "batch_size" not in values and len(repr(values)) < 200, "what all trials have is not said of each"
    assert study.metric_names == ["val_accuracy"]
    assert [trial.user_attrs["state"] for trial in study.trials] == ["completed", "pruned"]


def test_tune_s_own_snapshots_of_the_searcher_are_empty(tmp_path, space):
    """The study's file is the only memory."""
    searcher = Search(tmp_path, space).searcher
    searcher.save_to_dir(str(tmp_path))
    assert not list(tmp_path.glob("searcher*"))
    assert searcher.__getstate__() == {} and pickle.dumps(searcher.__getstate__())


def test_the_search_stops_for_its_budget_or_for_a_signal(monkeypatch):
    """A trial is never stopped by it alone; the reason is kept, and the first one counts."""
    clock = [100.0]
    monkeypatch.setattr(experiment.time, "monotonic", lambda: clock[0])
    stop, endless = experiment.Stop(budget_s=5), experiment.Stop(budget_s=None)
    assert not stop.stop_all() and not endless.stop_all() and not stop("1", {"objective": 0.1})
    clock[0] = 105.0
    assert stop.stop_all() and stop.reason == "time budget"
    assert not endless.stop_all()
    endless.reason = "SIGTERM"
    assert endless.stop_all() and endless.reason == "SIGTERM"


def test_costs_are_told_beside_the_metric_and_a_limit_is_a_constraint(tmp_path, space):
    """No intermediate values, which Optuna has of one objective only; a sick trial is none that samplers learn from."""
    asked = Objectives.of("val_accuracy,parameters", ["parameters<=100"], "val_accuracy")
    run = Search(tmp_path, space, objectives=asked)
    for parameters in (90, 120):
        trial = run.start()
        for objective in (0.5, 0.6, 0.7):
            run.report(trial, objective, costs={"parameters": parameters})
    run.report(run.start(), math.nan, sick="not finite", costs={"parameters": 90})
    assert [run.frozen(number).values for number in range(3)] == [[0.7, 90.0], [0.7, 120.0], None]
    assert run.frozen(1).constraints == {"sick": 0.0, "parameters<=100": 20.0} and run.frozen(0).intermediate_values == {}
    assert run.frozen(2).state == TrialState.FAIL
    assert run.study.metric_names == ["val_accuracy", "parameters"]
    records = run.recorder.records
    assert [records[number].over_limits for number in range(3)] == [[], ["parameters<=100"], []]
    assert records[0].eligible and not records[1].eligible


def test_a_trial_that_the_study_did_not_hear_of_is_told_with_its_costs(tmp_path, space):
    """From its row, as it would have been told: values and constraints."""
    asked = Objectives.of("val_accuracy,parameters", ["parameters<=100"], "val_accuracy")
    run = Search(tmp_path, space, objectives=asked)
    trial = run.start()
    run.searcher.study.tell = lambda *arguments: None  # the driver is killed when the row is written and the study not told
    for objective in (0.5, 0.6, 0.7):
        run.report(trial, objective, costs={"parameters": 120})
    mend_study(run.study_file, "run-a", run.recorder._tables, lambda number: None, objectives=asked)
    again = Search(tmp_path, space, objectives=asked)
    assert again.frozen(0).values == [0.7, 120.0] and again.frozen(0).constraints["parameters<=100"] == 20.0


@pytest.mark.parametrize("name", ["tpe", "gp", "random", "qmc", "NSGAIISampler"])
def test_samplers_search_for_several_objectives(tmp_path, space, name):
    """Ten trials of each, with a limit that some of them exceed."""
    asked = Objectives.of("val_accuracy,parameters", ["parameters<=100"], "val_accuracy")
    run = Search(tmp_path, space, name, objectives=asked)
    for number in range(10):
        trial = run.start()
        for objective in (0.5, 0.6, 0.5 + trial.config["config"].temperature / 3):
            run.report(trial, objective, costs={"parameters": 80 + 5 * number})
    assert len(run.study.get_trials(states=[TrialState.COMPLETE])) == 10
