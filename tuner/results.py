"""The result tables: Parquet files that are whole at every moment, from a run's first trial to its last.

    results/trials/space=temperature/run=RUN/part-0.parquet     the same for runs and epochs: one file a run
    results/scores/space=temperature/run=RUN/trial-00007.parquet

A file is replaced as soon as a trial ends, by renaming a finished one over it (on an object store closing the upload is
the commit), so a reader finds the old rows or the new ones, and a killed driver loses no finished trial.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from trainable.config import InputError, nearest
from tuner import reading
from tuner.schema import PART_FILE, PARTITIONS, SCHEMAS, SCORES_FILE
from tuner.store import Store

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


class RunTables:
    """The four tables of one run, opened for writing; the rows of a run that is resumed are read back.

    Only one RunTables may write a run at a time. Raises ValueError for a column that the schema does not have.
    """

    def __init__(self, root: str | Path | Store, space: str, run: str) -> None:
        for word, name in (("space", space), ("run", run)):
            if not re.search(r"[^\d.]", name):  # readers would take the partition for a number, or for a folder
                raise InputError(f"the {word}'s name is {name!r}; valid is one with a letter in it. Rename the {word}.")
        self.space, self.run = space, run
        self._store = Store.at(root)
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
        _check_names("scores", filled)
        schema = SCHEMAS["scores"]
        arrays = [pa.array(filled[f.name], f.type) if f.name in filled else pa.nulls(size, f.type) for f in schema]
        self._put("scores", SCORES_FILE.format(trial), pa.table(arrays, schema=schema))

    def read_scores(self, trial: int) -> dict[str, np.ndarray] | None:
        """The columns written by `write_scores`, or None if there are none."""
        path = self._store.path("scores", self._partition, SCORES_FILE.format(trial))
        if not self._store.exists(path):
            return None
        with self._store.fs.open_input_file(path) as file:
            table = pq.read_table(file)
        return {name: table[name].to_numpy() for name in table.column_names}

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
        try:
            return reading.read_file(self._store, path, table)
        except reading.UnusableFileError as error:  # to skip it would be to write over what is in it
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


def known_runs(root: str | Path | Store) -> list[str]:
    """The names of all runs under the root, sorted; empty if there is none."""
    store = Store.at(root)
    found = store.fs.get_file_info(pafs.FileSelector(store.path("runs"), allow_not_found=True, recursive=True))
    matches = (re.search(r"/run=([^/]+)/" + re.escape(PART_FILE) + "$", info.path) for info in found)
    return sorted({unquote(match[1]) for match in matches if match})


def state_dir(root: str | Path | Store, run: str) -> str:
    """Where a run keeps what it needs to go on: path or URI of a folder beside the tables, which is not made here."""
    store = Store.at(root)
    return store.uri_of(store.path("state", quote(run, safe="")))


def runs(
    root: str | Path | Store = "results", runs: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a run; `runs` and `columns` limit it to those named. What the columns hold: results/README.md."""
    return _read("runs", root, runs, columns)


def trials(
    root: str | Path | Store = "results", runs: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a trial; `runs` and `columns` limit it to those named. What the columns hold: results/README.md."""
    return _read("trials", root, runs, columns)


def epochs(
    root: str | Path | Store = "results", runs: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a trial and epoch; `runs` and `columns` limit it to those named: results/README.md."""
    return _read("epochs", root, runs, columns)


def scores(
    root: str | Path | Store = "results",
    runs: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    trials: Sequence[int] | None = None,
) -> pd.DataFrame:
    """One row a trial and validation pair; `runs`, `columns` and `trials` limit it to those given: results/README.md."""
    return _read("scores", root, runs, columns, trials)


def _read(
    table: str,
    root: str | Path | Store,
    wanted: Sequence[str] | None,
    columns: Sequence[str] | None,
    trials: Sequence[int] | None = None,
) -> pd.DataFrame:
    store = Store.at(root)
    if store.fs.get_file_info(store.root).type == pafs.FileType.NotFound:
        raise InputError(
            f"there is no {store.uri!r}; valid is a folder that python -m tuner.run has written results to."
        )
    if wanted is not None:
        wanted = [wanted] if isinstance(wanted, str) else wanted
        _check_runs(store, wanted)
    if columns is not None:
        columns = [name for name in columns if name not in PARTITIONS.names]
        _check_names(table, columns)
    files = None if trials is None else [SCORES_FILE.format(trial) for trial in trials]
    rows = reading.read_table(store, table, wanted, files, columns)
    frame = rows.to_pandas(maps_as_pydicts="strict")
    # Without this a missing number would turn a column of integers into floats, and of truth values into objects.
    whole = {field.name: "Int64" for field in rows.schema if field.nullable and pa.types.is_integer(field.type)}
    truth = {field.name: "boolean" for field in rows.schema if pa.types.is_boolean(field.type)}
    return frame.astype(whole | truth)


def _check_runs(store: Store, wanted: Sequence[str]) -> None:
    known = known_runs(store)
    for run in wanted:
        if run not in known:
            raise InputError(
                f"there is no run {run!r} in {store.uri!r}; runs are: {', '.join(known) or 'none yet'}. "
                "Name one of them, or change --results."
            )


def _table(table: str, rows: Sequence[Row]) -> pa.Table:
    for row in rows:
        _check_names(table, row)
    schema = SCHEMAS[table]
    return pa.Table.from_pylist([{f.name: _cell(f, row.get(f.name)) for f in schema} for row in rows], schema)


def _check_names(table: str, given: Iterable[str]) -> None:
    names = SCHEMAS[table].names
    for name in given:
        if name not in names:
            raise ValueError(f"the table {table} has no column {name!r}; near are: {nearest(name, names) or 'none'}")


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


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries of Python's own values, None where one is missing."""
    from pandas import isna  # here, as `to_pandas` loads pandas only where a table is asked for

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, dict):
            return value
        if isinstance(value, list | np.ndarray):
            return list(value)
        if isna(value):
            return None
        return value.item() if isinstance(value, np.generic) else value

    return [{name: plain(value) for name, value in row.items()} for row in table.to_dict("records")]
