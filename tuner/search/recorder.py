"""What happens to each trial, recorded: one TrialRecord a trial, written to the tables when the trial has ended."""

from __future__ import annotations

import math
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ray.exceptions import RayActorError
from ray.tune import Callback
from ray.tune.result import SHOULD_CHECKPOINT

from trainable.config import MEASURED, Settings, TrialConfig, sign
from trainable.data.pairs import PairData
from trainable.metrics import intervals, thresholds
from trainable.objectives import Objectives
from trainable.training.epoch_report import rejudged
from trainable.training.ranked_epoch import ranked_epoch
from trainable.trial import scores_by_epoch
from tuner.cli.full_disk import ResultsUnwritableError, no_room, patiently
from tuner.cluster.private_ray import name_tasks
from tuner.results import configuration
from tuner.results.schema import SCHEMAS
from tuner.results.trial_record import (
    COMPLETED,
    FAILED,
    FAVOURED,
    PRUNED,
    RUNNING,
    SICK,
    WAITING,
    Arrays,
    Kept,
    TrialRecord,
)
from tuner.results.writer import RunTables

_EPOCH_NUMBERS = {*SCHEMAS["epochs"].names, "sick"} - {"trial"}

_COSTS = ("parameters", "image_ms", "over_limits")
_Cells = dict[str, Any]
_WAIT_S = 0.1
"""A trial that ended is written down when the next one runs on its worker, or after so long if none does."""


