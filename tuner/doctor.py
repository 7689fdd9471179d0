"""python -m tuner.doctor: look before you train. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tuner import explain
from tuner.cli.doctor_options import DoctorOptions
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, leave, quick_imports


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    started = time.perf_counter()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if any(word.partition("=")[0] == "--log" for word in words):
        return explain.main(_explained(words))
    options = parse(DoctorOptions, words, prog="python -m tuner.doctor")
    options.check()
    if sys.stderr.isatty():
        print("loading PyTorch …", file=sys.stderr)
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        from tuner.examination.before_training import examine

    return examine(options, started)


def _explained(words: Sequence[str]) -> list[str]:
    """The same request for python -m tuner.explain, which this command answered before it was a verb: FILE for --log FILE."""
    return [word.removeprefix("--log=") for word in words if word != "--log"]


if __name__ == "__main__":
    leave(main())
