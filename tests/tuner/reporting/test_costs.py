"""What accuracy costs in a run: the front on the page and in the terminal, and limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from tuner.reporting.costs import costs, print_costs
from tuner.results.one_run import WholeRun
from tuner.results.writer import RunTables

TRIALS = [(0.90, 5_000_000, 9.0), (0.93, 8_000_000, 12.0), (0.85, 1_000_000, 3.0), (0.84, 2_000_000, 2.0)]
"""Objective, parameters and seconds: the last one is beaten in parameters, not in seconds."""


def run_of(folder: Path, over: int | None = None, **row: Any) -> WholeRun:
    """A finished run of these trials, of which one may exceed a limit."""
    tables = RunTables(folder, "joint", "joint-1")
    for number, (objective, parameters, seconds) in enumerate(TRIALS):
        cells = {"trial": number, "state": "completed", "is_default": number == 0, "objective": objective}
        cells |= {"parameters": parameters, "train_s": seconds, "ranked_epoch": 1, "temperature": 0.1 * (1 + number)}
        cells["over_limits"] = ["parameters<=7e+06"] if number == over else []
        tables.append_trial(cells)
    tables.write_run({"state": "finished", "metric": "val_auc", "searched": ["temperature"], "trials_done": 4} | row)
    return WholeRun.read(str(folder), "joint-1")


def printed(run: WholeRun) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_costs(console, run)
    return console.file.getvalue()


def test_the_front_is_listed_the_cheapest_first(tmp_path: Path) -> None:
    """With every cost that was weighed; who is beaten in one cost and not in the other stays."""
    one = run_of(tmp_path / "one", objectives=["val_auc", "parameters"])
    found = costs(one)
    assert [trial for trial, _ in found["rows"]] == [2, 0, 1] and len(found["figures"]) == 1
    both = costs(run_of(tmp_path / "both", objectives=["val_auc", "parameters", "seconds"]))
    assert [trial for trial, _ in both["rows"]] == [2, 3, 0, 1] and len(both["figures"]) == 2
    lines = printed(one).splitlines()
    assert "What val_auc costs" in lines[1] and lines[3].split()[:3] == ["2", "1,000,000", "0.85"]
    assert lines[5].rstrip().endswith("winner")


def test_what_exceeds_a_limit_is_counted_and_left_out(tmp_path: Path) -> None:
    """It leads no more, either."""
    run = run_of(tmp_path, over=1, limits=["parameters<=7e+06"], objectives=["val_auc", "parameters"])
    assert run.leader == 0
    assert [trial for trial, _ in costs(run)["rows"]] == [2, 0]
    assert "1 trial exceeded parameters<=7e+06 and cannot win." in printed(run)


def test_a_run_that_weighed_nothing_says_nothing_in_the_terminal(tmp_path: Path) -> None:
    """Its page shows seconds."""
    run = run_of(tmp_path)
    assert printed(run) == ""
    assert [trial for trial, _ in costs(run)["rows"]] == [3, 2, 0, 1]
