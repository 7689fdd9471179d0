"""python -m tuner.doctor: look before you train. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tuner.command_line import exit_code, leave, parse
from tuner.doctor_options import DoctorOptions, LogOptions
from tuner.loading import quick_imports


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    started = time.perf_counter()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if any(word.partition("=")[0] == "--log" for word in words):
        return _explain_log(parse(LogOptions, words, prog="python -m tuner.doctor"), started)
    options = parse(DoctorOptions, words, prog="python -m tuner.doctor")
    options.check()
    if sys.stderr.isatty():
        print("loading PyTorch …", file=sys.stderr)
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        from tuner.examination.before_training import examine

    return examine(options, started)


def _explain_log(options: LogOptions, started: float) -> int:
    options.check()
    from tuner.examination.log import examine_log

    return examine_log(options, started)


if __name__ == "__main__":
    leave(main())
