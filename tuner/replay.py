"""python -m tuner.replay: a trial trained again from its row alone, and compared number by number."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trainable.config import InputError
from tuner.command_line import parse
from tuner.trial_options import ReplayOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        options = parse(ReplayOptions, arguments, prog="python -m tuner.replay")
        options.source.check()
        from tuner.replaying import replay  # here, so that --help and a mistyped option answer at once

        return replay(options.run, options.trial, options.source)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
