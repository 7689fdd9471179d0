"""python -m tuner.replay: a trial trained again from its row alone, and compared number by number."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.command_line import exit_code, leave, parse, plain_warnings
from tuner.loading import quick_imports
from tuner.trial_options import ReplayOptions


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parse(ReplayOptions, arguments, prog="python -m tuner.replay")
    options.source.check()
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        from tuner.replaying import replay

    with plain_warnings():
        return replay(options.run, options.trial, options.source)


if __name__ == "__main__":
    leave(main())
