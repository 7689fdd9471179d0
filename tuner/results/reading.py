"""Files of the result tables read back: each is checked; an older one is upgraded, an unusable one named and skipped."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from tuner.results.schema import DEFAULTS, OWN_FILE, PARTITIONS, SCHEMA_VERSION, SCHEMAS
from tuner.results.store import Store

_PARTITION = re.compile(r"space=([^/]+)/run=([^/]+)/[^/]+\.parquet")
_ADVICE = {"runs": "put back a copy of it; it is the run's only row, without which nobody knows what its trials are of"}
_FILES_AT_ONCE = 8
"""On an object store, where what takes time is to wait for each file; local files are read faster one by one."""


class SkippedFileWarning(UserWarning):
    """A file below the results root was left out; the message names it, says why, and what to do."""


class ForeignFileWarning(SkippedFileWarning):
    """One whose name no table's file has: nothing of a run is missing without it."""


class UnusableFileError(Exception):
    """A file that cannot be read as a part of its table; the message says why."""


def read_table(
    store: Store,
    table: str,
    runs: Collection[str] | None = None,
    files: Collection[str] | None = None,
    columns: Collection[str] | None = None,
) -> pa.Table:
    """All files of a table, or those of the runs and of the names given, with the partitions as first columns, by space and
    run.

    columns: of the table, None: all; reading few is faster.

    A foreign, damaged or newer file is left out with a SkippedFileWarning.
    """
    found = sorted(_files(store, table))
    parts = [(path, match and (unquote(match[1]), unquote(match[2]))) for path, match in found]
    if runs is not None:
        parts = [(path, names) for path, names in parts if names and names[1] in runs]
    if files is not None:
        parts = [(path, names) for path, names in parts if path.rpartition("/")[2] in files]

    def read(part: tuple[str, tuple[str, str] | None]) -> pa.Table | SkippedFileWarning:
        path, names = part
        try:
            if names is None:
                raise UnusableFileError(f"is not where the table {table} has files, space=…/run=…/….parquet: remove it")
            return _with_partitions(read_file(store, path, table, columns), *names)
        except UnusableFileError as error:
            kind = SkippedFileWarning if OWN_FILE.fullmatch(path.rpartition("/")[2]) else ForeignFileWarning
            return kind(f"{store.uri_of(path)} {error}. It is skipped.")

    if store.fs.type_name == "local":
        answers = [read(part) for part in parts]
    else:
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            answers = list(pool.map(read, parts))
    for complaint in (answer for answer in answers if isinstance(answer, SkippedFileWarning)):
        warnings.warn(complaint, stacklevel=4)  # 4: who called results.trials()
    empty = pa.schema([*PARTITIONS, *_schema(table, columns)]).empty_table()
    return pa.concat_tables([empty, *(answer for answer in answers if isinstance(answer, pa.Table))])


def read_file(store: Store, path: str, table: str, columns: Collection[str] | None = None) -> pa.Table:
    """One file of the table, or these columns of it, in the schema of today.

    Raises UnusableFileError if it is foreign, damaged or newer.
    """
    try:
        with store.fs.open_input_stream(path) as stream:
            content = stream.read()  # at once: the files are small, and have more columns than a network likes requests
        file = pq.ParquetFile(pa.BufferReader(content))
        version = _version(file.metadata.metadata or {}, table)
        wanted = columns if version == SCHEMA_VERSION else None  # an upgrade may need others
        rows = file.read(None if wanted is None else [*wanted], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise UnusableFileError(
            f"is damaged or no Parquet file ({str(error).strip().splitlines()[0]}): {_ADVICE.get(table, 'remove it')}"
        ) from error
    for older in range(version, SCHEMA_VERSION):
        rows = UPGRADES[older](table, rows)
    return _conformed(rows, table, _schema(table, columns))


def _schema(table: str, columns: Collection[str] | None) -> pa.Schema:
    schema = SCHEMAS[table]
    return schema if columns is None else pa.schema([f for f in schema if f.name in columns], schema.metadata)


def _version(metadata: dict[bytes, bytes], table: str) -> int:
    version = metadata.get(b"schema_version", b"")
    if metadata.get(b"table") != table.encode() or not version.isdigit() or int(version) < 1:
        raise UnusableFileError(f"was not written by this program as a part of the table {table}: remove it")
    if int(version) > SCHEMA_VERSION:
        raise UnusableFileError(
            f"follows version {int(version)} of the schema, of which this program knows those up to {SCHEMA_VERSION}: "
            "update the program"
        )
    return int(version)


def _conformed(rows: pa.Table, table: str, schema: pa.Schema) -> pa.Table:
    """Columns that were added later hold their default, or null; those that are not in the schema are dropped."""
    given = dict(zip(rows.column_names, rows.columns, strict=True))
    if table == "trials" and "ranked_epoch" not in given and "best_epoch" in given:
        given["ranked_epoch"] = given[
            "best_epoch"
        ]  # trials were ranked by their best epoch before this was written down
    missing = [f.name for f in schema if not f.nullable and (f.name not in given or given[f.name].null_count)]
    if missing:
        raise UnusableFileError(
            f"has rows without {', '.join(missing)}, which every row of the table {table} has: remove it"
        )
    try:
        columns = [given[f.name].cast(f.type) if f.name in given else pa.nulls(len(rows), f.type) for f in schema]
    except pa.ArrowException as error:
        raise UnusableFileError(f"has a column of another type ({str(error).splitlines()[0]}): remove it") from error
    defaults = DEFAULTS.get(table, {})
    filled = [
        pc.fill_null(cells, defaults[f.name]) if cells.null_count and f.name in defaults else cells
        for f, cells in zip(schema, columns, strict=True)
    ]
    return pa.table(filled, schema=schema)


def _from_1_to_2(table: str, rows: pa.Table) -> pa.Table:
    """Before there were augmented views a run had none but the plain one, and no column that says so."""
    if table != "runs":
        return rows
    known = rows["views"] if "views" in rows.column_names else pa.nulls(len(rows), pa.int64())
    others = rows.drop_columns(["views"]) if "views" in rows.column_names else rows
    return others.append_column("views", pc.fill_null(known, 1))


UPGRADES: dict[int, Callable[[str, pa.Table], pa.Table]] = {1: _from_1_to_2}
"""By version: makes of a table's file of that version one of the next."""


def _files(store: Store, table: str) -> list[tuple[str, re.Match[str] | None]]:
    """Every file of the table's folder with its partition; names that start with a dot or an underscore are not ours."""
    folder = store.path(table)
    infos = store.fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True, recursive=True))
    below = [(info.path, info.path.removeprefix(f"{folder}/")) for info in infos if info.type == pafs.FileType.File]
    seen = [(path, rest) for path, rest in below if not any(part[0] in "._" for part in rest.split("/"))]
    return [(path, _PARTITION.fullmatch(rest)) for path, rest in seen]


def _with_partitions(rows: pa.Table, space: str, run: str) -> pa.Table:
    constant = [pa.repeat(pa.scalar(text), len(rows)) for text in (space, run)]
    return pa.table([*constant, *rows.columns], schema=pa.schema([*PARTITIONS, *rows.schema]))
