"""Ctrl-C and SIGTERM end a search in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""


class Stoppable(Protocol):
    """What looks at `reason` now and then, and ends where it is no longer None."""

    reason: str | None


@contextmanager
def answered_signals(stop: Stoppable, say: Callable[[str], None] = lambda reason: None) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the search in order, and `say` hears of it first; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread answer signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: Any) -> None:
        stop.reason = signal.Signals(number).name
        say(stop.reason)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
