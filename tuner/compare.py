"""python -m tuner.compare: what the runs say, side by side. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trainable.config import InputError
from tuner.command_line import parse, plain_warnings
from tuner.compare_options import CompareOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        options = parse(CompareOptions, arguments, prog="python -m tuner.compare")
        options.check()
        from tuner.comparison_output import show  # here, so that --help and a mistyped option answer at once

        with plain_warnings():
            return show(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
