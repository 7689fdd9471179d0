"""Going on with a run: its options kept in a file, proof that question and data are the same, and its trials taken up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import search_spaces
from trainable.errors import InputError
from tuner import results
from tuner.cli.run_options import RunOptions
from tuner.inputs.dataset import cache_folder, resolved
from tuner.results.checkpoints import Saved
from tuner.results.writer import writable
from tuner.search.plan import Plan
from tuner.search.recorder import Recorder
from tuner.search.study import Suggestion, TrialStudy


def local_state(root: str, run: str, cache: str | None) -> Path:
    """The run's folder for study and options; for results that are not local, in the cache."""
    state = results.state_dir(root, run)
    return Path(state) if "://" not in state else cache_folder(cache) / "state" / run


@contextmanager
def held(plan: Plan) -> Iterator[None]:
    """The run is this process's alone, until it ends or dies. InputError if another one on this machine has it."""
    folder = local_state(plan.results_root, plan.run, plan.options.data.cache)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"--resume {plan.run}: another process is working on this run; valid is one at a time. Wait for its end, or stop "
            "it with Ctrl-C."
        ) from error
    try:
        yield
    finally:
        lock.release()


def save_options(plan: Plan, attempt: int) -> None:
    """Keep what `saved_run` needs, at the start of each attempt at a run."""
    folder = local_state(plan.results_root, plan.run, plan.options.data.cache)
    folder.mkdir(parents=True, exist_ok=True)
    saved = {"options": _from_any_folder(plan), "data_fingerprint": plan.data_fingerprint}
    saved["attempts"] = attempt  # a resumed sampler must not repeat its first draws, nor Tune its folders
    temporary = folder / ".run.json"
    temporary.write_text(json.dumps(saved, indent=1))
    temporary.replace(folder / "run.json")


def _from_any_folder(plan: Plan) -> dict[str, Any]:
    """The options, with the paths of files as the plan resolved them: a run may be resumed from another folder."""
    options = plan.options.as_dict()
    if options["space"] not in search_spaces.names():
        options["space"] = plan.space.path
    options["data"]["data"] = resolved(options["data"]["data"])
    options["model"]["weights"] = plan.backbone_spec.weights
    return options


def attempts_of(saved: dict[str, Any] | None) -> int:
    """How many attempts at the run there were."""
    return saved["attempts"] if saved else 0


def saved_run(options: RunOptions) -> dict[str, Any]:
    """The options, data fingerprint and number of attempts of the run to resume; InputError if it is not there."""
    root = writable(options.output.results)
    run = options.output.resume
    known = results.known_runs(root)
    file = local_state(root, run, options.data.cache) / "run.json"
    if run not in known or not file.is_file():
        there = f"runs there: {', '.join(known)}" if known else "there are no runs there"
        raise InputError(
            f"--resume {run!r}: no such run in {root}; {there}. Name one of them, or give another --results."
        )
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise InputError(
            f"--resume {run}: {file}, which holds the run's options, is not JSON ({error}); valid is the file as it was "
            "written. Restore it, or start a new run without --resume."
        ) from error


def check_same_run(plan: Plan, saved: dict[str, Any]) -> None:
    """Raise InputError if space or data are not those that the run began with."""
    _check_same_question(plan)
    _check_same_data(plan, saved)


def _check_same_question(plan: Plan) -> None:
    """The space must be the one that the run began with: the study remembers its parameters and ranges."""
    began = results.runs(plan.results_root, [plan.run]).iloc[0]
    if (plan.space.name, plan.space.source) != (began["space"], began["space_source"]):
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
    for suggestion in study.ended():
        record = study.record(suggestion)
        if not recorder.adopt(record) and (state := saved(record.number)):
            recorder.recover(record, state.state)
    for suggestion in list(study.unfinished):
        state = saved(suggestion.number)
        if state is not None and _has_ended(state.state, suggestion.config.epochs):
            _close(study, suggestion, recorder, state.state)


def _has_ended(state: dict[str, Any], epochs: int) -> bool:
    """No epoch is to come."""
    return bool(state["sick"]) or len(state["history"]) >= epochs


def _close(study: TrialStudy, suggestion: Suggestion, recorder: Recorder, state: dict[str, Any]) -> None:
    study.unfinished.remove(suggestion)
    record = study.record(suggestion)
    recorder.recover(record, state)
    for numbers in state["history"]:
        study.report(suggestion, numbers["epoch"], numbers["objective"])
    study.tell(suggestion, record, record.state)
