"""python -m tuner.replay: a trial trained again from its row alone, and compared number by number."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from trainable.config import InputError
from tuner.command_line import parse
from tuner.options import TrialSource


@dataclass(frozen=True)
class ReplayOptions:
    """Train one trial of a run again, from its row alone and without Ray, and compare every number with the tables.

    On the CPU in fp32, with the same versions, the numbers are the same to the bit. The exit code is 0 if all are equal,
    1 if one differs, 2 for a mistake in what was given. Nothing is written.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """The run's name."""
    trial: Annotated[int, Positional, arg(metavar="TRIAL")]
    """The trial's number in its run."""
    source: TrialSource = field(default_factory=TrialSource)


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
