"""Arrays in files: mapped into memory by whoever needs them, and sent to other processes as the name of their file.

What is mapped is read from the disk page by page when it is used, is shared by all processes of a machine, and need not fit the
memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

_HELD: dict[Path, int] = {}
"""Open files by which this process says that it uses them."""


class ByName:
    """An array that is pickled as the name of its file, where it is a whole file's; else as its numbers.

    Unpickled it is the array itself, mapped again.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __reduce__(self) -> tuple[Any, ...]:
        path = file_of(self._array)
        return (_same, (self._array,)) if path is None else (opened, (path,))


def _same(array: np.ndarray) -> np.ndarray:
    return array


def file_of(array: np.ndarray) -> Path | None:
    """The .npy file that the array is the whole of, opened for reading; None where there is none."""
    if not isinstance(array, np.memmap) or array.filename is None or array.mode != "r":
        return None
    path = Path(array.filename)
    with suppress(FileNotFoundError):
        if path.stat().st_size == array.offset + array.nbytes:
            return path
    return None


def opened(path: str | Path) -> np.ndarray:
    """The array in a .npy file, mapped, for reading only. Raises FileNotFoundError where this machine does not have it."""
    return cast(np.ndarray, np.load(path, mmap_mode="r"))


def will_need(array: np.ndarray, rows: np.ndarray) -> None:
    """Ask for the pages of these rows (B,) of an array in a file, all at once: the system begins to read what it does not have.

    Touched one after the other, each row is waited for alone: 4 to 8 times as long on a disk that was tried.
    """
    path = file_of(array)
    if path is None:
        return
    row_bytes = array.nbytes // len(array)
    with suppress(OSError), path.open("rb", buffering=0) as file:  # removed since: what is mapped stays
        for row in rows.tolist():
            start = cast(np.memmap, array).offset + row * row_bytes
            os.posix_fadvise(file.fileno(), start, row_bytes, os.POSIX_FADV_WILLNEED)


class Draft:
    """A .npy file that nobody knows of until it is complete: room for it is reserved at once, or OSError says why not."""

    def __init__(self, file: Path, shape: Sequence[int], dtype: Any) -> None:
        """file: what it will be called; shape, dtype: of the array."""
        self.file = file
        self._path = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.array: np.ndarray = np.lib.format.open_memmap(self._path, "w+", np.dtype(dtype), tuple(shape))
            with self._path.open("r+b") as reserved:  # writing to a mapped page without room would end the process
                os.posix_fallocate(reserved.fileno(), 0, self._path.stat().st_size)
        except BaseException:
            self.drop()
            raise

    def keep(self) -> np.ndarray:
        """Complete: under its name from now on, mapped for reading, whatever another process does with the name then."""
        cast(np.memmap, self.array).flush()
        with self._path.open("rb") as written:
            os.fsync(written.fileno())
        kept = cast(np.memmap, opened(self._path))
        self._path.replace(self.file)
        kept.filename = str(self.file)
        return kept

    def sha256(self) -> str:
        """Of the file as it stands now."""
        cast(np.memmap, self.array).flush()
        with self._path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def drop(self) -> None:
        """Nothing of it stays."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def hold(path: Path) -> None:
    """Say that this process uses the file, until it ends or `let_go` is called: `may_go` is False then."""
    if path in _HELD:
        return
    with suppress(OSError):  # removed just now
        descriptor = os.open(path, os.O_RDONLY)
        if _HELD.setdefault(path, descriptor) != descriptor:  # another thread was quicker
            os.close(descriptor)
            return
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # a file system without locks has none to respect


def let_go() -> None:
    """This process uses none of the files any more that it held."""
    for path in list(_HELD):
        descriptor = _HELD.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)


def may_go(path: Path) -> bool:
    """Whether no process of this machine holds the file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
