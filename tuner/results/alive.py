"""Signs of life of a run: which process works on it, and whether that still does. So a killed run does not run for ever."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread

import pyarrow as pa

from tuner.results.store import Store

_FILE = "alive.json"
_EVERY_S = 15.0
_DEAD_AFTER_S = 90.0
"""Without a sign for so long a process of another machine counts as dead."""


@dataclass(frozen=True)
class Sign:
    """The last sign that a process working on a run gave."""

    host: str
    pid: int
    at: float
    """Unix time, by its own machine's clock."""

    @property
    def is_of_this_machine(self) -> bool:
        """Whether the process is, or was, one here."""
        return self.host == socket.gethostname()

    @property
    def age_s(self) -> float:
        """How long ago it was."""
        return max(0.0, time.time() - self.at)

    @property
    def lives(self) -> bool:
        """Whether the process still works on the run, as far as can be known."""
        if not self.is_of_this_machine:
            return self.age_s < _DEAD_AFTER_S
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return self.age_s < _DEAD_AFTER_S or _is_stopped(self.pid)


def last_sign(state: Store) -> Sign | None:
    """The last sign of life in the run's state folder; None where there is none: it ended in order, or is an old one."""
    try:
        with state.fs.open_input_stream(state.path(_FILE)) as stream:
            return Sign(**json.loads(stream.read()))
    except (OSError, pa.ArrowException, ValueError, TypeError):
        return None


@contextmanager
def signs_of_life(state: Store) -> Iterator[None]:
    """Meanwhile this process gives one every few seconds; none is left when it ends in order."""
    ended = Event()

    def give() -> None:
        while True:
            sign = {"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}
            with suppress(OSError, pa.ArrowException):  # a full disk is told by whoever writes what matters
                state.write(state.root, _FILE, json.dumps(sign).encode())
            if ended.wait(_EVERY_S):
                return

    thread = Thread(target=give, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError, pa.ArrowException):
            state.fs.delete_file(state.path(_FILE))


def _is_stopped(pid: int) -> bool:
    """Whether it is halted by a signal or a debugger, as Ctrl-Z does: it gives no sign, and may go on."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - the shorter way to read a line
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False
