"""TensorBoard's event files, with the message definitions of tensorboardX, which Ray Tune brings along."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tuner.examination.reading.text import Cells


def is_events(path: Path) -> bool:
    """Whether the file is one of TensorBoard's, which all have this in their name."""
    return "tfevents" in path.name


def event_cells(files: Sequence[Path], root: Path | None = None) -> Cells:
    """The scalars of event files, a row for each step and a column for each tag; a `run` for each folder below root."""
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for file in files:
        run = str(file.parent.relative_to(root)) if root else "."
        for step, tag, value in _scalars(file):
            records.setdefault((run, step), {"run": run, "step": step})[tag] = value
    if not records:
        raise ValueError("no scalar is in it")
    frame = pd.DataFrame(list(records.values()), dtype=object).astype(object)
    frame = frame.where(frame.map(lambda cell: isinstance(cell, str | int) or cell == cell), None)
    if frame["run"].nunique() == 1:
        frame = frame.drop(columns="run")
    return Cells(frame, "TensorBoard's event file")


def _scalars(file: Path) -> Iterator[tuple[int, str, float | str]]:
    """Step, tag and value of every scalar; a value that is NaN as text, as a gap is NaN once this is a table."""
    from tensorboardX.proto import event_pb2  # here: it is slow to import, and few logs are such files

    for record in _records(file.read_bytes()):
        event = event_pb2.Event.FromString(record)
        for value in event.summary.value:
            number = _number(value)
            if number is not None:
                yield event.step, value.tag, "nan" if number != number else number


def _number(value: Any) -> float | None:
    """The scalar, whether it is written as PyTorch does, or as TensorFlow 2: a tensor without dimensions."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or any(dimension.size != 1 for dimension in value.tensor.tensor_shape.dim):
        return None
    for numbers in (value.tensor.float_val, value.tensor.double_val, value.tensor.int_val):
        if len(numbers) == 1:
            return float(numbers[0])
    content = value.tensor.tensor_content
    formats = {4: "<f", 8: "<d"}
    return float(struct.unpack(formats[len(content)], content)[0]) if len(content) in formats else None


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file: length (8 bytes), its checksum (4), the record, and its checksum (4). What a run
    that was ended wrote only in part is left out."""
    at = 0
    while at + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        if at + 16 + length > len(content):
            return
        yield content[at + 12 : at + 12 + length]
        at += 16 + length
