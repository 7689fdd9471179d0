"""python -m tuner.run: the search. This module turns mistakes into messages and exit codes."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from trainable.errors import InputError
from tuner.cli.console import make_console
from tuner.cli.named_options import read_config, write_config
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, leave, quick_imports
from tuner.cli.run_options import EMBEDDED, RunOptions
from tuner.cluster.address import check_address
from tuner.cluster.connection import Cluster, connect

if TYPE_CHECKING:
    from tuner.search.plan import Plan


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code.

    0 done, 1 no trial can win, 2 a mistake in the input, 3 Ray cannot be started here, 4 the results cannot be written any
    more (a full disk), 130 interrupted.
    """
    started = time.time()
    options = _options(arguments)
    if options.list_spaces:
        return _list_spaces()
    _check_at_once(options)
    if sys.stderr.isatty():
        print("loading PyTorch and Ray …", file=sys.stderr)
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        begun = _begun(options) if arguments is None else None
        from tuner.cli.full_disk import ends_in_order
        from tuner.search.session import run_session

    command = ["python", "-m", "tuner.run", *(sys.argv[1:] if arguments is None else arguments)]
    with ends_in_order(options.output.results, shlex.join(command)):
        return run_session(options, command, started, begun).code


def _options(arguments: Sequence[str] | None) -> RunOptions:
    """What the command line says, over what its file of options says; all of it kept in a file where that is asked for."""
    options = parse(RunOptions, arguments, prog="python -m tuner.run")
    if options.config is not None:
        options = parse(RunOptions, arguments, prog="python -m tuner.run", default=read_config(options.config))
    options.check()
    if options.save_config is not None:
        write_config(options, options.save_config)
    return replace(options, config=None, save_config=None)


def _check_at_once(options: RunOptions) -> None:
    """What can be known before anything is imported that takes seconds. Raises InputError."""
    if not options.output.resume:  # its space is the one that it began with
        from tuner.inputs.space import load_space

        load_space(options.space, options.search.also)
    check_address(options.hardware.address)
    if options.data.data != EMBEDDED and not Path(options.data.data).expanduser().exists():
        from tuner.inputs.dataset import given_path

        given_path(options.data.data)


def _begun(options: RunOptions) -> tuple[Plan, Cluster] | None:
    """The plan, and a Ray of our own that started meanwhile: neither keeps two cores busy.

    A mistake that the plan finds ends the process at once, however long Ray may take. None where another Ray is meant, or
    a run to go on with.

    The plan is made in another thread, and Ray started in this one: its processes end when the thread that started them
    does. What both import has nothing in common that could have one wait for the other.
    """
    if options.hardware.address or options.output.resume is not None:
        return None
    answers: SimpleQueue[Plan | BaseException] = SimpleQueue()

    def plan() -> None:
        try:
            answers.put(import_module("tuner.search.plan").prepare(options, make_console()))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            sys.stdout.flush()
            os._exit(2)
        except BaseException as error:
            answers.put(error)

    Thread(target=plan, daemon=True).start()
    cluster = connect(options.hardware, options.heads_only)
    made = answers.get()
    if isinstance(made, BaseException):
        raise made
    return made, cluster


def _list_spaces() -> int:
    import search_spaces

    for name in search_spaces.names():
        print(f"{name:15} {search_spaces.load(name).question}")
    return 0


if __name__ == "__main__":
    leave(main())
