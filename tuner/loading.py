"""Imports without a search for garbage: they make a million objects that stay, and a quarter of their time goes to it."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Meanwhile nothing is collected; what was imported is not looked at again before the process ends."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # libraries count at the end what they think was leaked
