"""A pair table on disk, CSV, Parquet or JSON lines, read into one frame of rows whose values are still unchecked."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainable.errors import InputError, nearest

SIDES = ("front", "angle")
NEEDED = (*SIDES, "pair_label")
OPTIONAL = ("front_identity", "angle_identity", "identity", "split")
_ALIASES = {"front_file_name": "front", "angle_file_name": "angle"}  # the spelling of Hugging Face's metadata files
_COLUMNS = (
    "Needed are front and angle (or front_file_name and angle_file_name) and pair_label; "
    "optional are front_identity with angle_identity, or identity, and split"
)
_NONE_GIVEN: Mapping[str, str] = {}

# Each reader returns the rows of one file as they stand in it. Columns: `front`, `angle` (object: a path as text, or encoded
# image bytes), `front_name`, `angle_name` (what messages call the image), `pair_label`, and those of OPTIONAL that there
# are. The index is what messages call a row. `given`: values that hold for every row, from the names of folders.


def read_csv(path: Path, given: Mapping[str, str] = _NONE_GIVEN) -> pd.DataFrame:
    """The rows of a CSV; the index is the line, the header's being 1. Raises InputError."""
    try:
        # Blank lines are kept until the index counts them: it numbers the lines as an editor does.
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, na_values=[""], skip_blank_lines=False, skipinitialspace=True,
            encoding="utf-8-sig",
        )  # fmt: skip
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file, skipinitialspace=True), [])  # pandas renames a column that comes twice
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; valid is a CSV with a header. {_COLUMNS}.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, csv.Error) as error:
        raise InputError(
            f"{path} is not a well-formed CSV: {str(error).strip()}. Valid is UTF-8 text, commas between the cells and "
            "as many cells in every line as in the header. Mend that line, or save the table again."
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"{path} is not a well-formed CSV: its lines have more cells than its header, which has {frame.shape[1]}: "
            f"{', '.join(map(str, frame.columns))}. Valid is a name for every column. Complete the header."
        )
    _check_once(path, header)
    frame.index = pd.RangeIndex(2, 2 + len(frame), name="line")
    return _with_names(_named(path, frame, given)).dropna(how="all")


def read_json_lines(path: Path, given: Mapping[str, str] = _NONE_GIVEN) -> pd.DataFrame:
    """The rows of a file with a JSON object a line, as Hugging Face's metadata.jsonl; the index is the line. Raises
    InputError."""
    rows: dict[int, dict[str, Any]] = {}
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                rows[number] = dict(json.loads(line))
    except (ValueError, TypeError, OSError) as error:
        raise InputError(
            f"{path}, line {number}, is not JSON lines: {error}. Valid is UTF-8 text with one JSON object in every line, "
            'such as {"front": "a.jpg", "angle": "b.jpg", "pair_label": 1}. Mend that line, or save the table again.'
        ) from error
    index = pd.Index(list(rows), name="line", dtype=int)
    frame = pd.DataFrame(list(rows.values()), index=index, dtype=object)
    return _with_names(_named(path, frame, given))


def _with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Images are called by their paths."""
    for side in SIDES:
        frame[side] = frame[f"{side}_name"] = frame[side].astype(object)
    return frame


def _check_once(path: Path, found: list[str]) -> None:
    """InputError for a column of a pair table that a file has more than once: which one is meant cannot be told."""
    times = Counter(name.strip() for name in found)
    twice = [name for name in (*NEEDED, *OPTIONAL, *_ALIASES) if times[name] > 1]
    if twice:
        listed = ", ".join(f"{name!r} {times[name]} times" for name in twice)
        raise InputError(
            f"{path} has the column {listed}; valid is once. Its columns are: {', '.join(found)}. Remove or rename the others."
        )


def _named(path: Path, frame: pd.DataFrame, given: Mapping[str, str]) -> pd.DataFrame:
    names = _known_columns(path, list(map(str, frame.columns)), given)
    columns: dict[str, Any] = {name: frame.iloc[:, position] for name, position in names.items()}
    return pd.DataFrame(_missing(given, columns) | columns, index=frame.index)


def _missing(given: Mapping[str, str], columns: Mapping[str, Any]) -> dict[str, str]:
    """What is given for every row and that the file does not say itself."""
    return {name: value for name, value in given.items() if name in (*NEEDED, *OPTIONAL) and name not in columns}


def _known_columns(path: Path, found: list[str], given: Mapping[str, str]) -> dict[str, int]:
    """The position in the file of each column that a pair table can have; InputError when a needed one is missing, or one
    comes twice."""
    _check_once(path, found)
    stripped = [name.strip() for name in found]
    position = {_ALIASES[name]: at for at, name in enumerate(stripped) if name in _ALIASES}
    position |= {name: at for at, name in enumerate(stripped) if name in (*NEEDED, *OPTIONAL)}
    missing = [name for name in NEEDED if name not in position and name not in given]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has: {', '.join(stripped)}. {_COLUMNS}. "
            + _column_advice(missing, stripped)
        )
    one_sided = {"front_identity", "angle_identity"} & {*position, *given}
    if len(one_sided) == 1:
        raise InputError(
            f"{path} has the column {one_sided.pop()!r} without its counterpart; it has: {', '.join(stripped)}. "
            f"{_COLUMNS}. Add the other one, or name the column `identity`."
        )
    return position


def _column_advice(missing: list[str], found: list[str]) -> str:
    if len(found) == 1 and any(mark in found[0] for mark in ";\t|"):
        return "The cells seem to be separated by something else than a comma: save the table with commas."
    near = [f"{names} to {want}" for want in missing if (names := nearest(want, found, count=1))]
    return f"Perhaps rename {'; '.join(near)}." if near else "Add what is missing, or rename a column."


def read_parquet(path: Path, given: Mapping[str, str] = _NONE_GIVEN) -> pd.DataFrame:
    """The rows of a Parquet file; the index is the row, the first being 0. Raises InputError."""
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            names = _known_columns(path, found, given)
            table = file.read(columns=[found[at] for at in names.values()])
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is not a Parquet file that can be read: {str(error).strip()}. Valid is a complete Parquet file, "
            "or a CSV that ends in .csv. Write the table again."
        ) from error
    columns: dict[str, Any] = {}
    for name, at in names.items():
        column = table.column(found[at])
        if name in SIDES:
            columns[name], columns[f"{name}_name"] = _images(path, found[at], name, column)
        else:
            columns[name] = column.to_pandas().astype(object).to_numpy()
    return pd.DataFrame(_missing(given, columns) | columns, index=pd.RangeIndex(len(table), name="row"))


def _images(path: Path, column_name: str, side: str, column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) objects, each a path, image bytes or None, and (n,) names for them."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:  # Hugging Face's Image feature
        column = column.combine_chunks()
        content, paths = (_objects(pc.struct_field(column, field)) for field in ("bytes", "path"))
        values = np.where(pd.isna(content), paths, content)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        values = paths = _objects(column)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        values, paths = _objects(column), np.full(len(column), None, dtype=object)
    else:
        raise InputError(
            f"{path}: the column {column_name!r} holds {kind}; valid are text (paths), binary (encoded images) or a "
            "struct of bytes and path. Store the image files themselves, or their paths."
        )
    unnamed = pd.isna(paths)
    rows = np.array([f"{side} of row {row}" for row in np.flatnonzero(unnamed)], dtype=object)
    names = paths.copy()
    names[unnamed] = rows
    return values, names


def _objects(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    whole = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return np.asarray(whole, dtype=object)
