"""What the result tables hold: every column's type, unit, meaning and whether it can be missing."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from trainable import columns
from trainable.columns import Column
from trainable.config import MEASURED, TrialConfig
from trainable.measures import Progress, Retrieved, Spread, Step
from tuner.results.rows import EpochPlace, RunRow, ScoreRow
from tuner.results.trial_record import TrialRecord

SCHEMA_VERSION = 2
"""Written into every file. It rises when a column changes its name, type or meaning; an entry in the UPGRADES of
`tuner.results.reading` then makes an older file one of today. A new column needs neither: in older rows it is null."""

PARTITIONS = pa.schema([("space", pa.string()), ("run", pa.string())])
"""Directories, `space=…/run=…`: never columns in a file, they come back on reading."""

PART_FILE, SCORES_FILE = "part-0.parquet", "trial-{:05d}.parquet"
"""Names of a run's files: of `scores` one a trial, of `runs` one, and the first of `trials` and `epochs`, which grow."""
GROWING_FILE = r"part-(\d+)\.parquet"
OWN_FILE = re.compile(rf"({GROWING_FILE}|trial-\d+\.parquet)")
"""What such a name looks like; a file of another name is none of a run's."""


def part_file(number: int) -> str:
    """The name of the file of this number of a table that grows; sorted by name they are in the order of their numbers."""
    return f"part-{number:05d}.parquet" if number else PART_FILE


_TRIAL, _CONFIGURATION = columns.of(TrialRecord), columns.of(TrialConfig)
_EPOCH = columns.of(EpochPlace) | MEASURED
for _part in (Retrieved, Spread, Step, Progress):
    _EPOCH |= columns.of(_part)
_LEADING = ("trial", "state", "is_default", "objective")
"""What a reader of `trials` looks for first."""

_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    np.float32: pa.float32(),
    np.int8: pa.int8(),
}


def _type(kind: Any) -> pa.DataType:
    """The Arrow type of a Python type, as `list[str]`."""
    parts = [_type(part) for part in typing.get_args(kind)]
    container = {list: pa.list_, dict: pa.map_}.get(typing.get_origin(kind))
    return container(*parts) if container else _TYPES[kind]


def _schema(table: str, declared: Iterable[Column]) -> pa.Schema:
    fields = [
        pa.field(said.stored, _type(said.kind), not said.key, {"description": said.meaning, "unit": said.unit})
        for said in declared
    ]
    return pa.schema(fields, {"table": table, "schema_version": str(SCHEMA_VERSION)})


def _trials() -> list[Column]:
    """Of a trial: its configuration, the measures of its best epoch, and how it went. The threshold is the one used."""
    by_name = {said.stored: said for said in (*_CONFIGURATION.values(), *MEASURED.values(), *_TRIAL.values())}
    return [by_name[name] for name in (*_LEADING, *(name for name in by_name if name not in _LEADING))]


SCHEMAS: dict[str, pa.Schema] = {
    "runs": _schema("runs", columns.of(RunRow).values()),
    "trials": _schema("trials", _trials()),
    "epochs": _schema("epochs", _EPOCH.values()),
    "scores": _schema("scores", columns.of(ScoreRow).values()),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "trials": {said.stored: said.default for said in _CONFIGURATION.values() if said.default is not None}
}
"""By table: what a null stands for. A row from before a parameter was there was made with what is its default now."""


def dictionary(table: str) -> str:
    """The table's columns as Markdown, exactly as results/README.md shows them."""
    lines = ["| column | type | unit | null | meaning |", "|---|---|---|---|---|"]
    for field in SCHEMAS[table]:
        unit, meaning = (field.metadata[key].decode() for key in (b"unit", b"description"))
        null = "can be" if field.nullable else "never"
        lines.append(f"| `{field.name}` | {_type_name(field.type)} | {unit} | {null} | {meaning} |")
    return "\n".join(lines)


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type_name(kind.value_type)}"
    if pa.types.is_map(kind):
        return f"map of {_type_name(kind.key_type)} to {_type_name(kind.item_type)}"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
