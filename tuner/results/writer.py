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
import pyarrow.parquet as pq

from trainable.errors import InputError
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
        # One small table a trial: a trial that ends converts its own rows only, not those of all before it.
        self._trials = self._read_back("trials")
        self._epochs = self._read_back("epochs")
        self._run: dict[str, Any] = next(iter(self._read_part("runs").to_pylist()), {})
        for table, parts in (("trials", self._trials), ("epochs", self._epochs)):
            self._write(table, parts)  # so that reading works before the first trial has ended

    def write_run(self, row: Row) -> None:
        """Write the run's row; fields that are not given keep what was written before."""
        merged = {**self._run, **row}
        self._put("runs", PART_FILE, _table("runs", [merged]))
        self._run = merged

    def append_trial(self, row: Row) -> None:
        """Write a trial that has ended. A row of the same trial is replaced."""
        self._trials[int(row["trial"])] = _table("trials", [row])
        self._write("trials", self._trials)

    def update_trials(self, cells: Mapping[int, Row]) -> None:
        """Write cells of trials that have a row; the other cells keep what they hold."""
        for trial, changed in cells.items():
            self._trials[trial] = _table("trials", [self._trials[trial].to_pylist()[0] | changed])
        self._write("trials", self._trials)

    def append_epochs(self, rows: Sequence[Row]) -> None:
        """Write epochs of any trials. A trial's former rows from its first new epoch on are replaced.

        A trial that went back to its checkpoint trains those epochs again: what they were before no longer counts.
        """
        for trial in {int(row["trial"]): None for row in rows}:
            new = _table("epochs", [row for row in rows if int(row["trial"]) == trial]).sort_by("epoch")
            if trial in self._epochs:
                kept = self._epochs[trial].filter(ds.field("epoch") < new["epoch"][0].as_py())
                new = pa.concat_tables([kept, new])
            self._epochs[trial] = new
        if rows:
            self._write("epochs", self._epochs)

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
        return [self._trials[trial].to_pylist()[0] for trial in sorted(self._trials)]

    def epoch_rows(self, trial: int) -> list[dict[str, Any]]:
        """The trial's epochs written so far, in order."""
        return self._epochs[trial].to_pylist() if trial in self._epochs else []

    def run_row(self) -> dict[str, Any]:
        """The run's row as written so far; empty before the first."""
        versions = self._run.get("versions")  # a map comes back from a file as a list of pairs
        return {**self._run, "versions": None if versions is None else dict(versions)} if self._run else {}

    def _write(self, table: str, parts: dict[int, pa.Table]) -> None:
        empty = SCHEMAS[table].empty_table()
        self._put(table, PART_FILE, pa.concat_tables([empty, *(parts[trial] for trial in sorted(parts))]))

    def _put(self, table: str, name: str, rows: pa.Table) -> None:
        buffer = pa.BufferOutputStream()
        pq.write_table(rows.combine_chunks(), buffer)
        self._store.write(self._store.path(table, self._partition), name, buffer.getvalue())

    def _read_part(self, table: str) -> pa.Table:
        path = self._store.path(table, self._partition, PART_FILE)
        if not self._store.exists(path):
            return SCHEMAS[table].empty_table()
        return self._usable(path, table)

    def _usable(self, path: str, table: str) -> pa.Table:
        try:
            return read_file(self._store, path, table)
        except UnusableFileError as error:  # to skip it would be to write over what is in it
            raise InputError(f"the run {self.run} cannot go on: {self._store.uri_of(path)} {error}.") from error

    def _read_back(self, table: str) -> dict[int, pa.Table]:
        rows = self._read_part(table)
        return {trial: rows.filter(ds.field("trial") == trial) for trial in rows["trial"].unique().to_pylist()}


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
