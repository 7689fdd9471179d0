"""Every trial's way from a suggestion to its rows: what is written, when, and what a later attempt reads back."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

import search_spaces
from tests.tools.by_hand import BLOCKS, DATA, VAL_PAIRS, Search, arrays, numbers, space_of
from trainable.config import TrialConfig
from trainable.metrics import intervals
from trainable.trial import Carried
from tuner import results
from tuner.results.trial_record import COMPLETED, PRUNED, SICK, TrialRecord, best_of
from tuner.search import recorder
from tuner.search.recorder import ending_state

pytestmark = pytest.mark.usefixtures("quiet_optuna")


@pytest.fixture
def run(tmp_path):
    """A search over the temperature."""
    return Search(tmp_path, search_spaces.load("temperature"))


def row_of(run, number):
    return next(row for row in run.tables.trial_rows() if row["trial"] == number)


def test_a_completed_trial_s_row_has_its_parameters_and_the_numbers_of_its_best_epoch(run):
    """Not of its last epoch; with its interval, times, node and place in the order of ends."""
    trial = run.run(run.start(), 0.5, 0.9, 0.7)
    row = row_of(run, 0)
    assert (row["state"], row["best_epoch"], row["epochs"], row["max_epochs"]) == (COMPLETED, 2, 3, 3)
    assert row["objective"] == row["val_accuracy"] == 0.9
    assert row["contrastive_loss"] == numbers(2, 0.9)["contrastive_loss"]
    assert row["temperature"] == 0.07 and row["is_default"]
    assert row["seed"] == trial.config["config"].seed
    assert row["learning_rate"] == trial.config["config"].learning_rate, "the configuration's, not the schedule's"
    assert row["trainable_blocks"] == BLOCKS, "the number of blocks, never the word all"
    rows = DATA.rows("val")
    linked = intervals.linked_pairs(DATA.front_identity[rows], DATA.angle_identity[rows])
    assert (row["val_accuracy_low"], row["val_accuracy_high"]) == intervals.interval(arrays(2)["correct"], linked)
    of_auc = intervals.auc_interval(arrays(2)["scores"], DATA.pair_label[rows], linked)
    assert (row["val_auc_low"], row["val_auc_high"]) == of_auc
    assert row["train_s"] == pytest.approx(0.75) and row["wait_s"] >= 0
    assert row["node"] == "host/12345678" and row["error"] is None
    assert row["started_at"] <= row["ended_at"] <= datetime.now(UTC)
    assert row["retries"] == 0 and row["completion_order"] == 0
    assert row["val_tar_at_far_1e3"] is None


def test_the_epochs_and_the_best_epoch_s_scores_are_written(run):
    """One row an epoch with that epoch's learning rate; scores and decisions of the best epoch, pair by pair."""
    run.run(run.start(), 0.5, 0.9, 0.7)
    epochs = run.tables.epoch_rows(0)
    assert [(row["epoch"], row["objective"]) for row in epochs] == [(1, 0.5), (2, 0.9), (3, 0.7)]
    assert [row["learning_rate"] for row in epochs] == [1e-3, 1e-3 / 2, 1e-3 / 3]
    scores = run.tables.read_scores(0)
    assert set(scores["epoch"]) == {2} and len(scores["pair"]) == VAL_PAIRS
    assert np.array_equal(scores["score"], arrays(2)["scores"])
    assert np.array_equal(scores["correct"], arrays(2)["correct"])
    assert np.array_equal(scores["pair"], DATA.rows("val"))
    assert np.array_equal(scores["pair_label"], DATA.pair_label[DATA.rows("val")])


def test_a_stopped_trial_is_pruned(run):
    """It has a row like a completed one, with fewer epochs than it was allowed."""
    run.run(run.start(), 0.5, 0.6, stop=True)
    row = row_of(run, 0)
    assert (row["state"], row["epochs"], row["best_epoch"], row["objective"]) == (PRUNED, 2, 2, 0.6)


