"""Going on with a run: its options kept in a file, and the proof that it is still the same question on the same data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import search_spaces
from trainable.errors import InputError
from tuner import results
from tuner.cli.run_options import RunOptions
from tuner.inputs.dataset import cache_folder, resolved
from tuner.results.writer import writable
from tuner.search.plan import Plan


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
