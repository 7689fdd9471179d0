"""python -m tuner.run: the search. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, leave, quick_imports
from tuner.cli.run_options import RunOptions
from tuner.cluster.connection import Cluster, connect


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
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        cluster = _started_meanwhile(options) if arguments is None else None
        from tuner.search.session import run_session

    command = ["python", "-m", "tuner.run", *(sys.argv[1:] if arguments is None else arguments)]
    return run_session(options, command, started, cluster)


def _started_meanwhile(options: RunOptions) -> Cluster | None:
    """A Ray of our own, started while another thread imports PyTorch: neither keeps two cores busy.

    None where Ray would start for nothing, or another one is meant: a cluster's address, a run to go on with, a file that
    is not there.
    """
    files = {options.data.data, options.model.weights} - {"turntable", "none", "pretrained"}
    if options.hardware.address or options.output.resume or not all(Path(f).expanduser().exists() for f in files):
        return None
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(
            import_module, "trainable.training.loop"
        )  # nothing of Ray: no import waits for one of the other
        cluster = connect(options.hardware)
        loading.result()
    return cluster


def _list_spaces() -> int:
    import search_spaces

    for name in search_spaces.names():
        print(f"{name:15} {search_spaces.load(name).question}")
    return 0


if __name__ == "__main__":
    leave(main())