def test_a_sick_trial_says_why_and_has_nulls_for_nan(run):
    """A missing number is missing in the table: no NaN, no 0. Its healthy best epoch is what its row shows."""
    trial = run.start()
    run.report(trial, 0.6)
    run.report(trial, math.nan, sick="not finite: a loss or gradient is NaN or infinite")
    row = row_of(run, 0)
    assert row["state"] == SICK and row["error"].startswith("not finite")
    assert row["objective"] == 0.6 and row["epochs"] == 2 and row["best_epoch"] == 1
    sick_epoch = run.tables.epoch_rows(0)[1]
    assert sick_epoch["contrastive_loss"] is None and sick_epoch["objective"] is None


def test_a_trial_sick_from_the_start_has_a_row_without_numbers(run):
    """No epoch could be ranked: no best epoch, no interval, no scores."""
    run.report(run.start(), math.nan, sick="not finite: an embedding is NaN or infinite")
    row = row_of(run, 0)
    assert row["state"] == SICK and row["epochs"] == 1
    for name in ("best_epoch", "objective", "val_accuracy", "contrastive_loss", "val_accuracy_low"):
        assert row[name] is None, name
    assert run.tables.read_scores(0) is None


def test_a_failed_trial_keeps_its_error(run):
    """The innermost message of what its worker raised, and what it had reached."""
    early, late = run.start(), run.start()
    run.report(late, 0.6)
    run.fail(early, RuntimeError("in the worker:\nValueError: no memory left"))
    run.fail(late, RuntimeError("lost node"))
    assert row_of(run, 0)["state"] == row_of(run, 1)["state"] == "failed"
    assert row_of(run, 0)["error"] == "ValueError: no memory left" and row_of(run, 0)["epochs"] == 0
    assert row_of(run, 1)["error"] == "RuntimeError: lost node" and row_of(run, 1)["objective"] == 0.6
    assert [row_of(run, number)["completion_order"] for number in (0, 1)] == [0, 1]


def test_a_retried_trial_counts_its_retries_and_overwrites_its_epochs(run):
    """The epochs since the checkpoint are trained again; the row shows what the second time gave."""
    trial = run.start()
    run.run(trial, 0.5, 0.6)
    trial.last_result = {"epoch": 1}
    run.recorder.on_trial_recover(0, [], trial)
    assert run.recorder.records[0].state == "waiting"
    run.recorder.on_trial_start(0, [], trial)
    run.run(trial, 0.65, 0.7)
    row = row_of(run, 0)
    assert row["retries"] == 1 and row["state"] == COMPLETED
    assert [epoch["objective"] for epoch in run.tables.epoch_rows(0)] == [0.5, 0.65, 0.7]


def test_rows_are_written_as_soon_as_a_trial_ends(run, tmp_path):
    """A reader sees finished trials, in any order of ends, while others run."""
    trials = [run.start() for _ in range(3)]
    run.run(trials[2], 0.5, 0.6, 0.7)
    found = results.trials(tmp_path / "results")
    assert list(found["trial"]) == [2] and list(found["state"]) == [COMPLETED]
    run.run(trials[0], 0.5, stop=True)
    found = results.trials(tmp_path / "results").set_index("trial")
    assert dict(found["completion_order"]) == {2: 0, 0: 1}


@pytest.mark.parametrize(
    ("body", "source", "threshold"),
    [
        ('return {"threshold": trial.suggest_float("threshold", 0.1, 0.9)}', "searched", None),
        ('return {"threshold": 0.25, "temperature": trial.suggest_float("temperature", 0.05, 0.5)}', "fixed", None),
        ('return {"temperature": trial.suggest_float("temperature", 0.05, 0.5)}', "solved", 0.4),
    ],
)
def test_a_row_says_where_its_threshold_is_from(tmp_path, body, source, threshold):
    """Searched, fixed or solved; a solved one is that of the best epoch's report."""
    run = Search(tmp_path, space_of(tmp_path, body), trials=2)
    run.run(run.start(), 0.5, 0.6, 0.7)
    if (other := run.start()) is not None:  # where the threshold is searched it needs no training
        run.run(other, 0.5, 0.6, 0.7)
    row = run.tables.trial_rows()[-1]  # after the one at the threshold that the first training favours
    assert row["threshold_source"] == source
    assert threshold is None or row["threshold"] == threshold


