"""The result tables of one run, written: whole at every moment, from its first trial to its last."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from trainable.errors import InputError
from tuner.results.parts import Parts, encoded
from tuner.results.reading import UnusableFileError, read_file
from tuner.results.schema import PART_FILE, SCHEMAS, SCORES_FILE
from tuner.results.store import Store
from tuner.results.tables import Row, check_names

RUN_PATIENCE_S = 30
"""How long a run, which has much to lose, asks an object store again that it cannot reach."""


class RunTables:
    """The four tables of one run, opened for writing; the rows of a run that is resumed are read back.

    Only one RunTables may write a run at a time. Raises ValueError for a column that the schema does not have.
    """

    def __init__(self, root: str | Path | Store, space: str, run: str) -> None:
        for word, name in (("space", space), ("run", run)):
            if not re.search(r"[^\d.]", name):  # readers would take the partition for a number, or for a folder
                raise InputError(f"the {word}'s name is {name!r}; valid is one with a letter in it. Rename the {word}.")
        self.space, self.run = space, run
        self._store = Store.at(root, RUN_PATIENCE_S)
        self._partition = f"space={quote(space, safe='')}/run={quote(run, safe='')}"
        self._run: dict[str, Any] = next(iter(self._read_run().to_pylist()), {})
        self._trials, self._epochs = (
            Parts(self._store, table, self._partition, self._usable) for table in ("trials", "epochs")
        )

    def write_run(self, row: Row) -> None:
        """Write the run's row; fields that are not given keep what was written before."""
        merged = {**self._run, **row}
        self._put("runs", PART_FILE, _table("runs", [merged]))
        self._run = merged

    def append_trial(self, row: Row) -> None:
        """Write a trial that has ended. A row of the same trial is replaced."""
        self._trials.put({int(row["trial"]): _table("trials", [row])})

    def update_trials(self, cells: Mapping[int, Row]) -> None:
        """Write cells of trials that have a row; the other cells keep what they hold."""
        changed = {n: _table("trials", [self._trials.of(n).to_pylist()[0] | more]) for n, more in cells.items()}
        self._trials.put(changed)

    def append_epochs(self, rows: Sequence[Row]) -> None:
        """Write epochs of any trials. A trial's former rows from its first new epoch on are replaced.

        A trial that went back to its checkpoint trains those epochs again: what they were before no longer counts.
        """
        changed = {}
        for trial in {int(row["trial"]): None for row in rows}:
            new = _table("epochs", [row for row in rows if int(row["trial"]) == trial]).sort_by("epoch")
            if trial in self._epochs:
                kept = self._epochs.of(trial).filter(ds.field("epoch") < new["epoch"][0].as_py())
                new = pa.concat_tables([kept, new])
            changed[trial] = new
        self._epochs.put(changed)

    def write_scores(self, trial: int, columns: Mapping[str, Any]) -> None:
        """Write a trial's validation scores; a former file of the trial is replaced.

        columns: `pair`, `score`, `pair_label`, `correct`, each (n,); `epoch`, one number.
        """
        size = len(columns["pair"])
        filled = {**columns, "trial": np.full(size, trial), "epoch": np.full(size, columns["epoch"])}
        check_names("scores", filled)
        schema = SCHEMAS["scores"]
        arrays = [pa.array(filled[f.name], f.type) if f.name in filled else pa.nulls(size, f.type) for f in schema]
        self._put("scores", SCORES_FILE.format(trial), pa.table(arrays, schema=schema))

    def read_scores(self, trial: int) -> dict[str, np.ndarray] | None:
        """The columns written by `write_scores`, or None if there are none; without one that came later than the file."""
        path = self._store.path("scores", self._partition, SCORES_FILE.format(trial))
        if not self._store.exists(path):
            return None
        table = self._usable(path, "scores")
        known = [name for name in table.column_names if not table[name].null_count]
        return {name: table[name].to_numpy() for name in known}

    def trial_rows(self) -> list[dict[str, Any]]:
        """The trials written so far, in the order of their numbers."""
        rows: list[dict[str, Any]] = self._trials.all().to_pylist()
        return rows

    def trials_written(self) -> set[int]:
        """The numbers of the trials that have a row."""
        return self._trials.trials

    def trial_row(self, trial: int) -> dict[str, Any]:
        """The row of a trial that has one."""
        row: dict[str, Any] = self._trials.of(trial).to_pylist()[0]
        return row

    def epoch_rows(self, trial: int) -> list[dict[str, Any]]:
        """The trial's epochs written so far, in order."""
        rows: list[dict[str, Any]] = self._epochs.of(trial).to_pylist()
        return rows

    def epochs_told(self) -> list[dict[str, Any]]:
        """Of each trial the epoch that it is ranked by and the last one, by trial and epoch."""
        trials = self._trials.all().select(["trial", "ranked_epoch", "epochs"])
        epochs = self._epochs.all()
        ends = trials.to_pydict()
        kept = {(n, e) for n, *es in zip(ends["trial"], ends["ranked_epoch"], ends["epochs"], strict=True) for e in es}
        places = zip(epochs["trial"].to_pylist(), epochs["epoch"].to_pylist(), strict=True)
        rows: list[dict[str, Any]] = epochs.filter(
            pa.array([place in kept for place in places], pa.bool_())
        ).to_pylist()
        return rows

    def run_row(self) -> dict[str, Any]:
        """The run's row as written so far; empty before the first."""
        versions = self._run.get("versions")  # a map comes back from a file as a list of pairs
        return {**self._run, "versions": None if versions is None else dict(versions)} if self._run else {}

    def _put(self, table: str, name: str, rows: pa.Table) -> None:
        self._store.write(self._store.path(table, self._partition), name, encoded(rows))

    def _read_run(self) -> pa.Table:
        path = self._store.path("runs", self._partition, PART_FILE)
        return self._usable(path, "runs") if self._store.exists(path) else SCHEMAS["runs"].empty_table()

    def _usable(self, path: str, table: str) -> pa.Table:
        try:
            return read_file(self._store, path, table)
        except UnusableFileError as error:  # to skip it would be to write over what is in it
            raise InputError(f"the run {self.run} cannot go on: {self._store.uri_of(path)} {error}.") from error


def writable(root: str | Path | Store) -> str:
    """The root as an absolute path or URI, after a test file was written and removed again; makes no folder.

    Raises InputError if the root cannot be opened or written.
    """
    store = Store.at(root)
    store.check_writable()
    return store.uri


def _table(table: str, rows: Sequence[Row]) -> pa.Table:
    for row in rows:
        check_names(table, row)
    schema = SCHEMAS[table]
    return pa.Table.from_pylist([{f.name: _cell(f, row.get(f.name)) for f in schema} for row in rows], schema)


def _cell(field: pa.Field, value: Any) -> Any:
    """The value as it is stored: NaN is missing, and a missing key or a fraction in a whole number is refused."""
    real = isinstance(value, float | np.floating)
    if real and math.isnan(value):
        value = None
    if value is None and not field.nullable:
        raise ValueError(f"a row has no {field.name}, which every row must have")
    if value is not None and real and pa.types.is_integer(field.type) and value != int(value):
        raise ValueError(f"{field.name} is {value!r}; valid is a whole number")
    return value
