"""python -m tuner.compare: what the runs say, side by side. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tuner.cli.compare_options import CompareOptions
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, plain_warnings


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parse(CompareOptions, arguments, prog="python -m tuner.compare")
    options.check()
    from tuner.reporting.comparison import show  # here, so that --help and a mistyped option answer at once

    with plain_warnings():
        return show(options)


if __name__ == "__main__":
    sys.exit(main())
