"""Going on with a run: its options kept in a file, proof that question and data are the same, and its trials taken up."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

import search_spaces
from trainable.errors import InputError
from tuner import results
from tuner.cli.run_options import RunOptions
from tuner.cli.values import cache_folder
from tuner.inputs.backbone import resolved_weights
from tuner.inputs.dataset import resolved
from tuner.results.alive import Sign, last_sign, signs_of_life
from tuner.results.checkpoints import Saved
from tuner.results.naming import named_run
from tuner.results.reading import SkippedFileWarning
from tuner.results.store import Store, write_durably
from tuner.results.writer import RUN_PATIENCE_S, writable
from tuner.search.plan import Plan
from tuner.search.recorder import Recorder
from tuner.search.study import Suggestion, TrialStudy

OPTIONS, STUDY = "run.json", "study.log"


class RunFiles:
    """They are written in a local folder; where results do not lie on this machine, in the cache, and copied to them.

    So another machine can go on with the run: it fetches them first.
    """

    def __init__(self, root: str, run: str, cache: str | None) -> None:
        state = results.state_dir(root, run)
        self._remote = Store.at(state, RUN_PATIENCE_S) if "://" in state else None
        self.folder = cache_folder(cache) / "state" / run if self._remote else Path(state)

    def fetch(self) -> None:
        """Have what lies beside the results here."""
        if self._remote is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (OPTIONS, STUDY):
            path = self._remote.path(name)
            if self._remote.exists(path):
                with self._remote.fs.open_input_stream(path) as stream:
                    (self.folder / name).write_bytes(stream.read())

    def keep(self, name: str) -> None:
        """Have the file, as it is now, beside the results."""
        if self._remote is not None:
            self._remote.write(self._remote.root, name, (self.folder / name).read_bytes())

    def is_there(self) -> bool:
        """Whether the run's options lie where they belong."""
        if self._remote is None:
            return (self.folder / OPTIONS).is_file()
        return self._remote.exists(self._remote.path(OPTIONS))


@contextmanager
def held(root: str, run: str, cache: str | None) -> Iterator[None]:
    """The run is this process's alone, until it ends or dies. InputError if another one on this machine has it."""
    folder = RunFiles(root, run, cache).folder
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"--resume {run}: another process is working on this run; valid is one at a time. Wait for its end, or stop "
            "it with Ctrl-C."
        ) from error
    state = Store.at(results.state_dir(root, run))
    try:
        _check_no_other_machine(run, last_sign(state))
        with signs_of_life(state):
            yield
    finally:
        lock.release()


def _check_no_other_machine(run: str, sign: Sign | None) -> None:
    """A lock holds on this machine only."""
    if sign is not None and not sign.is_of_this_machine and sign.lives:
        raise InputError(
            f"--resume {run}: a process on {sign.host} was working on this run {sign.age_s:.0f} s ago; valid is one at a time. "
            "Wait for its end, or, if it was killed, a minute and a half."
        )


@contextmanager
def held_again(options: RunOptions) -> Iterator[tuple[str, dict[str, Any]]]:
    """The run to go on with, held before anything of it is read: its name, options, data fingerprint and number of attempts."""
    root = writable(options.output.results)
    run = named_run(root, options.output.resume or "")
    files = RunFiles(root, run, options.data.cache)
    _check_is_there(root, run, files)
    with held(root, run, options.data.cache):
        files.fetch()
        yield run, _saved(run, files.folder / OPTIONS)


def save_options(plan: Plan, attempt: int) -> None:
    """Keep what `saved_run` needs, at the start of each attempt at a run."""
    files = RunFiles(plan.results_root, plan.run, plan.options.data.cache)
    saved: dict[str, Any] = {"options": _from_any_folder(plan), "data_fingerprint": plan.data_fingerprint}
    saved["attempts"] = attempt  # a resumed sampler must not repeat its first draws, nor Tune its folders
    write_durably(files.folder, OPTIONS, json.dumps(saved, indent=1).encode())
    files.keep(OPTIONS)


