"""A run that is killed, interrupted or made longer goes on where it was: nothing is lost and nothing is done twice."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from filelock import FileLock
from optuna.trial import TrialState

from benchmarks import kills
from tests.tools.real_ray import SMALL, Command, Here, alone, saved_states, table, until
from trainable.config import Settings
from trainable.training.checkpoint import load_state
from tuner import results
from tuner.cli.signals import answered_signals
from tuner.results.trial_record import TrialRecord
from tuner.search.experiment import Stop
from tuner.search.recorder import Recorder

EPOCHS, TRIALS = 6, 4  # the trials that are asked for at first


class Story:
    """A run killed on a Ray of its own, gone on with on a cluster, ended by Ctrl-C, and gone on with to its end and beyond.

    With what lay there in between. The Ray of its own starts badly: its dashboard is given no time, and its folder has so
    long a name that nobody could open the sockets in it. The last attempt asks for one trial more than the run was begun with.
    """

    def __init__(self, folder: Path, pairs: Path, address: str) -> None:
        self.results, self.address, self.was_interrupted = folder / "results", address, False
        self.long = folder / ("x" * 100)
        self.long.mkdir()
        self.killed = Command(
            folder, "--data", pairs, "--results", self.results, "--epochs", EPOCHS, "--trials", TRIALS,
            "--scheduler", "none", "--sampler", "random", *SMALL,
            script=KILLED, TMPDIR=str(self.long), RAY_DASHBOARD_STARTUP_TIMEOUT_S="0",
            RAY_gcs_server_request_timeout_seconds="60",  # so long Ray's agents try to tell a GCS that is gone of it
        )  # fmt: skip
        self.killed.expect(-signal.SIGKILL)
        self.state_when_killed = results.runs(self.results).state.item()
        self.losses = kills.Search(folder, pairs, kills.Options(trials=TRIALS + 1))
        self.losses.check()
        self.run = self.killed.run
        self.after_kill = self.look()
        self.interrupted = Here(*self.resume, watch=self._interrupt)
        self.interrupted.expect(130)
        self.losses.check()
        self.after_interrupt = self.look()
        Here(*self.resume, "--trials", TRIALS + 1).expect(0)
        self.losses.check_end(0)

    @property
    def resume(self) -> tuple[object, ...]:
        """Arguments to go on with the run, on the cluster."""
        return ("--resume", self.run, "--results", self.results, "--address", self.address)

    def look(self) -> tuple[pd.DataFrame, dict[int, list[dict]]]:
        """The trials in the tables, and the epochs in the saved state of each of the others."""
        trials = table(self.results, "trials", self.run)
        states = saved_states(self.results, self.run)
        running = set(states) - set(trials.trial)
        return trials, {number: load_state(states[number].parent)["history"] for number in running}

    def _interrupt(self, recorder: Recorder, record: TrialRecord, result: dict[str, Any]) -> None:
        if not self.was_interrupted and is_between(recorder, result, ended=len(self.after_kill[0]) + 1):
            self.was_interrupted = True
            os.kill(os.getpid(), signal.SIGINT)


def is_between(recorder: Recorder, result: dict[str, Any], ended: int) -> bool:
    """Whether so many trials have ended, and that of this report has a saved state but is not done."""
    enough = sum(record.ended is not None for record in recorder.records.values()) >= ended
    return enough and result["epoch"] >= 2 and not result["done"]


def with_folder(folder: Path) -> list[str]:
    """Processes that were started with this temporary folder: the command and, of its Ray, all."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


