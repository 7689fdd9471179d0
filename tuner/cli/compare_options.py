"""The comparison's command line as a dataclass: its docstrings are the help. Light on purpose, as `run_options` is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from trainable.errors import InputError
from tuner.cli.values import NONE_TOLD, check_choice, check_range

TABLES = ("leaderboard", "effects", "prices")


@dataclass(frozen=True)
class CompareOptions:
    """Compare runs: who leads, what each parameter does, what accuracy costs.

    Any runs will do, of different spaces, data or machines. Those on different data or splits, or ranked by another metric, are
    compared among themselves only. Reads the tables of --results, writes nothing there. Exit code 0, or 2 for a mistake
    in what was given.
    """

    runs: Annotated[tuple[str, ...], Positional, arg(metavar="[RUN …]")] = ()
    """Runs: their names or the start of them, a space (its latest run), or latest; none: all."""
    results: str = "results"
    """Folder or URI of the result tables."""
    top: int = 20
    """Most runs and most prices that the text shows of a group; the other formats have all."""
    json: bool = False
    """Write everything as JSON."""
    csv: bool = False
    """Write one table as CSV."""
    parquet: bool = False
    """Write one table as Parquet."""
    table: Annotated[str | None, NONE_TOLD] = None
    """Which table --csv and --parquet write: leaderboard (a row a run; none: this one), effects (a row a parameter), prices
    (a row a trial)."""
    to: Annotated[str | None, NONE_TOLD] = None
    """File for JSON, CSV or Parquet; none: the standard output."""

    def check(self) -> None:
        """Raise InputError for values that do not go together, or that no comparison can have."""
        if self.table is not None:
            check_choice("--table", self.table, TABLES)
        check_range("--top", self.top, 1)
        wanted = [name for name in ("json", "csv", "parquet") if getattr(self, name)]
        if len(wanted) > 1:
            given = " and ".join(f"--{name}" for name in wanted)
            raise InputError(f"got {given}; valid is one format at a time. Leave out all but one.")
        if self.table is not None and wanted not in (["csv"], ["parquet"]):
            raise InputError(
                f"--table is {self.table!r}; it is for --csv and --parquet, which write one table. Add one of them."
            )
        if self.to is not None and not wanted:
            raise InputError(f"--to is {self.to!r}, but the text goes to the terminal; add --json, --csv or --parquet.")
        if self.parquet and self.to is None and sys.stdout.isatty():
            raise InputError("--parquet would write binary data to a terminal; add --to FILE, or redirect the output.")
