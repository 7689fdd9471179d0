"""python -m tuner.export: a trained model as a folder that needs nothing of this project."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.cli.parsing import parse
from tuner.cli.process import exit_code, leave, plain_warnings, quick_imports
from tuner.cli.stored_options import ExportOptions


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 not the search's scores, 2 a mistake in the input."""
    options = parse(ExportOptions, arguments, prog="python -m tuner.export")
    options.source.check()
    with quick_imports():  # here, so that --help and a mistyped option answer at once
        from tuner.stored.export import export

    with plain_warnings():
        return export(options)


if __name__ == "__main__":
    leave(main())
