"""Results that cannot be written: the search waits for room, says so, and ends in order where none comes."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tuner.cli.process import HaltError

_CAUSES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_WORDS = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Input/output error")
"""The same, in the text of an error that comes from a worker."""
_WAIT_S = 60.0
_RETRY_S = 2.0


class ResultsUnwritableError(HaltError):
    """The results cannot be written any more; what is written is whole, and the run can be gone on with."""

    code = 4


def no_room(error: BaseException) -> str | None:
    """What the system said, where the error, or what it comes from, is a disk that takes nothing; None if it is not."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in _CAUSES:
            return cause.strerror or str(cause)
        for words in _WORDS:
            if words in str(cause):
                return words
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__


@contextmanager
def ends_in_order(root: str, go_on: str, write_row: Callable[[str], None] | None = None) -> Iterator[None]:
    """A search that finds no room: its row says why, if that can be written; then raises ResultsUnwritableError.

    root: of the results; go_on: the command that goes on with the run; write_row: writes that it was interrupted, and why;
    None: there may be no row yet.
    """
    try:
        yield
    except ResultsUnwritableError as error:
        if write_row is None:
            raise  # told already
        raise _told(root, go_on, write_row, no_room(error) or str(error)) from error
    except Exception as error:  # Tune wraps what it hears in errors of its own
        if (reason := no_room(error)) is None:
            raise
        raise _told(root, go_on, write_row, reason) from error


def _told(root: str, go_on: str, write_row: Callable[[str], None] | None, reason: str) -> ResultsUnwritableError:
    if write_row is not None:
        write_row(f"the results could not be written: {reason}")
    return ResultsUnwritableError(
        f"the results in {root} cannot be written: {reason}. What has ended by now is kept. Make room, then go on with: {go_on}"
    )


def patiently(write: Callable[[], None], say: Callable[[str], None]) -> None:
    """Write; where there is no room wait for some, a minute at most, and say so. Raises ResultsUnwritableError then."""
    deadline = time.monotonic() + _WAIT_S
    said = False
    while True:
        try:
            return write()
        except OSError as error:
            reason = no_room(error)
            if reason is None:
                raise
            if time.monotonic() >= deadline:
                raise ResultsUnwritableError(f"the results cannot be written: {reason}") from error
        if not said:
            said = True
            say(f"The results cannot be written: {reason}. The search pauses; make room within {_WAIT_S:.0f} s.")
        time.sleep(min(_RETRY_S, max(0.0, deadline - time.monotonic())))
