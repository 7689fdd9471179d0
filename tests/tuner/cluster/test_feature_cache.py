"""The feature cache on disk: never wrong, bounded, safe with two runs at once."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainable.mapped import file_of, let_go, opened
from tuner.cluster.feature_cache import FeatureCache

ARRAY = np.arange(1000, dtype=np.float32).reshape(10, 100)


def put(cache: FeatureCache, key: str, array: np.ndarray = ARRAY) -> np.ndarray | None:
    """The array written to its draft and kept, mapped; None where the cache does not take it. This process lets it go."""
    draft = cache.draft(key, array.shape, array.dtype)
    if draft is None:
        return None
    draft.array[...] = array
    kept = cache.put(key, draft)
    let_go()
    return kept


def test_what_was_put_is_got(tmp_path: Path) -> None:
    """An array comes back equal, also in another cache object; an unknown key gives None."""
    put(FeatureCache(tmp_path, limit_gb=1), "a")
    assert np.array_equal(FeatureCache(tmp_path, limit_gb=1).get("a"), ARRAY)
    assert FeatureCache(tmp_path, limit_gb=1).get("b") is None


def test_a_damaged_entry_is_removed(tmp_path: Path) -> None:
    """One flipped byte, a truncated array or a missing or damaged check sum: the entry is gone, never wrong."""
    cache = FeatureCache(tmp_path, limit_gb=1)
    for damage in ("flip", "truncate", "sum missing", "sum damaged", "array missing"):
        put(cache, "a")
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
        put(cache, "a")
        assert np.array_equal(cache.get("a"), ARRAY)


def test_the_size_is_bounded(tmp_path: Path) -> None:
    """Beyond the limit what was not used for longest is removed; an array above the limit is not stored."""
    cache = FeatureCache(tmp_path, limit_gb=2.5 * ARRAY.nbytes / 1e9)
    for age, key in enumerate(("old", "used")):
        put(cache, key)
        os.utime(tmp_path / f"{key}.npy", (age, age))
    os.utime(tmp_path / "used.npy", (0, 0))
    assert cache.get("used") is not None  # which makes it the most recent
    let_go()
    put(cache, "new")
    assert cache.get("old") is None
    assert cache.get("used") is not None
    assert cache.get("new") is not None
    put(cache, "huge", np.zeros((40, 100), dtype=np.float32))
    assert cache.get("huge") is None


def test_two_writers_of_one_entry_leave_it_whole(tmp_path: Path) -> None:
    """Many writers and readers of one key at once: a reader gets the whole array or nothing, and at last the array."""
    cache = FeatureCache(tmp_path, limit_gb=1)

    def work(number: int) -> bool:
        if number % 2:
            put(cache, "a")
            return True
        got = cache.get("a")
        return got is None or np.array_equal(got, ARRAY)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    put(cache, "a")
    assert np.array_equal(cache.get("a"), ARRAY)


def test_a_cache_that_cannot_be_written_costs_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a folder that may only be read: the reason is raised, no draft is left, what is there is read."""
    cache = FeatureCache(tmp_path, limit_gb=1)
    put(cache, "a")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("posix_fallocate", "fsync"):  # before anything is written, and when it is
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device"):
            patch.setattr(os, name, full)
            put(cache, "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npy"]

    def refused(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    for owner, name in ((os, "utime"), (Path, "unlink"), (Path, "mkdir"), (Path, "replace")):
        monkeypatch.setattr(owner, name, refused)
    assert np.array_equal(cache.get("a"), ARRAY)
    assert cache.get("b") is None
    with pytest.raises(PermissionError):
        put(cache, "b")


def test_what_a_process_uses_is_not_removed(tmp_path: Path) -> None:
    """Until it lets go, or ends: what is mapped by name must be there for a worker that starts later."""
    cache = FeatureCache(tmp_path, limit_gb=1.5 * ARRAY.nbytes / 1e9)
    put(cache, "held")
    held = cache.get("held")
    put_draft = cache.draft("new", ARRAY.shape, ARRAY.dtype)
    put_draft.array[...] = ARRAY
    cache.put("new", put_draft)
    assert np.array_equal(opened(file_of(held)), ARRAY)
    let_go()
    put(cache, "third")
    assert cache.get("held") is None