class Recorder(Callback):
    """A Tune callback that keeps the records and writes the tables.

    records: by trial number, shared with the display; changed: called with a record whenever something happened to it;
    checkpoint_s: a running trial is saved when so many seconds have passed since it was saved or started; say: told where
    the disk is full, for which the search waits then; objectives: with the limits of the run.
    """

    def __init__(
        self,
        tables: RunTables,
        data: PairData,
        blocks: Callable[[TrialConfig], int],
        settings: Settings,
        changed: Callable[[TrialRecord], None] = lambda record: None,
        checkpoint_s: float = 0.0,
        say: Callable[[str], None] = print,
        objectives: Objectives | None = None,
    ) -> None:
        self._objectives = objectives or Objectives(settings.metric)
        self.records: dict[int, TrialRecord] = {}
        self._tables, self._settings, self._blocks, self._changed = tables, settings, blocks, changed
        self._checkpoint_s, self._say = checkpoint_s, say
        self._unwritten: deque[tuple[TrialRecord, list[_Cells], _Cells | None, _Cells]] = deque()
        self._ended = 0
        self._write_at = 0.0
        rows = data.rows("val")
        self._val_rows = rows
        self._labels = np.asarray(data.pair_label)[rows]
        self._identities = data.front_identity[rows], data.angle_identity[rows]
        self._linked = intervals.linked_pairs(*self._identities)

    def suggested(self, record: TrialRecord) -> None:
        """A configuration was suggested and waits for a worker."""
        self.records.setdefault(record.number, record)
        self._changed(record)

    def adopt(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Fill in trials that ended in an earlier attempt from the tables, which are read once; those not in them are
        returned."""
        self.flush()
        rows = {row["trial"]: row for row in self._tables.trial_rows()}
        epochs: dict[int, dict[int, dict[str, Any]]] = {}
        for epoch in self._tables.epochs_told():
            epochs.setdefault(epoch["trial"], {})[epoch["epoch"]] = epoch
        for record in records:
            if (row := rows.get(record.number)) is not None:
                self._fill_in(record, row, epochs.get(record.number, {}))
        return [record for record in records if record.number not in rows]

    def _fill_in(self, record: TrialRecord, row: dict[str, Any], epochs: dict[int, dict[str, Any]]) -> None:
        for name in ("state", "error", "node", "retries", "replay_of", "checkpoint", "completion_order", *_COSTS):
            setattr(record, name, row.get(name))
        record.best_epoch, record.ranked_epoch = row["best_epoch"] or 0, row["ranked_epoch"] or 0
        record.started, record.ended = (row[name].timestamp() for name in ("started_at", "ended_at"))
        record.epochs, record.arrays = epochs, partial(self._read_arrays, record.number)
        record.kept = Kept(row["epochs"] or 0, row["train_s"] or 0.0, row["diagnoses"])
        self.records[record.number] = record
        self._ended += 1

    def _read_arrays(self, number: int) -> Arrays:
        columns = self._tables.read_scores(number)
        names = {"scores": "score", "correct": "correct"}  # by the name that an epoch's report has for it
        return columns and {name: columns[stored] for name, stored in names.items() if stored in columns}

    def recover(self, record: TrialRecord, state: dict[str, Any]) -> None:
        """Write down a trial whose end was not written, from its saved state: the driver was killed just then."""
        record.epochs = {numbers["epoch"]: numbers for numbers in state["history"]}
        record.best_epoch, record.ranked_epoch = state["best_epoch"], ranked_epoch(state)
        if state["best_scores"] is not None:
            record.arrays = {"scores": state["best_scores"].numpy(), "correct": state["best_correct"].numpy()}
        record.epoch_scores = scores_by_epoch(state["score_history"])
        record.parameters, record.image_ms = ((state.get("costs") or {}).get(name) for name in _COSTS[:2])
        self.records[record.number] = record
        last = record.last
        self.end(record, ending_state({**last, "finished": last.get("epoch") == record.config.epochs}))

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        record.state, record.saved = RUNNING, time.time()
        self._write_at = 0.0  # its worker does not wait any longer
        name_tasks(trial, record.title)
        self._changed(record)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._record(trial)
        carried = result.pop("carried")  # so that Tune does not write it into its own state
        record.parameters, record.image_ms = (carried.costs.get(name) for name in _COSTS[:2])
        for past in carried.history:
            record.epochs.setdefault(past["epoch"], past)
        for earlier in carried.earlier:
            record.epochs[earlier["epoch"]] = _only(earlier, _EPOCH_NUMBERS)
        record.epoch_scores |= carried.epoch_scores
        record.epochs[result["epoch"]] = _only(result, _EPOCH_NUMBERS)
        record.node = result["node"]
        record.best_epoch, record.ranked_epoch = result["best_epoch"], result["ranked_epoch"]
        record.arrays = carried.arrays or record.best_arrays
        if time.time() - record.saved >= self._checkpoint_s:
            record.saved, result[SHOULD_CHECKPOINT] = time.time(), True
        self._changed(record)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        record.state, record.retries = WAITING, record.retries + 1
        where, epoch = f" on {record.node}" if record.node else "", record.last.get("epoch", 0)
        goes_on = "it goes on from its last saved state"
        self._say(f"trial {record.number:03d} broke off{where} after epoch {epoch}: {error_of(trial)}; {goes_on}")
        self._changed(record)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        record.checkpoint = trial.checkpoint.path if trial.checkpoint else None
        self.end(record, ending_state(trial.last_result))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        record.error = error_of(trial)
        if words := no_room(RuntimeError(record.error)):  # no failure of the trial's: it is trained when there is room
            record.state = WAITING
            raise ResultsUnwritableError(f"the results cannot be written: {words}")
        self.end(record, FAILED)

    def replay(self, record: TrialRecord, source: TrialRecord) -> None:
        """Write down a trial that differs from an ended one in its threshold only: the source's epochs, judged anew.

        A threshold that these very pairs chose is not judged on them: decisions are then at cross-fitted thresholds.
        """
        record.replay_of, record.node = source.number, source.node
        for name in _COSTS:
            setattr(record, name, getattr(source, name))
        settings = replace(self._settings, threshold_is_favoured=record.is_extra)
        better, best = sign(self._settings.metric), -math.inf
        for epoch, numbers in sorted(self._all_epochs(source).items()):
            scores = source.epoch_scores[epoch]
            again = rejudged(numbers, scores, self._labels, self._identities, record.config, settings)
            record.epochs[epoch] = _only(again, _EPOCH_NUMBERS) | {"epoch_s": 0.0, "validation_s": 0.0}
            objective = record.epochs[epoch]["objective"]
            if again.get("sick") or objective is None:
                continue
            is_best = better * objective > best
            if is_best:
                best, record.best_epoch = better * objective, epoch
            if is_best or self._settings.rank_by == "last":
                record.ranked_epoch = epoch
                record.arrays = {"scores": scores, "correct": again["correct"]}
        self.end(record, source.state)

    def _all_epochs(self, record: TrialRecord) -> dict[int, dict[str, Any]]:
        if record.kept is None:
            return record.epochs
        return {numbers["epoch"]: numbers for numbers in self._tables.epoch_rows(record.number)}

    def favoured_threshold(self, record: TrialRecord) -> float:
        """The threshold that tells most validation pairs right, at the epoch that the trial is ranked by."""
        return thresholds.best_threshold(record.epoch_scores[record.ranked_epoch], self._labels).value

    def end(self, record: TrialRecord, state: str) -> None:
        """The trial ended in this state: to be written down, at once by `flush`, else as soon as its worker is busy again."""
        record.state, record.ended = state, time.time()
        if state == SICK:
            record.error = record.last.get("sick")
        epochs = [
            {"trial": record.number} | _only(numbers, SCHEMAS["epochs"].names)
            for _, numbers in sorted(record.epochs.items())
        ]
        scores = None if record.best_arrays is None else self._score_columns(record, record.best_arrays)
        if self._objectives.limits and record.replay_of is None:
            beyond = self._objectives.exceeded(record.cells())
            record.over_limits = [words for words, excess in beyond.items() if excess > 0]
        self._unwritten.append((record, epochs, scores, self._row(record)))
        self._write_at = time.monotonic() + _WAIT_S
        self._changed(record)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() >= self._write_at:
            self.flush()

    def flush(self) -> None:
        """Write down every trial that has ended. Raises ResultsUnwritableError where there is no room for a minute."""
        while self._unwritten:
            patiently(self._write_next, self._say)
            self._unwritten.popleft()

    def _write_next(self) -> None:
        record, epochs, scores, row = self._unwritten[0]
        self._tables.append_epochs(epochs)
        if scores is not None:
            self._tables.write_scores(row["trial"], scores)
        self._tables.append_trial(row)
        record.let_go(partial(self._read_arrays, record.number))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for Tuner.restore, which is not how a run is resumed here."""
        return {}

    def _record(self, trial: Any) -> TrialRecord:
        return self.records[trial.config["number"]]

    def _score_columns(self, record: TrialRecord, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            "pair": self._val_rows,
            "epoch": record.ranked_epoch,
            "score": arrays["scores"],
            "pair_label": self._labels,
            "correct": arrays["correct"],
        }

    def _row(self, record: TrialRecord) -> dict[str, Any]:
        if (arrays := record.best_arrays) is not None:
            solved = record.threshold_source in ("solved", FAVOURED)
            interval_of = intervals.cross_fitted_interval if solved else intervals.interval
            record.val_accuracy_low, record.val_accuracy_high = interval_of(arrays["correct"], self._linked)
            record.val_auc_low, record.val_auc_high = intervals.auc_interval(arrays["scores"], self._labels, self._linked)
        record.completion_order, self._ended = self._ended, self._ended + 1
        row = configuration.to_row(record.config, self._blocks(record.config))
        measured = _only(record.best, MEASURED)
        if measured.get("threshold", 0) is None:  # no epoch used any: the cell is the configuration's own
            del measured["threshold"]
        return row | measured | record.cells()


def ending_state(result: dict[str, Any] | None) -> str:
    """completed, sick, or pruned (stopped before its last epoch), read off a trial's last report."""
    if result and result.get("sick"):
        return SICK
    return COMPLETED if result and result.get("finished") else PRUNED


def _only(numbers: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """These of the numbers; NaN, which a sick epoch reports, becomes a missing value."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in numbers.items() if k in names}


def error_of(trial: Any) -> str:
    """The innermost line of what the worker raised, or that it died; read where the driver has just put it.

    Tune's own get_pickled_error looks in the storage, where the file is not yet when a trial's end is told.
    """
    file = trial.pickled_error_file
    if file is None or not Path(file).is_file():
        return "unknown"
    error = pickle.loads(Path(file).read_bytes())
    if isinstance(error, RayActorError):
        return f"the worker died: {str(error).strip().splitlines()[0]}"
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".strip().splitlines()[-1]
