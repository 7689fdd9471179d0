"""The terminal, and a progress bar for work on files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_PLAIN_WIDTH = 140


def make_console() -> Console:
    """The terminal, or, where the output is a file, a console as wide as a table with all its columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


@contextmanager
def file_progress(console: Console, what: str) -> Iterator[Any]:
    """A progress bar for work on files; yields a function (done, total). Silent where the output is a file."""
    columns = [TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
