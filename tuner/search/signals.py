"""Ctrl-C and SIGTERM end a search in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tuner.search import experiment

INTERRUPTED = 130


@contextmanager
def answered_signals(stop: experiment.Stop, say: Callable[[str], None] = lambda reason: None) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the search in order, and `say` hears of it first; a second Ctrl-C ends it at once."""
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