def test_who_watches_is_told_of_every_change(run):
    """BoundSpace, started, each epoch, the end: with the state that the trial has then."""
    run.run(run.start(), 0.5, 0.6, stop=True)
    assert run.changes == [(0, "waiting"), (0, "running"), (0, "running"), (0, "running"), (0, PRUNED)]


def test_large_arrays_do_not_stay_in_tune_s_results(run):
    """Tune writes every last result into its own state file: scores and history are taken out."""
    trial = run.run(run.start(), 0.5, 0.6)
    assert "carried" not in trial.last_result


def test_a_restored_trial_brings_the_epochs_that_another_driver_saw(run):
    """The history of a resumed trial fills in what is missing, and only that."""
    trial = run.start()
    result = numbers(3, 0.7) | {"best_epoch": 2, "ranked_epoch": 2, "finished": True, "node": "n"}
    history = [numbers(1, 0.5), numbers(2, 0.9), numbers(3, 0.7)]
    result["carried"] = Carried(arrays=arrays(2), history=history)
    run.recorder.on_trial_result(0, [], trial, result)
    trial.last_result = result
    run.recorder.on_trial_complete(0, [], trial)
    assert row_of(run, 0)["objective"] == 0.9 and row_of(run, 0)["epochs"] == 3
    assert [epoch["objective"] for epoch in run.tables.epoch_rows(0)] == [0.5, 0.9, 0.7]
    assert np.array_equal(run.tables.read_scores(0)["score"], arrays(2)["scores"])


def test_a_later_attempt_adopts_what_an_earlier_one_wrote(run, tmp_path):
    """State, error, epochs, best epoch, scores and times come back from the tables as they were."""
    run.run(run.start(), 0.5, 0.9, 0.7)
    run.run(run.start(), 0.5, stop=True)
    run.report(run.start(), math.nan, sick="not finite")
    run.fail(run.start(), RuntimeError("lost node"))
    before = run.recorder.records
    later = Search(tmp_path, search_spaces.load("temperature"), attempt=2)
    later.take_up()
    after = later.recorder.records
    assert after.keys() == before.keys() == {0, 1, 2, 3}
    for number, old in before.items():
        new = after[number]
        for name in ("state", "error", "node", "best_epoch", "config", "title", "searched", "is_default", "eligible"):
            assert getattr(new, name) == getattr(old, name), name
        assert new.started == pytest.approx(old.started, abs=1e-5)
        assert new.ended == pytest.approx(old.ended, abs=1e-5)
        assert new.epochs.keys() == old.epochs.keys()
        for epoch, kept in old.epochs.items():
            assert kept.items() - {("sick", kept["sick"])} <= new.epochs[epoch].items()
    assert best_of(list(after.values()), "val_accuracy") is after[0]
    assert np.array_equal(after[0].best_arrays["scores"], arrays(2)["scores"])
    assert np.array_equal(after[0].best_arrays["correct"], arrays(2)["correct"])
    assert after[2].best_arrays is None
    assert len(later.tables.trial_rows()) == 4


def test_a_trial_that_is_not_in_the_tables_is_not_adopted(run):
    """It is then recovered from its checkpoint, or trained again."""
    record = TrialRecord(5, TrialConfig(), "trial 005", {}, False)
    assert run.recorder.adopt([record]) == [record]
    assert 5 not in run.recorder.records


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ([numbers(1, 0.5), numbers(2, 0.9), numbers(3, 0.7)], COMPLETED),
        ([numbers(1, 0.5), numbers(2, 0.9)], PRUNED),
        ([numbers(1, 0.5), numbers(2, 0.9), numbers(3, math.nan, sick="not finite")], SICK),
    ],
)
def test_a_trial_whose_end_was_not_written_is_recovered_from_its_saved_state(run, history, state):
    """The driver was killed between the last epoch and the row: the row is what it would have been."""
    run.start()
    record = run.recorder.records[0]
    best = {name: torch.from_numpy(array) for name, array in arrays(2).items()}
    saved = {"history": history, "score_history": [], "best_epoch": 2}
    saved |= {"best_scores": best["scores"], "best_correct": best["correct"]}
    run.recorder.recover(record, saved)
    row = row_of(run, 0)
    assert row["state"] == state and row["objective"] == 0.9 and row["epochs"] == len(history)
    assert (row["error"] or "").startswith("not finite" if state == SICK else "")
    assert np.array_equal(run.tables.read_scores(0)["score"], arrays(2)["scores"])


