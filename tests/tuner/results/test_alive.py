"""A killed run is told from one that goes on, here and from another machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuner import results
from tuner.results import alive
from tuner.results.alive import last_sign, signs_of_life
from tuner.results.store import Store
from tuner.results.writer import RunTables

WORKS = (
    "import sys, time; from tuner.results.alive import signs_of_life; from tuner.results.store import Store\n"
    "with signs_of_life(Store.at(sys.argv[1])): print('at work', flush=True); time.sleep(3600)"
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder of a run whose row says that it is running."""
    RunTables(tmp_path, "temperature", "r1").write_run({"state": "running"})
    return tmp_path / "state" / "r1"


def said(state: Path) -> str:
    """What a reader is told of the run."""
    return results.runs(state.parents[1]).state.item()


def sign(state: Path, **changed: object) -> None:
    """A sign of this process, now, with these changes."""
    state.mkdir(parents=True, exist_ok=True)
    given = {"host": alive.socket.gethostname(), "pid": os.getpid(), "at": time.time()} | changed
    (state / "alive.json").write_text(json.dumps(given))


def test_a_killed_process_is_dead_at_once_and_one_that_is_halted_is_not(state: Path) -> None:
    """The row still says running; the reader says dead."""
    with subprocess.Popen([sys.executable, "-c", WORKS, str(state)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "at work\n"
        while last_sign(Store.at(state)) is None:
            time.sleep(0.01)
        assert said(state) == "running"
        process.send_signal(signal.SIGSTOP)
        sign(state, pid=process.pid, at=time.time() - 1000)
        assert said(state) == "running"
        process.kill()
    assert said(state) == "dead"


def test_a_process_of_another_machine_is_dead_when_it_is_silent(state: Path) -> None:
    """Nobody can ask for it there."""
    sign(state, host="elsewhere", pid=1)
    assert said(state) == "running"
    sign(state, host="elsewhere", pid=1, at=time.time() - 1000)
    assert said(state) == "dead"


def test_no_sign_is_left_of_a_process_that_ends_in_order(state: Path) -> None:
    """And a run without one, as earlier versions left, is what its row says."""
    with signs_of_life(Store.at(state)):
        pass
    assert not list(state.iterdir()) and said(state) == "running"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "x"}'])
def test_a_damaged_sign_is_none(state: Path, text: str) -> None:
    """What the row says holds."""
    sign(state)
    (state / "alive.json").write_text(text)
    assert last_sign(Store.at(state)) is None and said(state) == "running"
