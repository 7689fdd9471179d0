"""What accuracy costs in one run, and the trials that no other beats: for the page and the terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from trainable.objectives import COSTS
from tuner.analysis import text
from tuner.analysis.pareto import front
from tuner.reporting.figures.svg import Axis, Panel
from tuner.results.one_run import WholeRun

_MOST = 12
"""Rows in a terminal; the page has all."""


def costs_of(run: WholeRun) -> list[str]:
    """What the run weighed against its metric; seconds, where it weighed nothing."""
    return list((run.row["objectives"] or [])[1:]) or ["seconds"]


def front_of(run: WholeRun) -> pd.DataFrame:
    """The run's trials that no other beats in metric and costs together, the cheapest first."""
    rows = front(run.trials, metric=run.metric, costs=costs_of(run))
    return rows[rows.pareto]


def costs(run: WholeRun) -> dict[str, Any] | None:
    """The page's section: a figure for each cost, and the front as a table; None where no trial can win."""
    names, best = costs_of(run), front_of(run)
    if best.empty:
        return None
    head = ["trial", *names, run.metric, *(name for name in run.searched if name != "threshold")]
    rows = [
        (int(row["trial"]), [*_cells(row, names), *(_value(run, int(row["trial"]), name) for name in head[len(names) + 2 :])])
        for row in best.to_dict("records")
    ]
    limits = ", ".join(run.row["limits"] or [])
    over = int(run.trials.over_limits.map(lambda found: found is not None and len(found) > 0).sum())
    beyond = f" {text.plural(over, 'trial')} exceeded a limit ({limits}) and cannot win." if over else ""
    kept = f" Every trial kept the limits: {limits}." if limits and not over else ""
    weighed = " and ".join(COSTS[name].meaning for name in names)
    note = f"On the line, and in the table: what no other trial equals in {run.metric} at no more {weighed}.{beyond}{kept}"
    return {"figures": [_figure(run, name, best) for name in names], "head": head, "rows": rows, "text": note}


def print_costs(console: Console, run: WholeRun) -> None:
    """The front, where costs were weighed; how many trials exceeded a limit, where there are limits."""
    limits, over = run.row["limits"] or [], run.trials.over_limits.map(lambda found: found is not None and len(found) > 0)
    if run.row["objectives"]:
        names, best = costs_of(run), front_of(run)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head in ("trial", *names, run.metric):
            table.add_column(head, justify="right")
        table.add_column("configuration", overflow="fold")
        for row in best.head(_MOST).to_dict("records"):
            trial = int(row["trial"])
            mark = {run.leader: " winner", run.default: " default"}.get(trial, "")
            table.add_row(*_cells(row, names), text.configuration(_searched(run, trial)) + mark)
        console.print(f"\n[bold]What {run.metric} costs[/bold]: trials that no other beats in all of these")
        console.print(table)
        if len(best) > _MOST:
            console.print(f"[dim]… and {len(best) - _MOST} more, on the page[/dim]")
    if limits:
        console.print(f"{text.plural(int(over.sum()), 'trial')} exceeded {', '.join(limits)} and cannot win.", markup=False)


def _cells(row: dict[Any, Any], names: list[str]) -> list[str]:
    return [str(int(row["trial"])), *(text.cost(name, row[name]) for name in names), text.number(row["objective"])]


def _searched(run: WholeRun, trial: int) -> dict[str, Any]:
    return {name: value for name, value in run.searched_values(trial).items() if name != "threshold"}


def _value(run: WholeRun, trial: int, name: str) -> str:
    return text.number(run.value(trial, name)) if run.has(trial, name) else "–"


def _figure(run: WholeRun, cost: str, best: pd.DataFrame) -> Markup:
    """Every trial that can win, by its cost; those that nothing beats are joined."""
    rows = front(run.trials, metric=run.metric, costs=[cost]).set_index("trial")
    panel = Panel(
        f"{run.metric} by {COSTS[cost].meaning}",
        Axis.over(cost, rows[cost]),
        Axis.over(run.metric, rows.objective, log=False),
    )
    shown = best.sort_values(cost)
    panel.line(list(zip(shown[cost], shown.objective.astype(float), strict=True)), "winner")
    for trial in run.in_front_last():
        if trial in rows.index:
            panel.mark(rows[cost][trial], float(rows.objective[trial]), run.look(trial), trial)
    return panel.svg()