KILLED = """
import functools, os, signal
from pathlib import Path
from ray._private.parameter import RayParams
from tests.tools import forked
from tests.tools.real_ray import watched
from tests.on_ray.test_resume import is_between, with_folder
from tuner.run import main

def kill(recorder, record, result):
    if is_between(recorder, result, ended=1):
        recorder.flush()  # as it does a tenth of a second after a trial has ended
        print("processes", len(with_folder(Path(os.environ["TMPDIR"]))), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

RayParams.__init__ = functools.partialmethod(RayParams.__init__, setup_worker_path=forked.__file__)
with watched(kill):
    main()
"""
"""The command with a Ray of its own, whose workers are forked, as those of the tests' own clusters are."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pairs: Path, cluster: Any) -> Story:
    """The whole story, told once."""
    return Story(tmp_path_factory.mktemp("resume"), pairs, cluster.address)


def test_a_run_does_without_what_its_ray_lacks(story: Story) -> None:
    """A dashboard that was given no time, and a folder for sockets: said, and trials end well."""
    output = story.killed.output
    assert story.killed.printed("dashboard") == "none: it did not start; the run does without"
    assert "note: Ray uses /tmp" in output and "Traceback" not in output
    assert len(story.after_kill[0]) == 1


def test_an_interrupted_run_says_how_to_go_on(story: Story) -> None:
    """Ctrl-C ends it with code 130 and names the very command that goes on."""
    output = story.interrupted.output
    assert f"python -m tuner.run --resume {story.run} --results {story.results}" in output
    assert "Interrupted by SIGINT" in output
    assert "Traceback" not in output


def test_finished_trials_survive(story: Story) -> None:
    """Rows that were there when the driver was interrupted or killed are the same in the end."""
    final = table(story.results, "trials", story.run).set_index("trial")
    for before in (story.after_kill[0], story.after_interrupt[0]):
        assert len(before) >= 1
        before = before.set_index("trial").drop(columns="win_share")  # which is known at the run's end only
        pd.testing.assert_frame_equal(final.loc[before.index, before.columns], before)
    assert len(story.after_interrupt[0]) > len(story.after_kill[0])


def test_the_benchmark_of_kills_finds_nothing_wrong(story: Story) -> None:
    """Not after the kill, nor after the interruption, nor at the end: trials, tables, study, winner, page."""
    assert story.losses.wrong == [] and len(story.losses.kept) == TRIALS + 1


def test_no_trial_is_lost_or_run_twice_and_a_run_can_be_made_longer(story: Story) -> None:
    """As many trials as asked for in the end, each once, each trained to its end; numbers are counted on."""
    trials = table(story.results, "trials", story.run)
    assert sorted(trials.trial) == list(range(TRIALS + 1))
    assert set(trials.state) == {"completed"}
    assert trials.temperature.is_unique
    (run,) = table(story.results, "runs", story.run).to_dict("records")
    assert (run["state"], run["trials_done"]) == ("finished", TRIALS + 1)


def test_unfinished_trials_go_on_at_their_checkpoint(story: Story) -> None:
    """Epochs in a saved state are not trained again: even their times are those of the first attempt."""
    epochs = table(story.results, "epochs", story.run).set_index(["trial", "epoch"])
    under_way = [(number, h) for _, states in (story.after_kill, story.after_interrupt) for number, h in states.items()]
    assert any(under_way)
    for number, history in under_way:
        for numbers in history:
            assert epochs.loc[(number, numbers["epoch"]), "epoch_s"] == numbers["epoch_s"]


def test_the_interruptions_leave_no_trace_in_the_numbers(story: Story, pairs: Path) -> None:
    """Each trial that was under way has the losses and scores, to the bit, that it has when it is trained in one go."""
    epochs, scores = (table(story.results, name, story.run) for name in ("epochs", "scores"))
    trials = table(story.results, "trials", story.run).set_index("trial", drop=False)
    for _, row in trials.loc[[*{*story.after_interrupt[1], *story.after_kill[1]}]].iterrows():
        reports = alone(pairs, row, Settings(keep_sick=True))
        known = epochs[epochs.trial == row.trial]
        assert [report.contrastive_loss for report in reports] == known.contrastive_loss.tolist()
        own = scores[scores.trial == row.trial].sort_values("pair")
        np.testing.assert_array_equal(reports[row.ranked_epoch - 1].scores, own.score.to_numpy())


def test_the_sampler_remembers(story: Story) -> None:
    """One study holds all trials of all attempts, with their values, and none of them is left running."""
    trials = _study(story.results, story.run)
    numbered = {t.user_attrs["number"]: t for t in trials if "number" in t.user_attrs}
    assert sorted(numbered) == list(range(TRIALS + 1))
    assert {t.state for t in numbered.values()} == {TrialState.COMPLETE}
    assert not [t for t in trials if not t.state.is_finished()]
    rows = table(story.results, "trials", story.run).set_index("trial")
    assert {number: t.value for number, t in numbered.items()} == rows.objective.to_dict()


def test_a_run_is_one_process_s_at_a_time(story: Story) -> None:
    """While another process has it, --resume is refused and changes nothing."""
    before = table(story.results, "runs", story.run)
    with FileLock(story.results / "state" / story.run / "lock"):
        output = Here(*story.resume).expect(2)
    assert "another process is working on this run" in output
    pd.testing.assert_frame_equal(table(story.results, "runs", story.run), before)


def test_a_killed_driver_leaves_no_process(story: Story) -> None:
    """Its Ray's processes, agents and workers included, end by themselves; its row is told from a running one's."""
    assert int(story.killed.printed("processes")) >= 4, "Ray's own and a worker"
    assert story.state_when_killed == "dead"
    until(lambda: not with_folder(story.long), "nothing of its Ray was left", every_s=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_search_in_order(number: signal.Signals) -> None:
    """A polite kill is answered like Ctrl-C: the search stops and says by what; only a second Ctrl-C breaks it off."""
    stop, before = Stop(budget_s=None), signal.getsignal(number)
    with answered_signals(stop):
        assert not stop.stop_all()
        signal.raise_signal(number)
        assert (stop.stop_all(), stop.reason) == (True, number.name)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before


def _study(root: Path, run: str) -> list[optuna.trial.FrozenTrial]:
    file = root / "state" / run / "study.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    return optuna.load_study(study_name=run, storage=storage).get_trials()
