"""The rows of one table of one run, in files of which only the newest grows: what a trial's end costs does not depend on
how many trials there were.

    part-0.parquet   part-00001.parquet   part-00002.parquet …

The newest file is written again with each trial that ends, by renaming a finished one over it, until it holds `FULL` trials
or `LONG` rows; then the next is begun. Rows never move from one file to another: whoever lists the folder beside a writer,
with whatever program, finds each row once, and no file ever vanishes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from tuner.results.schema import GROWING_FILE, SCHEMAS, part_file
from tuner.results.store import Store

FULL, LONG = 128, 1000
"""Trials and rows of a file that is not written again. Measured: a file of 128 trials takes 2 ms to make, as one of a single
trial does, for most of it is the 66 columns; 10,000 trials are 79 files."""


class Parts:
    """The files of one table of one run, for its only writer.

    usable: reads a file, or says that the run cannot go on with it.
    """

    def __init__(self, store: Store, table: str, partition: str, usable: Callable[[str, str], pa.Table]) -> None:
        self._store, self._table, self._partition, self._usable = store, table, partition, usable
        self._empty = SCHEMAS[table].empty_table()
        self._newest, self._growing = 0, self._empty
        self._part_of: dict[int, int] = {}
        """By trial: the file that has its rows. An older writer's may be longer than any of ours, and is not written to."""
        for number in self._numbers():
            rows = self._read(number)
            if not self._is_of_today(number):  # plain readers take the columns of the first file for those of all
                self._write(number, rows)
            self._newest, self._growing = number, rows
            self._part_of |= dict.fromkeys(rows["trial"].unique().to_pylist(), number)
        self._begin_next_if_full()
        if not self._part_of:
            self._write(0, self._empty)  # so that reading works before the first trial has ended

    def put(self, rows: Mapping[int, pa.Table]) -> None:
        """Write the rows of these trials, all of each, in place of what was written of them before."""
        by_part: dict[int, dict[int, pa.Table]] = {}
        for trial, of_trial in rows.items():
            by_part.setdefault(self._part_of.get(trial, self._newest), {})[trial] = of_trial
        for part, changed in by_part.items():
            kept = self._growing if part == self._newest else self._read(part)
            if any(trial in self._part_of for trial in changed):
                kept = kept.filter(pc.invert(pc.is_in(kept["trial"], pa.array(list(changed), pa.int64()))))
            whole = pa.concat_tables([kept, *(changed[trial] for trial in sorted(changed))]).combine_chunks()
            if (
                len(kept) and min(changed) < pc.max(kept["trial"]).as_py()
            ):  # most trials end in the order of their numbers
                by_epoch = [("epoch", "ascending")] if "epoch" in whole.column_names else []
                whole = whole.sort_by([("trial", "ascending"), *by_epoch])
            self._write(part, whole)
            if part == self._newest:
                self._growing = whole
            self._part_of |= dict.fromkeys(changed, part)
        self._begin_next_if_full()

    def of(self, trial: int) -> pa.Table:
        """The trial's rows; none if it has none."""
        if trial not in self._part_of:
            return self._empty
        part = self._part_of[trial]
        rows = self._growing if part == self._newest else self._read(part)
        return rows.filter(pc.equal(rows["trial"], trial))

    def all(self) -> pa.Table:
        """All rows, in the order of trials."""
        return pa.concat_tables([self._empty, *map(self._read, sorted(set(self._part_of.values())))]).sort_by("trial")

    @property
    def trials(self) -> set[int]:
        """Those that have rows."""
        return set(self._part_of)

    def __contains__(self, trial: int) -> bool:
        return trial in self._part_of

    def _begin_next_if_full(self) -> None:
        if len(self._growing) >= LONG or (
            len(self._growing) and pc.count_distinct(self._growing["trial"]).as_py() >= FULL
        ):
            self._newest, self._growing = self._newest + 1, self._empty

    def _numbers(self) -> list[int]:
        folder = pafs.FileSelector(self._store.path(self._table, self._partition), allow_not_found=True)
        names = [re.fullmatch(GROWING_FILE, info.base_name) for info in self._store.fs.get_file_info(folder)]
        return sorted(int(name[1]) for name in names if name)

    def _is_of_today(self, number: int) -> bool:
        with self._store.fs.open_input_file(self._path(number)) as file:
            return bool(pq.read_schema(file).equals(self._empty.schema))

    def _read(self, number: int) -> pa.Table:
        return self._usable(self._path(number), self._table)

    def _path(self, number: int) -> str:
        return self._store.path(self._table, self._partition, part_file(number))

    def _write(self, number: int, rows: pa.Table) -> None:
        folder = self._store.path(self._table, self._partition)
        self._store.write(folder, part_file(number), encoded(rows))


def encoded(rows: pa.Table) -> bytes:
    """A Parquet file of the rows. Files are small: what dictionaries and statistics would save is less than they take."""
    buffer = pa.BufferOutputStream()
    pq.write_table(rows.combine_chunks(), buffer, use_dictionary=False, write_statistics=False)
    content: bytes = buffer.getvalue().to_pybytes()
    return content
