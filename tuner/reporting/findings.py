"""Findings as a person reads them, a table with a verdict a line, and as a program does, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainable.findings import FAIL, OK, WARN, Finding, worst

_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}
_LINES = 6


def print_findings(console: Console, title: str, findings: Sequence[Finding]) -> None:
    """A table: verdict, what was looked at, what was found and, where it is no good, what to do."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in findings:
        text = Text(_shortened(finding.found))
        if finding.advice:
            text.append(f"\n→ {finding.advice}", style="bold")
        table.add_row(Text(finding.verdict, style=_STYLES[finding.verdict]), finding.check, text)
    console.print(table)
    console.print()


SAYINGS = {
    FAIL: "fatal: nothing can come of a training before this is mended",
    WARN: "nothing fatal, but look at the warnings",
    OK: "all is well",
}


def print_verdict(
    console: Console, findings: Sequence[Finding], seconds: float, sayings: dict[str, str] = SAYINGS
) -> None:
    """One line: what the worst verdict means, and how many there are of each."""
    count = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in _STYLES}
    verdict = worst(finding.verdict for finding in findings)
    counts = ", ".join(f"{number} {name}" for name, number in count.items() if number)
    console.print(Text(f"{sayings[verdict]}  ({counts}; {seconds:.0f} s)", style=_STYLES[verdict]))


def as_json(findings: Sequence[Finding], seconds: float, **more: Any) -> str:
    """The same: the worst verdict, all findings, and what else is given."""
    plain = {
        "verdict": worst(finding.verdict for finding in findings),
        "seconds": round(seconds, 1),
        "findings": [f.as_dict() for f in findings],
    }
    return json.dumps(plain | more, indent=2, ensure_ascii=False)


def _shortened(text: str) -> str:
    """The first lines of a long list; all of it is in the JSON."""
    lines = text.split("\n")
    more = [f"  … ({len(lines) - _LINES} more lines with --json)"] if len(lines) > _LINES else []
    return "\n".join(lines[:_LINES] + more)
