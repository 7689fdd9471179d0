"""A pair table on disk, CSV or Parquet, read into one frame of rows whose values are still unchecked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainable.errors import InputError, nearest

SIDES = ("front", "angle")
NEEDED = (*SIDES, "pair_label")
OPTIONAL = ("front_identity", "angle_identity", "identity", "split")
SUFFIXES = (".csv", ".parquet")
_ALIASES = {"front_file_name": "front", "angle_file_name": "angle"}  # the spelling of Hugging Face's metadata files
_COLUMNS = (
    "Needed are front and angle (or front_file_name and angle_file_name) and pair_label; "
    "optional are front_identity with angle_identity, or identity, and split"
)


def read_file(path: Path) -> pd.DataFrame:
    """The rows of a pair table, as they stand in the file.

    Columns: `front`, `angle` (object: a path as text, or encoded image bytes), `front_name`, `angle_name` (what
    messages call the image), `pair_label`, and those of OPTIONAL that there are. The index is what messages call a row:
    the line of a CSV (the header is line 1), the row of a Parquet file (the first is 0). Raises InputError.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path} ends in {path.suffix or 'nothing'!r}; valid is a pair table that ends in {' or '.join(SUFFIXES)}, "
            "or a folder of identities. Save the table as one of these."
        )
    frame = _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    if frame.empty:
        raise InputError(f"{path} holds no pairs, only a header; valid is a row for each pair. Add rows to it.")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        # Blank lines are kept until the index counts them: it numbers the lines as an editor does.
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, na_values=[""], skip_blank_lines=False, skipinitialspace=True,
            encoding="utf-8-sig",
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; valid is a CSV with a header. {_COLUMNS}.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"{path} is not a well-formed CSV: {str(error).strip()}. Valid is UTF-8 text, commas between the cells and "
            "as many cells in every line as in the header. Mend that line, or save the table again."
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"{path} is not a well-formed CSV: its lines have more cells than its header, which has {frame.shape[1]}: "
            f"{', '.join(map(str, frame.columns))}. Valid is a name for every column. Complete the header."
        )
    frame.index = pd.RangeIndex(2, 2 + len(frame), name="line")
    frame = _named(path, frame)
    for side in SIDES:
        frame[side] = frame[f"{side}_name"] = frame[side].astype(object)
    return frame.dropna(how="all")


def _named(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    names = _known_columns(path, list(map(str, frame.columns)))
    columns = {name: frame.iloc[:, position] for name, position in names.items()}
    return pd.DataFrame(columns, index=frame.index)


def _known_columns(path: Path, found: list[str]) -> dict[str, int]:
    """The position in the file of each column that a pair table can have; InputError when a needed one is missing."""
    stripped = [name.strip() for name in found]
    position = {_ALIASES[name]: at for at, name in enumerate(stripped) if name in _ALIASES}
    position |= {name: at for at, name in enumerate(stripped) if name in (*NEEDED, *OPTIONAL)}
    missing = [name for name in NEEDED if name not in position]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has: {', '.join(stripped)}. {_COLUMNS}. "
            + _column_advice(missing, stripped)
        )
    one_sided = {"front_identity", "angle_identity"} & set(position)
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


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            names = _known_columns(path, found)
            table = file.read(columns=[found[at] for at in names.values()])
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is not a Parquet file that can be read: {str(error).strip()}. Valid is a complete Parquet file, "
            "or a CSV that ends in .csv. Write the table again."
        ) from error
    index = pd.RangeIndex(len(table), name="row")
    columns: dict[str, object] = {}
    for name, at in names.items():
        column = table.column(found[at])
        if name in SIDES:
            columns[name], columns[f"{name}_name"] = _images(path, found[at], name, column)
        else:
            columns[name] = column.to_pandas().astype(object).to_numpy()
    return pd.DataFrame(columns, index=index)


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
    if isinstance(column, pa.Array):
        return column.to_numpy(zero_copy_only=False).astype(object)
    return column.to_numpy().astype(object)
