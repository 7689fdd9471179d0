"""The doctor's look at a user's own training log: what its columns were taken for, what is wrong, what cannot be told."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainable.findings import FAIL, OK, WARN, worst
from tuner.cli.console import make_console
from tuner.cli.explain_options import ExplainOptions
from tuner.examination.log_columns import TrainingLog, read_log
from tuner.examination.log_findings import Known, explain, not_judged
from tuner.reporting.findings import as_json, print_findings, print_verdict

SAYINGS = {
    FAIL: "sick: going on like this is time lost",
    WARN: "nothing fatal, but look at it",
    OK: "nothing wrong in what the log tells",
}


def examine_log(options: ExplainOptions, started: float) -> int:
    """Explain the log; returns the exit code: 1 where something is fatal. Raises InputError where there is no log."""
    log = read_log(Path(options.log).expanduser(), options.column)
    known = Known.of(log, options.temperature, options.batch_size, options.base_temperature)
    findings, unknown = explain(log, known), not_judged(log, known)
    seconds = time.perf_counter() - started
    if options.json:
        print(as_json(findings, seconds, columns=log.columns, guessed=sorted(log.guessed), not_judged=dict(unknown)))
    else:
        console = make_console()
        _introduce(console, log, known)
        print_findings(console, "Symptoms", findings)
        _print_unknown(console, unknown)
        print_verdict(console, findings, seconds, SAYINGS)
    return int(worst(finding.verdict for finding in findings) == FAIL)


def _introduce(console: Console, log: TrainingLog, known: Known) -> None:
    """What was read, and as what."""
    taken = [_taken(log, name) for name in log.columns]
    given = [f"{n} {v:g}" for n, v in (("temperature", known.temperature), ("batch size", known.batch_size)) if v]
    lines = {
        "log": f"{log.source}, {log.rows} rows"
        + (f" averaged over {len(log.epochs)} stretches" if log.stretched else ""),
        "read as": "; ".join(taken),
        "not read": ", ".join(log.unused),
        "known": ", ".join(given) or "neither temperature nor batch size",
        "note": "; ".join(log.notes),
    }
    _print_lines(console, [(name, text) for name, text in lines.items() if text])


def _taken(log: TrainingLog, name: str) -> str:
    """What a column was taken for, and whether that is a guess."""
    column = log.columns[name]
    return name if column == name else f"{name} = {column}" + (" (guessed)" if name in log.guessed else "")


def _print_unknown(console: Console, unknown: list[tuple[str, str]]) -> None:
    if unknown:
        console.print(Text("Not judged, for want of", style="bold"))
        _print_lines(console, unknown)


def _print_lines(console: Console, lines: list[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(name), Text(text))
    console.print(table)
    console.print()
