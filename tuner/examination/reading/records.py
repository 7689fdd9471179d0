"""Logs in JSON: records, columns, and the ways in which Hugging Face, Keras, MLflow, pandas and TensorBoard nest them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trainable.errors import InputError
from tuner.examination.reading.rows import PHASES, prefixed
from tuner.examination.reading.runs import is_key
from tuner.examination.reading.text import Cells

_WRAPPERS = (
    "log_history",
    "history",
    "metrics",
    "logs",
    "log",
    "data",
    "records",
    "rows",
    "results",
    "scalars",
    "epochs",
)
_VALID = "valid is a list of records, one for each step or epoch, or a list of values for each name"


def record_cells(path: Path, content: Any) -> Cells:
    """The table in a JSON document. Raises InputError where there is none."""
    kind = "JSON"
    if isinstance(content, Mapping) and isinstance(content.get("log_history"), list):
        kind, content = "Hugging Face's trainer state", content["log_history"]
    records = _records(content, path.name.split("-tag-")[-1].split(".")[0])
    if not records:
        keys = f", with the keys {', '.join(map(str, content))[:200]}" if isinstance(content, Mapping) else ""
        raise InputError(
            f"{path} is JSON without a table{keys}; {_VALID}. Save it so, as pandas.DataFrame(history).to_csv() does."
        )
    frame = pd.DataFrame(
        {name: pd.Series([record.get(name) for record in records], dtype=object) for name in _names(records)}
    )
    return Cells(frame, kind)


def _names(records: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _records(content: Any, name: str) -> list[dict[str, Any]]:
    """Rows, as far as the document has any; empty otherwise. name: of values that stand without one."""
    if isinstance(content, list):
        return _of_list(content, name)
    if not isinstance(content, Mapping):
        return []
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        return [dict(zip(map(str, content["columns"]), row, strict=False)) for row in content["data"]]
    phases = [str(key) for key, value in content.items() if str(key).lower() in PHASES and isinstance(value, list | dict)]
    if len(phases) > 1 and (found := [row for phase in phases for row in _of_phase(content[phase], phase)]):
        return found
    if content and all(isinstance(value, Mapping) for value in content.values()):
        return _of_mappings(content)
    lists = {str(key): value for key, value in content.items() if isinstance(value, list) and _is_series(value)}
    wrapped = [content[key] for key in _WRAPPERS if isinstance(content.get(key), list | dict)]
    if lists and not any(_records(inner, name) for inner in wrapped):
        return _of_columns(lists)
    return next((found for inner in wrapped if (found := _records(inner, name))), _of_columns(lists))


def _of_phase(content: Any, phase: str) -> Iterator[dict[str, Any]]:
    """The rows of one phase, whose name stands before those of its numbers."""
    for row in _records(content, "value"):
        yield {column if is_key(column) else prefixed(column, phase): value for column, value in row.items()}


def _of_list(content: list[Any], name: str) -> list[dict[str, Any]]:
    if content and all(isinstance(row, list) and len(row) == 3 for row in content):  # as TensorBoard's page saves it
        return [dict(zip(("wall_time", "step", name), row, strict=True)) for row in content]
    inner = [row for row in content if isinstance(row, Mapping)]
    if inner and all("name" in row and isinstance(row.get("x"), list) and isinstance(row.get("y"), list) for row in inner):
        return [{"step": x, str(row["name"]): y} for row in inner for x, y in zip(row["x"], row["y"], strict=False)]
    if len(inner) == 1 and len(content) == 1 and (nested := _records(inner[0], name)):
        return nested
    return [dict(_flat(row)) for row in inner if row]


def _is_series(values: list[Any]) -> bool:
    return bool(values) and all(
        value is None or isinstance(value, str | int | float | Mapping | list) for value in values
    )


def _of_mappings(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A mapping of mappings: rows by their number, or columns with a value by the row's number."""
    if all(str(key).isdigit() for key in content):
        return [{"epoch": int(key), **dict(_flat(row))} for key, row in content.items()]
    if all(row and all(str(key).isdigit() for key in row) for row in content.values()):
        places = sorted({int(key) for row in content.values() for key in row})
        return [{str(name): row.get(str(place)) for name, row in content.items()} for place in places]
    inner = next((content[key] for key in _WRAPPERS if key in content), None)
    return _records(inner, "value") if inner is not None else []


def _of_columns(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """A list of values for each name, or of pairs of step and value, which are then rows of their own."""
    records: list[dict[str, Any]] = []
    plain: dict[str, list[Any]] = {}
    for name, values in lists.items():
        if all(isinstance(value, Mapping) and "value" in value for value in values):
            when = [{k: v for k, v in value.items() if k in ("step", "epoch")} for value in values]
            records += [{**row, name: value["value"]} for row, value in zip(when, values, strict=True)]
        elif all(isinstance(value, list) and len(value) == 2 for value in values):
            records += [{"step": step, name: value} for step, value in values]
        else:
            plain[name] = values
    longest = max(map(len, plain.values()), default=0)
    rows = [{name: values[place] for name, values in plain.items() if place < len(values)} for place in range(longest)]
    return records + rows


def _flat(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values, those within another by both names."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}/")
        else:
            yield f"{before}{key}", value
