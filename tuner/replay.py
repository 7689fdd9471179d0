"""python -m tuner.replay: a trial reproduced: trained again from its row alone, and compared number by number."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, leave, plain_warnings, quick_imports
from tuner.cli.stored_options import ReproduceOptions


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parse(ReproduceOptions, arguments, prog="python -m tuner.replay")
    options.source.check()
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        from tuner.stored.reproduce import reproduce

    with plain_warnings():
        return reproduce(options.run, options.trial, options.source)


if __name__ == "__main__":
    leave(main())
