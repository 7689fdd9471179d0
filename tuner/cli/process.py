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


class Main(typing.Protocol):
    """A verb: its arguments, None for those of the command line, into an exit code."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run it."""


def exit_code(work: Callable[[Sequence[str] | None], int]) -> Main:
    """Makes a verb's main of `work`, with the exit codes of all verbs.

    What `work` returns; 2, after a message, for a mistake in the input; the code of a HaltError, after its message; 130
    after Ctrl-C; 141, as other programs do, if whoever read the output, such as `head`, is gone.
    """

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
    """End the process with this code, after its exit handlers: to unload torch's libraries would take two seconds more."""
    atexit._run_exitfuncs()  # private, but the only way to run them before os._exit
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _reader_has_gone() -> bool:
    """Whether nobody reads the standard output any more; if so it is closed, so that Python says nothing at its end."""
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
    """Imports with the garbage collector paused, which then never looks at what was imported: a process starts sooner."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # libraries count at the end what they think was leaked
