"""Where a run's pairs and images are: the embedded set in the cache, or the user's file or folder; and their fingerprint."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from trainable import turntable
from trainable.pairs import PairTable
from tuner.options import DataOptions

EMBEDDED = "turntable"
_APP = "twoview-tuner"


def resolved(data: str) -> str:
    """The name of the embedded set, or the absolute path: what is understood in any folder."""
    return data if data == EMBEDDED else str(Path(data).expanduser().resolve())


def data_path(options: DataOptions, console: Console) -> Path:
    """The pair table or folder; the embedded set is rendered first if it is not in the cache."""
    if options.data != EMBEDDED:
        return Path(resolved(options.data))
    with console.status("rendering the turntable pairs, once"):
        return turntable.ensure(cache_folder(options.cache))


def cache_folder(chosen: str | None = None) -> Path:
    """Where rendered data is kept: as chosen, or in the user's cache folder."""
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / _APP


def fingerprint_of(table: PairTable, pixels_fingerprint: str) -> str:
    """Equal for equal pairs, labels, splits and images: such runs may be compared."""
    return f"{table.fingerprint()[:16]}-{pixels_fingerprint[:16]}"
