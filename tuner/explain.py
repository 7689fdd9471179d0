"""python -m tuner.explain: what was wrong with a training that this system did not make, from its log."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tuner.cli.explain_options import ExplainOptions
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, leave


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 nothing fatal, 1 something fatal, 2 a mistake in the input."""
    started = time.perf_counter()
    options = parse(ExplainOptions, arguments, prog="python -m tuner.explain")
    options.check()
    from tuner.examination.log import examine_log  # here, so that --help and a mistyped option answer at once

    return examine_log(options, started)


if __name__ == "__main__":
    leave(main())
