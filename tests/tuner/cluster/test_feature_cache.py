"""The feature cache on disk: never wrong, bounded, safe with two runs at once."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.cluster.feature_cache import FeatureCache

ARRAY = np.arange(1000, dtype=np.float32).reshape(10, 100)


def test_what_was_put_is_got(tmp_path: Path) -> None:
    """An array comes back equal, also in another cache object; an unknown key gives None."""
    FeatureCache(tmp_path, limit_gb=1).put("a", ARRAY)
    assert np.array_equal(FeatureCache(tmp_path, limit_gb=1).get("a"), ARRAY)
    assert FeatureCache(tmp_path, limit_gb=1).get("b") is None


def test_a_damaged_entry_is_removed(tmp_path: Path) -> None:
    """One flipped byte, a truncated array or a missing or damaged check sum: the entry is gone, never wrong."""
    cache = FeatureCache(tmp_path, limit_gb=1)
    for damage in ("flip", "truncate", "sum missing", "sum damaged", "array missing"):
        cache.put("a", ARRAY)
        file, sums = tmp_path / "a.npy", tmp_path / "a.json"
        if damage == "flip":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        elif damage == "truncate":
            os.truncate(file, 200)
        elif damage == "sum missing":
            sums.unlink()
        elif damage == "sum damaged":
            sums.write_text("{")
        else:
            file.unlink()
        assert cache.get("a") is None, damage
        assert not list(tmp_path.iterdir()), damage
        cache.put("a", ARRAY)
        assert np.array_equal(cache.get("a"), ARRAY)


def test_the_size_is_bounded(tmp_path: Path) -> None:
    """Beyond the limit what was not used for longest is removed; an array above the limit is not stored."""
    cache = FeatureCache(tmp_path, limit_gb=2.5 * ARRAY.nbytes / 1e9)
    for age, key in enumerate(("old", "used")):
        cache.put(key, ARRAY)
        os.utime(tmp_path / f"{key}.npy", (age, age))
    os.utime(tmp_path / "used.npy", (0, 0))
    assert cache.get("used") is not None  # which makes it the most recent
    cache.put("new", ARRAY)
    assert cache.get("old") is None
    assert cache.get("used") is not None
    assert cache.get("new") is not None
    cache.put("huge", np.zeros((40, 100), dtype=np.float32))
    assert cache.get("huge") is None


def test_two_writers_of_one_entry_leave_it_whole(tmp_path: Path) -> None:
    """Many writers and readers of one key at once: a reader gets the whole array or nothing, and at last the array."""
    cache = FeatureCache(tmp_path, limit_gb=1)

    def work(number: int) -> bool:
        if number % 2:
            cache.put("a", ARRAY)
            return True
        got = cache.get("a")
        return got is None or np.array_equal(got, ARRAY)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    cache.put("a", ARRAY)
    assert np.array_equal(cache.get("a"), ARRAY)


def test_a_cache_that_cannot_be_written_costs_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a folder that may only be read: the reason is returned, no draft is left, what is there is read."""
    cache = FeatureCache(tmp_path, limit_gb=1)
    assert cache.put("a", ARRAY) is None

    def full(stream: Any, array: np.ndarray) -> None:
        stream.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        error = cache.put("b", ARRAY)
    assert error is not None and error.strerror == "No space left on device"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npy"]

    def refused(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    for owner, name in ((os, "utime"), (Path, "unlink"), (Path, "mkdir"), (Path, "replace")):
        monkeypatch.setattr(owner, name, refused)
    assert np.array_equal(cache.get("a"), ARRAY)
    assert cache.get("b") is None
    assert isinstance(cache.put("b", ARRAY), OSError)
