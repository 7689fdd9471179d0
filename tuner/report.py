"""python -m tuner.report: one run as one HTML page. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, plain_warnings
from tuner.cli.report_options import ReportOptions


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 2 a mistake in the input."""
    options = parse(ReportOptions, arguments, prog="python -m tuner.report")
    from tuner.cli.console import make_console  # here, so that --help and a mistyped option answer at once
    from tuner.reporting.figures.wrong_pairs import images_of
    from tuner.reporting.page import write_page
    from tuner.results.naming import named_run

    found = partial(images_of, console=make_console(), data=options.data, cache=options.cache)
    with plain_warnings():
        print(write_page(options.results, named_run(options.results, options.run), found, options.to))
    return 0


if __name__ == "__main__":
    sys.exit(main())
