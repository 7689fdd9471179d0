"""A run's study on the disk: opened so that nothing in it is lost, and brought into line with the tables of its trials."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, Trial, TrialState

from trainable.errors import InputError
from trainable.objectives import COSTS, Objectives
from tuner.results.store import sync_folder
from tuner.results.trial_record import COMPLETED, FAILED, SICK
from tuner.results.writer import RunTables


def open_study(path: Path, keep: Callable[[], None] | None = None) -> optuna.storages.JournalStorage:
    """The study's file, which `optuna-dashboard` opens, without what a killed or torn write left behind.

    keep: called when a trial has got its number or ended, to copy the file to where the results lie. The run must be held:
    a lock that is still there is a dead process's.

    Raises InputError if a line of the file is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{path}.lock").unlink(missing_ok=True)
    _drop_torn_tail(path)
    try:
        storage = _Storage(_Journal(path, keep))
        json.loads(_last_line(path) or b"{}")  # which Optuna forgives
    except ValueError as error:
        raise InputError(
            f"line {_damaged_line(path)} of {path}, the sampler's memory, is damaged ({error}); valid is the file as it was "
            "written. Restore it, or start a new run without --resume."
        ) from error
    sync_folder(path.parent)
    return storage


class _Journal(JournalFileBackend):
    """Optuna's file, which is kept elsewhere, too, where that is asked for.

    Optuna waits for the disk at every line, some fifteen times a trial. Here it is waited for once: when a trial has got its
    number, before which nothing of it is trained or written. What a power cut can take, how it ended, is in the tables.
    """

    def __init__(self, path: Path, keep: Callable[[], None] | None) -> None:
        self._lock_of_all = JournalFileSymlinkLock(str(path))  # optuna-dashboard may write beside
        super().__init__(str(path), lock_obj=self._lock_of_all)
        self._path, self._keep = path, keep

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        numbered = any("number" in log.get("user_attr", {}) for log in logs)
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock_of_all.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                if numbered:
                    os.fsync(file.fileno())
        finally:
            self._lock_of_all.release()
        if self._keep and (numbered or any("state" in log for log in logs)):
            self._keep()


class _Storage(optuna.storages.JournalStorage):
    """Optuna's storage, which knows the trials that wait: with every question Optuna looks for them among all there are."""

    def __init__(self, journal: JournalFileBackend) -> None:
        super().__init__(journal)
        self._waiting: set[int] | None = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        if self._waiting is not None and template_trial and template_trial.state == TrialState.WAITING:
            self._waiting.add(trial_id)
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if self._waiting is not None:
            self._waiting.discard(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states != (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        if self._waiting is None:
            self._waiting = {trial._trial_id for trial in super().get_all_trials(study_id, False, states)}
        return [self.get_trial(trial_id) for trial_id in sorted(self._waiting)]


def _drop_torn_tail(path: Path) -> None:
    """Cut off a last line without an end; whoever wrote it heard of no success."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())


def _last_line(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**20))
        return file.read().rstrip(b"\n").rpartition(b"\n")[2]


def _damaged_line(path: Path) -> int:
    """The first that is no JSON, from 1."""
    for place, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            json.loads(line)
        except ValueError:
            return place
    return 0


def mend_study(
    path: Path,
    name: str,
    tables: RunTables,
    saved: Callable[[int], Any],
    keep: Callable[[], None] | None = None,
    objectives: Objectives | None = None,
) -> optuna.storages.JournalStorage:
    """Have study and tables agree on which trials have ended, however the driver was killed.

    The tables are right: a trial in them has ended, and is told to the study as it ended; one that is not in them, and
    has no saved state that its row could be written from, is trained again, whatever the study was told.

    saved: a trial's saved state, or nothing. Returns the study's storage, open.

    Raises InputError if the study does not know a trial that is in the tables: it was emptied, or is another one's.
    """
    storage = open_study(path, keep)
    rows = tables.trials_written()
    known = name in [study.study_name for study in storage.get_all_studies()]
    study = optuna.load_study(study_name=name, storage=storage) if known else None
    trials = study.get_trials(deepcopy=False) if study else []
    numbers = {trial.user_attrs["number"]: trial for trial in trials if "number" in trial.user_attrs}
    if unknown := sorted(rows - numbers.keys()):
        raise InputError(
            f"--resume {name}: {path}, the sampler's memory, does not know the trials {', '.join(map(str, unknown[:5]))}"
            f"{' …' if len(unknown) > 5 else ''} that are in the tables: it was emptied, removed or replaced. Valid is "
            "the file as it was written. Restore it, or start a new run without --resume."
        )
    if study is None:
        return storage
    for number, trial in numbers.items():
        if number in rows and not trial.state.is_finished():
            _tell_as_it_ended(study, trial, tables.trial_row(number), tables.epoch_rows(number), objectives)
    untold = {n for n, t in numbers.items() if n not in rows and t.state.is_finished()}
    again = {n for n in untold if numbers[n].state == TrialState.FAIL or not saved(n)}
    if not again:
        return storage
    _write_anew(path, study, again, keep)
    return open_study(path, keep)


def _tell_as_it_ended(
    study: optuna.Study,
    frozen: FrozenTrial,
    row: Mapping[str, Any],
    epochs: list[dict[str, Any]],
    objectives: Objectives | None,
) -> None:
    """As the searcher would have told it."""
    trial = Trial(study, frozen._trial_id)
    costs = [row[COSTS[name].column] for name in objectives.costs] if objectives else []
    for epoch in epochs if not costs else ():
        if epoch["objective"] is not None and epoch["epoch"] not in frozen.intermediate_values:
            trial.report(epoch["objective"], epoch["epoch"])
    ranked = row["state"] != COMPLETED or None not in (row["objective"], *costs)
    not_in_space = frozen.user_attrs.get("outside_space") or "repeat_of" in frozen.user_attrs
    if row["state"] == FAILED or not_in_space or not ranked or (costs and row["state"] == SICK):
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_constraint("sick", float(row["state"] == SICK))
    for words, excess in objectives.exceeded(row).items() if objectives else ():
        trial.set_constraint(words, excess)
    values = [row["objective"], *costs] if row["state"] == COMPLETED else None
    study.tell(trial, values, state=TrialState.PRUNED if values is None else TrialState.COMPLETE)


def _write_anew(path: Path, study: optuna.Study, again: set[int], keep: Callable[[], None] | None) -> None:
    """The same study in a new file, in which these trials have not ended yet."""
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    copy = optuna.create_study(
        study_name=study.study_name, storage=open_study(draft), directions=study.directions, load_if_exists=False
    )
    for trial in study.get_trials():
        if trial.user_attrs.get("number") in again:
            trial.state, trial.values, trial.datetime_complete = TrialState.RUNNING, None, None
            trial.intermediate_values = {}
        copy.add_trial(trial)
    Path(f"{draft}.lock").unlink(missing_ok=True)
    draft.replace(path)
    sync_folder(path.parent)
    if keep:
        keep()
