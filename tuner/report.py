"""python -m tuner.report: one run as one HTML page. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from tyro.conf import Positional, arg

from tuner.command_line import exit_code, parse, plain_warnings


@dataclass(frozen=True)
class ReportOptions:
    """Make the page of a run: which configuration to use, how sure that is, what not to try again, and why.

    One HTML file that opens in any browser, without a network. Every run makes it by itself at its end; this makes it
    again, also of a run that is going on, was interrupted or failed. Prints where it is.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """The run's name."""
    results: str = "results"
    """Folder or URI of the result tables."""
    to: str | None = None
    """The file to write; none: reports/RUN.html below the results."""
    data: str | None = None
    """Where the run's pairs are now, for the pictures; none: where the run found them."""
    cache: str | None = None
    """Folder for rendered images; none: the user's cache folder."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 2 a mistake in the input."""
    options = parse(ReportOptions, arguments, prog="python -m tuner.report")
    from tuner.display import make_console  # here, so that --help and a mistyped option answer at once
    from tuner.page import write_page
    from tuner.worst_pairs import images_of

    found = partial(images_of, console=make_console(), data=options.data, cache=options.cache)
    with plain_warnings():
        print(write_page(options.results, options.run, found, options.to))
    return 0


if __name__ == "__main__":
    sys.exit(main())
