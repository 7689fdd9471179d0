"""The options of python -m tuner.report, whose docstrings are the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from tuner.cli.values import NONE_TOLD


@dataclass(frozen=True)
class ReportOptions:
    """Make the page of a run: which configuration to use, how sure that is, what not to try again, and why.

    One HTML file that opens in any browser, without a network. Every run makes it by itself at its end; this makes it
    again, also of a run that is going on, was interrupted or failed. Prints where it is.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """The run: its name or the start of it, a space (its latest run), or latest."""
    results: str = "results"
    """Folder or URI of the result tables."""
    to: Annotated[str | None, NONE_TOLD] = None
    """The file to write; none: reports/RUN.html below the results."""
    data: Annotated[str | None, NONE_TOLD] = None
    """Where the run's pairs are now, for the pictures; none: where the run found them."""
    cache: Annotated[str | None, NONE_TOLD] = None
    """Folder for rendered images; none: the user's cache folder."""
