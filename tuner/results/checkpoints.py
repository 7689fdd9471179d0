"""Where the saved states of a run's trials lie."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from pyarrow import fs as pafs

from trainable.training.checkpoint import STATE_FILE, load_state
from tuner.results.store import Store


class Saved(NamedTuple):
    """A training's state, and the folder (a path or URI) where it lies."""

    folder: str
    state: dict[str, Any]


def newest_state(store: Store, number: int) -> Saved | None:
    """The trial's newest state that can be read: a killed run may have left half of one. None if there is none."""
    for folder in checkpoints(store, number):
        try:
            return Saved(folder, load_state(folder))
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            continue
    return None


def checkpoints(store: Store, number: int) -> list[str]:
    """Path or URI of each folder with a saved state of the trial, newest first, over all attempts at the run."""
    attempts = store.fs.get_file_info(pafs.FileSelector(store.root, allow_not_found=True))
    folders = [f"{each.path}/trial_{number:04d}" for each in attempts if each.type == pafs.FileType.Directory]
    found = [
        file  # of this trial's folders alone: a run of 10,000 trials has many times as many files
        for folder in folders
        for file in store.fs.get_file_info(pafs.FileSelector(folder, recursive=True, allow_not_found=True))
    ]
    here = [file for file in found if file.base_name == STATE_FILE]
    newest_first = sorted(here, key=lambda file: (file.mtime_ns or 0, file.path), reverse=True)
    return [store.uri_of(file.path.removesuffix(f"/{STATE_FILE}")) for file in newest_first]
