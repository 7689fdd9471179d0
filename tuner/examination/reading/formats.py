"""The files that logs come in, told by what they hold rather than by their names."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainable.errors import InputError
from tuner.examination.reading.events import event_cells, is_events
from tuner.examination.reading.records import record_cells
from tuner.examination.reading.text import Cells, spoken_cells, text_cells

VALID = (
    "valid is a CSV, TSV or Parquet file with a row for each step or epoch, JSON or JSONL of records (as Hugging Face's "
    "trainer_state.json), TensorBoard's event files, or a folder of MLflow's metrics"
)
_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
_REFUSED = {
    b"SQLite format 3": ("a SQLite database", "export the table of metrics as CSV"),
    b"PK\x03\x04": ("a zip archive, or a workbook", "unpack it, or save the sheet as CSV"),
    b"\x80\x02": ("a pickle", "save the history as JSON or CSV"),
    b"\x80\x04": ("a pickle", "save the history as JSON or CSV"),
    b"\x80\x05": ("a pickle", "save the history as JSON or CSV"),
    b"\x93NUMPY": ("a NumPy array", "save it as CSV, with the names of the columns"),
}


def read_cells(path: Path) -> Cells:
    """The log's cells, whatever the file is. Raises InputError."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}; {VALID}. Correct the path.")
    try:
        return _file(path)
    except (pa.ArrowException, UnicodeDecodeError, OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise InputError(f"{path} cannot be read: {str(error).strip()}; {VALID}. Save the log again.") from error


def _file(path: Path) -> Cells:
    if is_events(path):
        return event_cells([path])
    content, packed = path.read_bytes(), ""
    for magic, unpack in _PACKED.items():
        if content.startswith(magic):
            content, packed = unpack(content), " (compressed)"
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        content, packed = pa.CompressedInputStream(io.BytesIO(content), "zstd").read(), " (compressed)"
    for magic, (what, remedy) in _REFUSED.items():
        if content.startswith(magic):
            raise InputError(f"{path} is {what}; {VALID}. To have it read, {remedy}.")
    cells = _content(path, content)
    cells.kind += packed
    if cells.frame.empty:
        raise InputError(f"{path} holds a header and no rows; {VALID}. Give the log of a training.")
    return cells


def _content(path: Path, content: bytes) -> Cells:
    if content.startswith(b"PAR1"):
        return Cells(_plain(pq.read_table(pa.BufferReader(content))), "Parquet")
    if content.startswith(b"ARROW1"):
        return Cells(_plain(pa.ipc.open_file(pa.BufferReader(content)).read_all()), "Arrow")
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = content.decode("utf-16" if wide else "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    if not text.strip():
        raise InputError(f"{path} is empty; {VALID}. Give the log of a training.")
    if text.lstrip()[0] in "{[" and (cells := _json(path, text)):
        return cells
    if ".json" in path.name.lower():
        raise InputError(f"{path} is no JSON that can be read; {VALID}. Save the log again.")
    cells = text_cells(text)
    if cells is None or not _any_number(cells.frame):
        cells = spoken_cells(text) or cells
    if cells is None:
        raise InputError(
            f"{path} has no column of numbers; {VALID}. Write losses and metrics into it as plain numbers."
        )
    return _named_by_file(path, cells)


def _plain(table: pa.Table) -> pd.DataFrame:
    """Python's own values: None for nothing, NaN where the file says NaN."""
    return pd.DataFrame({str(k): pd.Series(v, dtype=object) for k, v in table.to_pydict().items()})


def _json(path: Path, text: str) -> Cells | None:
    """Records from JSON, or from a line of JSON each; None where the text is neither."""
    try:
        return record_cells(path, json.loads(text))
    except json.JSONDecodeError:
        pass
    records: list[Any] = []
    broken = 0
    for line in filter(str.strip, text.splitlines()):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    if not records or broken > len(records):
        return None
    cells = record_cells(path, records)
    cells.kind = "JSONL"
    if broken:
        cells.notes.append(f"{broken} lines are no JSON and left out, as the last one of a run that was ended may be")
    return cells


def _any_number(frame: pd.DataFrame) -> bool:
    return bool(frame.map(lambda cell: any(sign.isdigit() for sign in str(cell))).any(axis=None))


def _named_by_file(path: Path, cells: Cells) -> Cells:
    """A single metric, as TensorBoard's page and MLflow store it, under the name that the file has."""
    frame = cells.frame
    plain = [str(name).strip().lower() for name in frame.columns]
    name = path.name.split("-tag-")[-1].split(".")[0]
    if plain in (["wall time", "step", "value"], ["step", "value"], ["wall_time", "step", "value"]):
        frame.columns = ["wall_time", "step", name][-len(plain) :]
        cells.notes.append(f"the values are called {name}, after the file")
    elif plain == ["column 1", "column 2", "column 3"] and float(str(frame.iloc[0, 0] or 0)) > 1e11:
        frame.columns = ["wall_time", name, "step"]
        cells.kind = "MLflow's metric"
        cells.notes.append(f"the values are called {name}, after the file")
    return cells


def _folder(path: Path) -> Cells:
    """TensorBoard's event files below, a run for each folder, or a folder of files with a metric each, as MLflow has."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    events = [file for file in files if is_events(file)]
    if events:
        return event_cells(events, path)
    tables, notes = [], []
    for file in files:
        if file.name in ("meta.yaml", ".DS_Store") or "params" in file.parts or "tags" in file.parts:
            continue
        cells = read_cells(file)
        named = str(file.relative_to(path).with_suffix(""))
        names = {name: named for name in cells.frame.columns if name == file.name.split(".")[0]}
        tables.append(cells.frame.rename(columns=names))
        notes += cells.notes[:0]
    if not tables:
        raise InputError(f"{path} is a folder without a log; {VALID}. Give the file.")
    return Cells(pd.concat(tables, ignore_index=True).astype(object).where(lambda f: f.notna(), None), "folder of metrics",
                 [f"{len(tables)} files of one run"])  # fmt: skip