def _from_any_folder(plan: Plan) -> dict[str, Any]:
    """The options, with the paths of files as the plan resolved them: a run may be resumed from another folder."""
    options = plan.options.as_dict()
    if options["space"] not in search_spaces.names():
        options["space"] = plan.space.path
    options["data"]["data"] = resolved(options["data"]["data"])
    options["model"]["weights"] = resolved_weights(plan.options.model)
    return options


def _check_is_there(root: str, run: str, files: RunFiles) -> None:
    known = results.known_runs(root)
    if run not in known or not files.is_there():
        there = f"runs there: {', '.join(known)}" if known else "there are no runs there"
        raise InputError(
            f"--resume {run!r}: no such run in {root}; {there}. Name one of them, or give another --results."
        )


def _saved(run: str, file: Path) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise InputError(
            f"--resume {run}: {file}, which holds the run's options, is not JSON ({error}); valid is the file as it was "
            "written. Restore it, or start a new run without --resume."
        ) from error
    return saved


def check_same_run(plan: Plan, saved: dict[str, Any]) -> None:
    """Raise InputError if space or data are not those that the run began with."""
    _check_same_question(plan)
    _check_same_data(plan, saved)


def _check_same_question(plan: Plan) -> None:
    """The space must be the one that the run began with: the study remembers its parameters and ranges."""
    with warnings.catch_warnings(record=True) as complaints:  # of its file, where that is damaged
        warnings.simplefilter("always", SkippedFileWarning)
        rows = results.runs(plan.results_root, [plan.run])
    if rows.empty:
        reason = str(complaints[0].message).removesuffix(" It is skipped.") if complaints else "its row is missing"
        raise InputError(f"--resume {plan.run}: {reason}.")
    began = rows.iloc[0]
    untold = pd.isna(began["space_source"])  # the disk was full before its row was written: all that it says is its end
    if (plan.space.name, None if untold else plan.space.source) != (began["space"], None if untold else began["space_source"]):
        raise InputError(
            f"--resume {plan.run}: the space {plan.space.path} is not {began['space']}, which the run began with, or was "
            "changed since. Put it back as it was, or start a new run without --resume."
        )


def _check_same_data(plan: Plan, saved: dict[str, Any]) -> None:
    if plan.data_fingerprint != saved["data_fingerprint"]:
        raise InputError(
            f"--resume {plan.run}: the pairs or images of {plan.options.data.data} are not the ones that the run began with. "
            "Put them back as they were, or start a new run without --resume."
        )


def take_up_trials(study: TrialStudy, recorder: Recorder, saved: Callable[[int], Saved | None]) -> None:
    """Records of the trials of earlier attempts: those that ended, and those whose end the driver did not live to hear of.

    saved: reads a trial's newest saved state.
    """
    for record in recorder.adopt([study.record(suggestion) for suggestion in study.ended()]):
        if state := saved(record.number):
            recorder.recover(record, state.state)
    for suggestion in [*study.unfinished, *study.unfinished_repeats]:
        state = saved(suggestion.number)
        if state is not None and _has_ended(state.state, suggestion.config.epochs):
            _close(study, suggestion, recorder, state.state)


def _has_ended(state: dict[str, Any], epochs: int) -> bool:
    """No epoch is to come."""
    return bool(state["sick"]) or len(state["history"]) >= epochs


def _close(study: TrialStudy, suggestion: Suggestion, recorder: Recorder, state: dict[str, Any]) -> None:
    (study.unfinished_repeats if "repeat_of" in suggestion.marks else study.unfinished).remove(suggestion)
    record = study.record(suggestion)
    recorder.recover(record, state)
    for numbers in state["history"]:
        study.report(suggestion, numbers["epoch"], numbers["objective"])
    study.tell(suggestion, record, record.state)
