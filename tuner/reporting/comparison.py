"""A comparison as a person reads it, text that fits 80 columns, and as a program does: JSON, CSV or Parquet."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainable.errors import InputError
from trainable.objectives import COSTS
from tuner import results
from tuner.analysis.importance import MIN_TRIALS
from tuner.analysis.leaderboard import RUN_COLUMNS, TRIAL_COLUMNS, Comparison, compare, with_rates
from tuner.analysis.text import cost, plural
from tuner.analysis.winner import rates_in_words
from tuner.cli.compare_options import TABLES, CompareOptions
from tuner.results.naming import named_run
from tuner.results.store import Store

_FILE_WIDTH = 120


def show(options: CompareOptions) -> int:
    """Read the runs, compare them and write the comparison as the options say; returns the exit code."""
    store = Store.at(options.results)
    wanted = list(dict.fromkeys(named_run(store, run) for run in options.runs)) or None
    runs = results.runs(store, runs=wanted, columns=RUN_COLUMNS)
    if runs.empty:
        raise InputError(
            f"there is no run in {store.uri!r}; valid is a folder that python -m tuner.run has written results to. "
            "Change --results."
        )
    comparison = _with_rates(store, compare(runs, results.trials(store, runs=wanted, columns=TRIAL_COLUMNS)))
    try:
        if options.json or options.csv or options.parquet:
            _write(_encoded(comparison, options, store.uri), options.to)
        else:
            print_comparison(_console(), comparison, store.uri, options.top)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, for example head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _with_rates(store: Store, comparison: Comparison) -> Comparison:
    """Of each run only its winner's scores are of use; files of that number are read of the others, too."""
    winners = comparison.leaderboard.dropna(subset="threshold_winner").dropna(subset="trial")
    names, numbers = list(winners.run), [int(number) for number in winners.trial.unique()]
    wanted = ["trial", "score", "pair_label"]
    return with_rates(comparison, results.scores(store, runs=names, columns=wanted, trials=numbers))


def _console() -> Console:
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}  # names are what they are
    console = Console(**plain)
    given = console.is_terminal or "COLUMNS" in os.environ
    return console if given else Console(**plain, width=_FILE_WIDTH)


# For programs


def _encoded(comparison: Comparison, options: CompareOptions, root: str) -> bytes:
    if options.json:
        return as_json(comparison, root).encode()
    table = comparison.tables()[options.table or TABLES[0]]
    if options.parquet:
        file = io.BytesIO()
        table.to_parquet(file, index=False)
        return file.getvalue()
    joined = {name: table[name].map(" ".join) for name in ("spaces", "runs") if name in table}
    return table.assign(**joined).to_csv(index=False).encode()


def as_json(comparison: Comparison, root: str) -> str:
    """All groups, each with its tables as lists of rows; what is missing is null, times are ISO 8601."""
    groups = [
        names | {name: _records(table.drop(columns=[*names])) for name, table in part.tables().items()}
        for names, part in comparison.groups()
    ]
    return json.dumps({"results": root, "groups": groups}, indent=2, ensure_ascii=False) + "\n"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", date_format="iso", double_precision=15))
    return rows


def _write(content: bytes, to: str | None) -> None:
    if to is None:
        sys.stdout.buffer.write(content)
        return
    try:
        Path(to).expanduser().write_bytes(content)
    except OSError as error:
        raise InputError(
            f"--to {to!r} cannot be written: {error.strerror}; valid is a file that you may write."
        ) from error


# For people


def print_comparison(console: Console, comparison: Comparison, root: str, top: int) -> None:
    """Group by group: the leaderboard, what each parameter does, what accuracy costs."""
    groups = list(comparison.groups())
    board = comparison.leaderboard
    console.print(f"{plural(len(board), 'run')}, {plural(int(board.trials.sum()), 'trial')} in {root}", soft_wrap=True)
    if len(groups) > 1:
        console.print(
            f"{len(groups)} groups: runs on other data or splits, or ranked by another metric, are not compared."
        )
    for names, part in groups:
        fingerprint = " (" + "-".join(part[:8] for part in names["data_fingerprint"].split("-")) + ")"
        console.print()
        console.rule(Text(f"{names['data']}{fingerprint}, ranked by {names['metric']}", style="bold"), align="left")
        _print_leaderboard(console, part.leaderboard, names["metric"], top)
        for _, effects in part.effects.groupby("comparison"):
            _print_effects(console, effects)
        if (part.effects.trials >= MIN_TRIALS).any():
            _note(
                console,
                "importance: the share of the trials' order that the parameter explains alone, 0 to 1. best: where the best "
                "fifth of the trials lies, and how many of the trials there are of that fifth.",
            )
        for _, prices in part.prices.groupby(["hostname", "device", "cost"], dropna=False, sort=False):
            _print_prices(console, prices, names["metric"], top)


def _print_leaderboard(console: Console, board: pd.DataFrame, metric: str, top: int) -> None:
    console.print()
    console.print(_verdict(board))
    table = _table("", ("place", "run and its winner", metric, "on test pairs"), right=())
    for row in _rows(board.head(top)):
        name = Text(f"{row.run}", style="bold" if row.rank_low == 1 else "")
        state = "" if row.state == "finished" else f", {row.state}"
        winner = "" if pd.isna(row.trial) else f"\ntrial {int(row.trial)}: {row.configuration}"
        name.append(
            f"\n{row.backbone}, {_trials(row)}{state}{winner}{_rates(row)}\n{row.headline}", style="not bold dim"
        )
        table.add_row(_place(row), name, _number(row.objective, row.objective_low, row.objective_high), _tested(row))
    console.print(table)
    more = f"… and {plural(len(board) - top, 'more run')}, with --top {len(board)}. " if len(board) > top else ""
    _note(
        console,
        f"{more}place: the best and the worst that noise could make it. Below the numbers: 95 % intervals. The best of many "
        "trials looks better on validation pairs than it is; on test pairs nothing was chosen. default: the same run's "
        "default configuration, and what the winner gains over it. TAR, FAR: the shares of positive and of negative validation "
        "pairs that are accepted, at the threshold and, where FAR is a round number, at the best one for that.",
    )


