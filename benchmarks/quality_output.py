"""What `search_quality` prints: the tables it replayed, what winners are worth, and how many epochs each method takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import quality_figures as figures
from benchmarks import report
from benchmarks.quality_peers import REMOTE, REQUIREMENTS
from benchmarks.quality_problems import validation_sizes
from benchmarks.quality_speed import SHARE, Speeds, median_over
from benchmarks.quality_tables import Table


def print_tables(tables: list[Table], console: Console) -> None:
    """What was replayed, and how hard it is."""
    shown = []
    for table in tables:
        count, goal = len(table.configurations), SHARE * table.best_known_auc
        final = [table.pool_auc[at] for at in table.last_epochs() if table.sick(at) is None]
        default = np.mean([table.pool_auc[at] for at in table.last_epochs() if at.configuration == 0])
        reach = np.mean([value >= goal for value in final])
        identities = " or ".join(map(str, validation_sizes(table.problem).values()))
        size = f"{count} × {table.seeds} × {table.problem.epochs} epochs"
        worth = f"{table.best_known_auc:.4f}", f"{default:.4f}", f"{100 * reach:.1f} %"
        shown.append((table.problem.name, size, len(table.labels), identities, *worth))
    columns: tuple[str, ...] = (
        "problem",
        "configurations × seeds",
        "pool pairs",
        "validation identities",
        "best known AUC",
    )
    columns += ("default's", "reach 99 %")
    console.print(report.table(columns, shown))
    console.print()


def print_choices(rows: pd.DataFrame, console: Console) -> None:
    """What the winners are worth, by rule: over all problems, then the product's own on each."""
    names = ("lost", "lost_at_least", "over_accuracy", "over_auc", "worse", "better", "gain", "average")
    columns: tuple[str, ...] = (
        "choice",
        "searches",
        "unseen acc.",
        "unseen AUC",
        "lost",
        "at least",
        "over acc.",
        "over AUC",
    )
    columns += ("worse", "better", "gain", "average's over")

    def line(name: str, part: pd.DataFrame) -> tuple[str, ...]:
        by_problem = part.groupby("problem")[["accuracy", "auc", *names]].mean().mean()
        both = map(figures.mean_and_margin, (part.lost, part.over_accuracy))
        lost, over = (f"{mean:+.4f} ± {margin:.4f}" for mean, margin in both)
        return (
            *(name, str(len(part)), f"{by_problem.accuracy:.4f}", f"{by_problem.auc:.4f}", lost),
            *(f"{by_problem.lost_at_least:+.4f}", over),
            *(f"{by_problem.over_auc:+.4f}", f"{100 * by_problem.worse:.0f} %", f"{100 * by_problem.better:.0f} %"),
            *(f"{by_problem.gain:+.4f}", f"{by_problem.average:+.4f}"),
        )

    rules = [figures.SYSTEM, *figures.RULES, figures.BEST]
    shown = [line(rule, rows[rows.rule == rule]) for rule in rules]
    console.print(report.table(columns, shown))
    for rule in (figures.SYSTEM, "AUC at the last epoch"):
        own = rows[rows.rule == rule]
        console.print(f"\n{rule}, by problem")
        console.print(report.table(columns, [line(str(name), part) for name, part in own.groupby("problem")]))
    console.print(
        "lost: unseen accuracy less than that of the truly best tried, which was partly lucky on those pairs; at least: than "
        "that of the best\non half of them, on the other half. over: promised less unseen, less what the validation pairs are "
        "easier by. worse, better,\ngain: than the default with a solved threshold, on unseen pairs. average's over: "
        f"of completed trials, which\nnobody has chosen. Validation pairs were easier by {rows.easier.mean():+.4f} on average."
    )
    console.print()


def print_speeds(speeds: Speeds, max_epochs: int, console: Console) -> None:
    """Median epochs by method and problem."""
    problems = list(next(iter(speeds.values())))
    shown = []
    for name, found in sorted(speeds.items(), key=lambda item: median_over(item[1])):
        medians = [f"{np.median(found[p]):.0f}" for p in problems]
        unreached = np.mean([np.asarray(found[p]) >= max_epochs for p in problems])
        count = "/".join(sorted({str(len(epochs)) for epochs in found.values()}))
        shown.append((name, count, *medians, f"{median_over(found):.1f}", f"{100 * unreached:.0f} %"))
    console.print(f"epochs until {100 * SHARE:.0f} % of the best known AUC, medians; at most {max_epochs}")
    console.print(report.table(("method", "searches", *problems, "mean", "not reached"), shown))


def print_missing(missing: list[str], console: Console) -> None:
    """Which peers had no environment, and how to make one."""
    console.print(f"peers not installed: {', '.join(missing) or 'none'}")
    for folder in dict.fromkeys(REMOTE[name][0] for name in missing):
        console.print(
            f"  python -m venv ENVIRONMENTS/{folder} && ENVIRONMENTS/{folder}/bin/pip install {REQUIREMENTS[folder]!r}",
            markup=False,
            soft_wrap=True,
        )
    console.print()
