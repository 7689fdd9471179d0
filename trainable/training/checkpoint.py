"""A training's state in a checkpoint folder: a file name, and how it is read from wherever it lies."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from pyarrow.fs import FileSystem, LocalFileSystem

STATE_FILE = "training.pt"


def load_state(folder: str | Path) -> dict[str, Any]:
    """The training state saved in a checkpoint folder (a path, or a URI of pyarrow's file systems), on the CPU.

    Whatever a state did not hold when an older program saved it is what a training begins with.
    Raises OSError, RuntimeError or pickle.UnpicklingError if it is not there or damaged.
    """
    fs, path = (FileSystem.from_uri if "://" in str(folder) else _local)(str(folder))
    with fs.open_input_file(f"{path}/{STATE_FILE}") as file:
        state = torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
    return {"score_history": [], "history": [], "sick": None, **state}


def _local(path: str) -> tuple[FileSystem, str]:
    return LocalFileSystem(), path