def _verdict(board: pd.DataFrame) -> Text:
    """Which configuration leads, how sure that is, and what its run says to do."""
    ranked = board[board.objective.notna()]
    if ranked.empty:
        return Text("No trial of these runs can win.", style="red")
    first, rivals = ranked.iloc[0], int((ranked.rank_low == 1).sum()) - 1
    sure = "better than all other runs" if rivals == 0 else f"not told apart from {plural(rivals, 'other run')}"
    lead = Text.assemble(("best: ", "bold"), (first.configuration, "bold green"))
    if len(ranked) > 1:
        lead.append(f"  ({sure})")
    expected = f"\n{first.expectation}" if first.expectation else ""
    return lead.append(f"\nwhat to do: {first.headline} {first.why}{expected}")


def _rates(row: Any) -> str:
    """What the winner's threshold is for and does; nothing of a comparison without scores."""
    if pd.isna(getattr(row, "true_accept_rate", None)):
        return ""
    return "\n" + rates_in_words(row.threshold_for, row.threshold_winner, row._asdict())


def _tested(row: Any) -> Text:
    """The winner on test pairs, and below it the default with the winner's gain over it."""
    text = _number(row.test_accuracy_winner, row.test_accuracy_winner_low, row.test_accuracy_winner_high)
    if not pd.isna(row.test_accuracy_default):
        gain = f"{row.test_difference_low:+.3f} to {row.test_difference_high:+.3f}"
        text.append(f"\ndefault {row.test_accuracy_default:.3f}\n{gain}", style="dim")
    return text


def _print_effects(console: Console, effects: pd.DataFrame) -> None:
    first: Any = effects.iloc[0]
    few = effects.trials < MIN_TRIALS
    if few.all():
        console.print(f"\n{_too_few(effects)}")
        return
    title = f"What each parameter does: {', '.join(first.spaces)}, {first.backbone}, {plural(len(first.runs), 'run')}"
    table = _table(title, ("parameter", "importance", "what is seen", "best from … to", "trials"), right=(4,))
    for row in _rows(effects[~few]):
        seen = Text(row.direction, style="green" if row.certain else "dim")
        if row.note:
            seen.append(f"\n{row.note}", style="not bold dim")
        ranged = row.certain and not pd.isna(row.best_low)
        best = f"{row.best_low:.3g} to {row.best_high:.3g}\n{row.best_share:.0%} of those there" if ranged else "-"
        importance = Text(f"{row.importance:.2f}").append(
            f"\n{row.importance_low:.2f} to {row.importance_high:.2f}", "dim"
        )
        table.add_row(row.parameter, importance, seen, best, str(row.trials))
    console.print()
    console.print(table)
    if few.any():
        console.print(_too_few(effects[few]))


def _too_few(effects: pd.DataFrame) -> str:
    """A sentence on parameters that trials are too few for."""
    what = f"{', '.join(effects.parameter)} {'do' if len(effects) > 1 else 'does'}"
    return f"Fewer than {MIN_TRIALS} trials, too few to tell what {what}."


def _print_prices(console: Console, prices: pd.DataFrame, metric: str, top: int) -> None:
    first: Any = prices.iloc[0]
    title = f"What {metric} costs, in {COSTS[first.cost].meaning}, on {first.hostname} ({first.device})"
    table = _table(title, (first.cost, metric, "gain", "for what"), right=(0,))
    for row in _rows(prices.head(top)):
        sure = "" if row.gain_certain else "\nwithin noise"
        gain = "" if pd.isna(row.gain) else Text(f"{row.gain:+.3f}").append(sure, style="dim")
        what = Text(row.configuration).append(f"\n{row.backbone}, trial {row.trial} of {row.run}", style="dim")
        table.add_row(cost(row.cost, row.price), _number(row.objective, row.objective_low, row.objective_high), gain, what)
    console.print()
    console.print(table)
    more = f"… and {len(prices) - top} more, with --top {len(prices)}. " if len(prices) > top else ""
    _note(
        console,
        f"{more}What is not listed is beaten in both. gain: over the last price that surely bought something.",
    )


def _note(console: Console, text: str) -> None:
    console.print(text, style="dim")


def _table(title: str, columns: tuple[str, ...], right: tuple[int, ...]) -> Table:
    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )
    for place, column in enumerate(columns):
        whole = column == "parameter"  # a name is not broken
        table.add_column(column, justify="right" if place in right else "left", overflow="fold", no_wrap=whole)
    return table


def _number(value: float, low: float, high: float) -> Text:
    if pd.isna(value):
        return Text("-")
    interval = "" if pd.isna(low) else f"\n{low:.3f} to {high:.3f}"
    return Text(f"{value:.3f}").append(interval, style="dim")


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    """Its rows, each with the columns as attributes."""
    return iter(table.itertuples())


def _place(row: Any) -> str:
    if pd.isna(row.rank_low):
        return "-"
    low, high = int(row.rank_low), int(row.rank_high)
    return f"{low}" if low == high else f"{low} to {high}"


def _trials(row: Any) -> str:
    parts = [f"{count} {name}" for name, count in (("sick", row.sick), ("failed", row.failed)) if count]
    return plural(row.trials, "trial") + (f" ({', '.join(parts)})" if parts else "")