def record(number, objective, state=COMPLETED, best_epoch=1):
    made = TrialRecord(number, TrialConfig(), f"trial {number:03d}", {}, number == 0, state)
    made.epochs = {1: {"epoch": 1, "objective": objective}}
    made.best_epoch = made.ranked_epoch = best_epoch
    return made


def test_the_winner_has_the_best_objective_and_among_equals_the_lowest_number():
    """Whatever the order in which trials ended."""
    records = [record(3, 0.9), record(1, 0.9), record(2, 0.8), record(0, 0.5)]
    assert best_of(records, "val_accuracy").number == best_of(records[::-1], "val_accuracy").number == 1
    assert best_of(records, "val_eer").number == 0


def test_a_stopped_trial_can_win_and_a_sick_a_failed_or_an_unranked_one_cannot():
    """Nor one that still runs; without any that can there is no winner."""
    out = [record(n, 0.99, state) for n, state in enumerate((SICK, "failed", "running", "waiting"))]
    out.append(record(4, None, COMPLETED, best_epoch=0))
    assert best_of(out, "val_accuracy") is None
    assert best_of([*out, record(5, 0.6, PRUNED)], "val_accuracy").number == 5


def test_how_a_trial_ended_is_read_off_its_last_report():
    """Sick before finished; stopped or without a report is pruned."""
    assert ending_state({"sick": "not finite", "finished": True}) == SICK
    assert ending_state({"sick": None, "finished": True}) == COMPLETED
    assert ending_state({"sick": None, "finished": False}) == ending_state({}) == ending_state(None) == PRUNED


def test_tune_s_own_snapshots_of_the_recorder_are_empty(run):
    """The tables are the only memory."""
    assert run.recorder.__getstate__() == {}


def test_diagnoses_are_in_both_tables_and_null_where_nobody_looked(run):
    """An epoch has its names, a trial those of all its epochs, once each and as they came; empty is healthy."""
    sick, well, unknown = (run.start() for _ in range(3))
    for trial, by_epoch in ((sick, [["a"], [], ["b", "a"]]), (well, [[], [], []]), (unknown, [None] * 3)):
        run.run(trial, 0.5, 0.6, stop=False)
        record = run.recorder.records[trial.config["number"]]
        for epoch, names in enumerate(by_epoch[:2], 1):
            record.epochs[epoch] = record.epochs[epoch] | {"diagnoses": names}
        run.report(trial, 0.7, diagnoses=by_epoch[2])
    assert [row_of(run, n)["diagnoses"] for n in range(3)] == [["a", "b"], [], None]
    assert [row["diagnoses"] for row in run.tables.epoch_rows(0)] == [["a"], [], ["b", "a"]]
    assert [row["diagnoses"] for row in run.tables.epoch_rows(2)] == [None] * 3


def test_files_are_written_while_no_worker_waits(run):
    """A trial that ended is in the tables once the next one runs on its worker, or soon where none follows."""
    run.writes_at_once = False
    first, second = run.start(), run.start()
    written = run.tables.trial_rows

    run.run(first, 0.5, 0.6, 0.7)
    run.recorder.on_step_end(1, [])
    assert written() == []
    run.start()
    run.recorder.on_step_end(2, [])
    assert [row["trial"] for row in written()] == [0]
    run.run(second, 0.5, 0.6, 0.7)
    time.sleep(recorder._WAIT_S)
    run.recorder.on_step_end(3, [])
    assert [row["trial"] for row in written()] == [0, 1]


def test_what_cannot_be_written_ends_the_search_and_is_not_lost(run, monkeypatch):
    """A full disk is told, and what was to be written is written once there is room."""

    def refuse(rows):
        raise OSError("no space left")

    with monkeypatch.context() as full:
        full.setattr(run.tables, "append_epochs", refuse)
        with pytest.raises(OSError, match="no space left"):
            run.run(run.start(), 0.5, 0.6, 0.7)
    assert [row["trial"] for row in run.tables.trial_rows()] == [0]
