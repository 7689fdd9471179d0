"""python -m tuner.run: the search. This module parses the command line and turns mistakes into messages."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import tyro

from trainable.config import InputError
from tuner.options import RunOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 every trial failed, 2 a mistake in the input, 130 interrupted."""
    started = time.time()
    try:
        options = tyro.cli(
            tyro.conf.OmitArgPrefixes[RunOptions],
            args=arguments,
            prog="python -m tuner.run",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        options.check()
        if options.list_spaces:
            return _list_spaces()
        from tuner.session import run_session  # here, so that --help and a mistyped option answer at once

        command = ["python", "-m", "tuner.run", *(sys.argv[1:] if arguments is None else arguments)]
        return run_session(options, command, started)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _list_spaces() -> int:
    import search_spaces

    for name in search_spaces.names():
        print(f"{name:15} {search_spaces.load(name).question}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
