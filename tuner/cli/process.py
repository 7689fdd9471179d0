"""How a command begins and ends: exit codes, quick imports, a quick end."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from trainable.errors import InputError


class HaltError(Exception):
    """What ends a command although nothing in its input is wrong: the message says what happened and what to do."""

    code = 1
    """The command's exit code: a class of its own for each cause."""


def exit_code(work: Callable[[Sequence[str] | None], int]) -> Callable[[Sequence[str] | None], int]:
    """A verb's main: what `work` returns; 2, after a message, for a mistake in the input; the code of a HaltError, after its
    message; 130 when it is interrupted; 141, as of other programs, when whoever read its output, such as `head`, has gone."""

    @wraps(work)
    def main(arguments: Sequence[str] | None = None) -> int:
        try:
            try:
                return work(arguments)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            if not _reader_has_gone():
                raise
            return 128 + signal.SIGPIPE
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except HaltError as halt:
            print(f"error: {halt}", file=sys.stderr)
            return halt.code
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return main


def leave(code: int) -> typing.NoReturn:
    """End the process with this code, when its work is done: torch's libraries would take two seconds to take themselves
    apart, for nothing."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _reader_has_gone() -> bool:
    """Whether it is the standard output that nobody reads; it then leads nowhere, so that Python's end is quiet, too."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings, such as of a result file that is skipped, are a line each on the standard error."""

    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


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
