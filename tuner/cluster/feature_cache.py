"""Features on disk: named by everything their numbers depend on, checked on reading, bounded in size."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ARRAY, _SUM = ".npy", ".json"


@dataclass(frozen=True)
class FeatureCache:
    """Arrays in a folder, each by a key. Two processes may use one folder: an entry appears whole or not at all."""

    folder: Path
    limit_gb: float
    """Entries that were not used for longest are removed beyond so many 10⁹ bytes."""

    def get(self, key: str) -> np.ndarray | None:
        """The array stored under the key, or None; one that was damaged is removed."""
        file, sums = self._files(key)
        try:
            expected = json.loads(sums.read_text())["sha256"]
            with file.open("rb") as stream:
                intact = hashlib.file_digest(stream, "sha256").hexdigest() == expected
            array: np.ndarray | None = np.load(file, mmap_mode="r") if intact else None
        except (OSError, json.JSONDecodeError, KeyError, ValueError):
            array = None
        if array is None:
            self._remove(key)
            return None
        with suppress(OSError):  # a cache that may only be read serves all the same
            os.utime(file)  # used now
        return array

    def put(self, key: str, array: np.ndarray) -> OSError | None:
        """Store the array under the key; what is larger than the whole cache is not kept.

        Returns why it could not be stored where the folder is full or cannot be written; nothing of it is left then.
        """
        if array.nbytes > self.limit_gb * 1e9:
            return None
        draft = self.folder / f".{key}-{secrets.token_hex(4)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._store(key, array, draft)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return error
        self._evict(keep=key)
        return None

    def _store(self, key: str, array: np.ndarray, draft: Path) -> None:
        file, sums = self._files(key)
        with draft.open("wb") as stream:
            np.save(stream, array)
        with draft.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        draft.replace(file)
        draft.write_text(json.dumps({"sha256": digest}))
        draft.replace(sums)

    def _files(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}{_ARRAY}", self.folder / f"{key}{_SUM}"

    def _remove(self, key: str) -> None:
        for file in self._files(key):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def _evict(self, keep: str) -> None:
        entries = []
        for file in self.folder.glob(f"*{_ARRAY}"):
            try:
                entries.append((file.stat().st_mtime_ns, file.stat().st_size, file.stem))
            except FileNotFoundError:  # another process removed it
                continue
        total = sum(size for _, size, _ in entries)
        for _, size, key in sorted(entries):
            if total <= self.limit_gb * 1e9:
                return
            if key != keep:
                self._remove(key)
                total -= size
