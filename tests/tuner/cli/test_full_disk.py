"""A disk that takes nothing: the search waits, says so once, and goes on or ends; a worker's is recognised, too."""

from __future__ import annotations

import errno
import os

import pytest

import search_spaces
from tests.tools.by_hand import Search
from tuner.cli import full_disk
from tuner.cli.full_disk import ResultsUnwritableError, ends_in_order, no_room, patiently
from tuner.results.writer import RunTables

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(full_disk, "_RETRY_S", 0.0)


def full_for(times: int):
    """A write that finds no room so often; what it was asked and what was said."""
    left, said = iter([FULL] * times), []

    def write():
        if error := next(left, None):
            raise error

    return write, said


def test_room_that_comes_is_used():
    """Said once, however often it was tried."""
    write, said = full_for(3)
    patiently(write, said.append)
    assert len(said) == 1 and "No space left on device" in said[0] and "pauses" in said[0]


def test_no_room_ends_the_search(monkeypatch):
    """After the wait, with an exit code of its own."""
    monkeypatch.setattr(full_disk, "_WAIT_S", 0.0)
    write, said = full_for(10**6)
    with pytest.raises(ResultsUnwritableError, match="No space left on device"):
        patiently(write, said.append)
    assert ResultsUnwritableError.code == 4


def test_another_error_is_not_waited_for():
    """Nobody makes room for it."""

    def write():
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        patiently(write, pytest.fail)


def test_the_cause_is_found_in_what_others_made_of_it():
    """Tune and Ray wrap errors, and workers' come as text."""
    try:
        try:
            raise FULL
        except OSError as error:
            raise RuntimeError("a trial went wrong") from error
    except RuntimeError as error:
        assert no_room(error) == "No space left on device"
    assert no_room(RuntimeError("RayTaskError: OSError: [Errno 28] No space left on device: 'x'"))
    assert no_room(ValueError("3")) is None


@pytest.mark.usefixtures("quiet_optuna")
def test_a_trial_that_found_no_room_has_not_failed(tmp_path):
    """It gets no row: it is trained when there is room."""
    run = Search(tmp_path, search_spaces.load("temperature"))
    run.run(run.start(), 0.5, 0.9, 0.7)
    with pytest.raises(ResultsUnwritableError):
        run.fail(run.start(), OSError("[Errno 28] No space left on device"))
    assert [row["trial"] for row in run.tables.trial_rows()] == [0]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_write_that_fails_leaves_the_former_file_and_no_draft(tmp_path, monkeypatch, fails_at):
    """Whether it is the first, second or third thing that is synced."""
    tables = RunTables(tmp_path, "temperature", "r1")
    tables.write_run({"state": "running"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sync, calls = os.fsync, iter(range(1, 100))

    def fsync(handle):
        if next(calls) == fails_at:
            raise FULL
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        for trial in range(3):
            tables.write_scores(trial, {"pair": [0], "score": [0.5], "pair_label": [1], "correct": [True], "epoch": 1})
    monkeypatch.undo()
    now = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: now[path] for path in before} == before
    assert not [path for path in now if path.name.startswith(".")]


def test_a_disk_that_is_full_from_the_start_is_told_once(tmp_path):
    """Where there is no run to go on with yet, the same command is; what was told already is not told anew."""
    said = r"the results in here cannot be written: No space.*with: the command"
    with pytest.raises(ResultsUnwritableError, match=said), ends_in_order("here", "the command"):
        raise FULL
    rows = []
    inner = ends_in_order("here", "--resume r1", rows.append)
    with (
        pytest.raises(ResultsUnwritableError, match=r"with: --resume r1$"),
        ends_in_order("here", "the command"),
        inner,
    ):
        raise ResultsUnwritableError("the results cannot be written: No space left on device")
    assert len(rows) == 1
    with pytest.raises(ZeroDivisionError), ends_in_order("here", "the command"):
        raise ZeroDivisionError
