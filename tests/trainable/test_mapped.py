"""Arrays in files: they go to other processes by name, and are there as a whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import os
import pickle
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from tests.tools.synthetic import pair_data
from trainable.mapped import ByName, Draft, file_of, hold, let_go, may_go, opened, will_need

ARRAY = np.arange(60, dtype=np.uint8).reshape(5, 3, 2, 2)


def kept(file: Path) -> np.ndarray:
    draft = Draft(file, ARRAY.shape, ARRAY.dtype)
    draft.array[...] = ARRAY
    return draft.keep()


def test_a_draft_is_nothing_until_it_is_kept(tmp_path: Path) -> None:
    """Then it is the file, read only; one that is dropped leaves nothing."""
    file = tmp_path / "sub" / "a.npy"
    draft = Draft(file, ARRAY.shape, ARRAY.dtype)
    assert not file.exists()
    draft.drop()
    assert list(file.parent.iterdir()) == []
    found = kept(file)
    assert np.array_equal(found, ARRAY) and file_of(found) == file and list(file.parent.iterdir()) == [file]
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_without_room_there_is_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reserved at once: a mapped page without room ends a process."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Draft(tmp_path / "a.npy", ARRAY.shape, ARRAY.dtype)
    assert list(tmp_path.iterdir()) == []


def test_a_whole_file_goes_by_name_and_all_else_as_numbers(tmp_path: Path) -> None:
    """A part of a file, an array in memory and a file that was removed are pickled as what they hold."""
    found = kept(tmp_path / "a.npy")
    for array, named in ((found, True), (found[1:], False), (np.asarray(found), False), (ARRAY, False)):
        text = pickle.dumps(ByName(array))
        assert (b"a.npy" in text) == named
        again = pickle.loads(text)
        assert np.array_equal(again, array) and (file_of(again) is not None) == named
    (tmp_path / "a.npy").unlink()
    assert np.array_equal(pickle.loads(pickle.dumps(ByName(found))), ARRAY)


def test_pair_data_go_by_the_names_of_their_files(tmp_path: Path) -> None:
    """Pixels and features; as Ray pickles them, too. What is no file is there all the same."""
    plain = pair_data(size_px=32)
    draft = Draft(tmp_path / "pixels.npy", plain.pixels.shape, np.uint8)
    draft.array[...] = plain.pixels
    data = dataclasses.replace(plain, pixels=draft.keep(), features={0: kept(tmp_path / "f.npy"), 1: ARRAY})
    for dumps in (pickle.dumps, cloudpickle.dumps):
        text = dumps(data)
        assert len(text) < plain.pixels.nbytes / 2
        again = pickle.loads(text)
        assert np.array_equal(again.pixels, plain.pixels) and file_of(again.pixels) == tmp_path / "pixels.npy"
        assert np.array_equal(again.features[0], ARRAY) and np.array_equal(again.features[1], ARRAY)
        assert np.array_equal(again.rows("val"), plain.rows("val"))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By the name of the file."""
    text = pickle.dumps(ByName(kept(tmp_path / "a.npy")))
    (tmp_path / "a.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.npy"):
        pickle.loads(text)


def test_what_is_held_may_not_go(tmp_path: Path) -> None:
    """Until the process lets go; what is not there may."""
    file = tmp_path / "a.npy"
    kept(file)
    assert may_go(file) and may_go(tmp_path / "none")
    hold(file)
    assert not may_go(file)
    let_go()
    assert may_go(file)
    assert np.array_equal(opened(file), ARRAY)


def test_pages_are_asked_for_before_they_are_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of exactly the rows that are needed; an array in memory has none, and a file that is gone harms nobody."""
    draft = Draft(tmp_path / "a.npy", (10, 3, 5), np.uint16)
    draft.array[:] = 7
    array = draft.keep()
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, start, length, advice: asked.append((start, length, advice)))
    will_need(array, np.array([4, 0]))
    assert asked == [(array.offset + row * 30, 30, os.POSIX_FADV_WILLNEED) for row in (4, 0)]
    will_need(np.zeros((10, 3)), np.array([4, 0]))
    (tmp_path / "a.npy").unlink()
    will_need(array, np.array([4, 0]))
    assert len(asked) == 2
