"""What a benchmark prints: where and when it was measured, a table, and whether targets were met."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

from rich.console import Console
from rich.table import Table

_PACKAGES = ("torch", "timm", "ray", "optuna")
_WIDTH = 150


@dataclass(frozen=True)
class Target:
    """One number that must be reached."""

    what: str
    value: float
    wanted: float
    at_least: bool = True
    """False: `value` must be at most `wanted`."""
    binding: bool = True
    """False: printed for comparison only, as in a smoke run."""

    @property
    def met(self) -> bool:
        """Whether the number is on the right side; a missing one (NaN) is not."""
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted


def console() -> Console:
    """A terminal, or, where the output is a file, a console wide enough for the tables."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=_WIDTH)


def heading(title: str, to: Console, packages: Iterable[str] = _PACKAGES) -> None:
    """Date, machine and versions."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    load = os.getloadavg()[0]
    to.print(f"\n[bold]{title}[/bold]")
    to.print(
        f"{datetime.now():%Y-%m-%d %H:%M}, {os.cpu_count()} cores ({platform.machine()}), load {load:.1f} at the start"
    )
    to.print(f"Python {platform.python_version()}, {versions}")


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A plain table: the first two columns to the left, numbers to the right."""
    shown = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        shown.add_column(column, justify="left" if place < 2 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(str, row))
    return shown


def verdict(targets: Iterable[Target], to: Console) -> int:
    """Print each target with what was reached; returns the exit code, 1 if a binding one was missed."""
    code = 0
    for target in targets:
        relation = ">=" if target.at_least else "<="
        mark = "met" if target.met else "MISSED" if target.binding else "not asked of a smoke run"
        to.print(f"{target.what}: {target.value:.3g}, wanted {relation} {target.wanted:g}: {mark}")
        code = code if target.met or not target.binding else 1
    return code
