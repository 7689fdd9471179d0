"""python -m tuner.run: the search. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tuner.command_line import exit_code, leave, parse
from tuner.options import RunOptions


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 no trial can win, 2 a mistake in the input, 130 interrupted."""
    started = time.time()
    options = parse(RunOptions, arguments, prog="python -m tuner.run")
    options.check()
    if options.list_spaces:
        return _list_spaces()
    if sys.stderr.isatty():
        print("loading PyTorch and Ray …", file=sys.stderr)
    from tuner.session import run_session  # here, so that --help and a mistyped option answer at once

    command = ["python", "-m", "tuner.run", *(sys.argv[1:] if arguments is None else arguments)]
    return run_session(options, command, started)


def _list_spaces() -> int:
    import search_spaces

    for name in search_spaces.names():
        print(f"{name:15} {search_spaces.load(name).question}")
    return 0


if __name__ == "__main__":
    leave(main())
