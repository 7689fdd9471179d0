"""Features on disk: named by everything their numbers depend on, checked on reading, bounded in size."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainable.mapped import Draft, bound, hold, opened, use

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
            array: np.ndarray | None = opened(file) if intact else None
        except (OSError, json.JSONDecodeError, KeyError, ValueError):
            array = None
        if array is None:
            self._remove(key)
            return None
        use(file)
        return array

    def draft(self, key: str, shape: tuple[int, ...], dtype: Any) -> Draft | None:
        """Room for an array, to be written to and given to `put`; None for what is larger than the whole cache.

        Raises OSError where the folder is full or cannot be written.
        """
        if math.prod(shape) * np.dtype(dtype).itemsize > self.limit_gb * 1e9:
            return None
        return Draft(self._files(key)[0], shape, dtype)

    def put(self, key: str, draft: Draft) -> np.ndarray:
        """Store what was written to the draft under the key; the array, mapped. Raises OSError, and nothing is left then."""
        file, sums = self._files(key)
        try:
            digest = draft.sha256()
            array = draft.keep()
            text = sums.with_name(f".{sums.name}-{secrets.token_hex(4)}")
            text.write_text(json.dumps({"sha256": digest}))
            text.replace(sums)
        except OSError:
            draft.drop()
            self._remove(key)
            raise
        hold(file)
        bound(self.folder, self.limit_gb, keep=file)
        return array

    def _files(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}{_ARRAY}", self.folder / f"{key}{_SUM}"

    def _remove(self, key: str) -> None:
        for file in self._files(key):
            with suppress(OSError):
                file.unlink(missing_ok=True)
