"""Arrays in files: mapped into memory by whoever needs them, and sent to other processes as the name of their file.

What is mapped is read from the disk page by page when it is used, is shared by all processes of a machine, and need not fit the
memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

_HELD: dict[Path, int] = {}
"""Open files by which this process says that it uses them."""
_ABANDONED_S = 3600.0
"""A draft that nobody has locked after so long was left by a process that was killed."""
_ONE_HEADER = threading.Lock()
"""NumPy parses a file's header as Python, and Python 3.11's parser can fail where two threads use it (SystemError)."""


class Name(NamedTuple):
    """What an array in a file is called: enough to tell whether a file somewhere else is the same one."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def opened_at(self, path: Path) -> np.ndarray | None:
        """The array in this file, mapped and held, or None where the file is missing, damaged or another one."""
        with suppress(OSError, ValueError, EOFError):
            array = opened(path)
            if (array.shape, array.dtype) == (self.shape, self.dtype):
                use(path)
                return array
        return None


Fetch = Callable[[Name], np.ndarray]
"""Gets an array whose file is not here. It is pickled beside the name."""
_FETCHED_BY: dict[Path, Fetch] = {}


class ByName:
    """An array that is pickled as the name of its file, where it is a whole file's; else as its numbers.

    Unpickled it is the array itself, mapped again; where the file is not there, as `fetched_by` says.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __reduce__(self) -> tuple[Any, ...]:
        path = file_of(self._array)
        if path is None:
            return _same, (self._array,)
        fetch = _FETCHED_BY.get(path)
        if fetch is None:
            return opened, (path,)
        return _here_or_fetched, (Name(path, self._array.shape, self._array.dtype), fetch)


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _here_or_fetched(name: Name, fetch: Fetch) -> np.ndarray:
    array = name.opened_at(name.path)
    return fetch(name) if array is None else array


def fetched_by(path: Path, fetch: Fetch) -> None:
    """From now on `ByName` says how the file is got where it is not, until `let_go` is called."""
    _FETCHED_BY[path] = fetch


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
    with _ONE_HEADER:
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
            hold(self._path)  # else `bound` takes it for one that was abandoned
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
        _release(self._path)
        kept.filename = str(self.file)
        return kept

    def sha256(self) -> str:
        """Of the file as it stands now."""
        cast(np.memmap, self.array).flush()
        with self._path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def drop(self) -> None:
        """Nothing of it stays."""
        _release(self._path)
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


def use(path: Path) -> None:
    """Hold the file, which of those in its folder is the one used last from now on."""
    hold(path)
    with suppress(OSError):  # a folder that may only be read serves all the same
        os.utime(path)


def let_go() -> None:
    """This process uses none of the files any more that it held, and tells nobody how to get them."""
    _FETCHED_BY.clear()
    for path in list(_HELD):
        _release(path)


def _release(path: Path) -> None:
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


def bound(folder: Path, limit_gb: float, keep: Path) -> None:
    """Remove arrays of the folder, those unused for longest first, until it holds at most so many 10⁹ bytes.

    keep and what a process holds stay. With an array goes what is told of it, the .json beside it; and drafts go whose process
    was killed.
    """
    entries, now = [], time.time()
    for draft in folder.glob(".*.npy-*"):
        with suppress(OSError):
            if now - draft.stat().st_mtime > _ABANDONED_S and may_go(draft):
                draft.unlink(missing_ok=True)
    for file in folder.glob("*.npy"):
        with suppress(OSError):  # another process removed it
            entries.append((file.stat().st_mtime_ns, file.stat().st_size, file))
    total = sum(size for _, size, _ in entries)
    for _, size, file in sorted(entries):
        if total <= 1e9 * limit_gb:
            return
        if file != keep and may_go(file):
            for each in (file.with_suffix(".json"), file):
                with suppress(OSError):
                    each.unlink(missing_ok=True)
            total -= size


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Meanwhile no other process or thread of this machine is in here for the same folder; it is made where it is missing.

    Raises OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        with suppress(OSError):  # a file system without locks: then two may fetch the same, each to a draft of its own
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
