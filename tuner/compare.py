"""python -m tuner.compare: what the runs say, side by side. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tuner.command_line import exit_code, parse, plain_warnings
from tuner.compare_options import CompareOptions


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parse(CompareOptions, arguments, prog="python -m tuner.compare")
    options.check()
    from tuner.comparison_output import show  # here, so that --help and a mistyped option answer at once

    with plain_warnings():
        return show(options)


if __name__ == "__main__":
    sys.exit(main())
