"""How a search ends in the terminal: winner beside default on test pairs, is it healthy, what went wrong and where."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainable.diagnosis.remedies import REMEDIES
from tuner.analysis.health import health
from tuner.analysis.symptoms import Symptom, symptoms_of
from tuner.analysis.winner import Comparison, TestResult
from tuner.results.trial_record import TrialRecord

_MAX_LISTED = 6


def print_symptoms(console: Console, records: Sequence[TrialRecord]) -> None:
    """The table, or nothing where no trial has a symptom."""
    found = symptoms_of(records)
    if not found:
        return
    title = "What went wrong in this search, and where in the space"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("symptom", "trials", "where", "remedy"):
        table.add_column(column, overflow="fold")
    for symptom in found:
        remedy = REMEDIES[symptom.name][1] if symptom.name in REMEDIES else ""
        table.add_row(symptom.name, _trials(symptom), escape(symptom.where), escape(remedy))
    console.print()
    console.print(table)


def _trials(symptom: Symptom) -> str:
    listed = ", ".join(map(str, symptom.trials[:_MAX_LISTED]))
    more = f" and {len(symptom.trials) - _MAX_LISTED} more" if len(symptom.trials) > _MAX_LISTED else ""
    return f"{len(symptom.trials)}: {listed}{more}" + (f"; {symptom.ended} ended by it" if symptom.ended else "")


def print_verdict(
    console: Console, comparison: Comparison, winner: TrialRecord, default: TrialRecord, searched: tuple[str, ...]
) -> None:
    """Winner beside default, on test pairs; then the winner's four lines."""
    table = Table(
        title="On test pairs, looked at once", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for name in ("", "threshold", "test accuracy", "95 % interval", "test AUC", "95 % interval"):
        table.add_column(name, justify="left" if not name else "right")
    rows = [
        ("winner", comparison.winner, "searched" if "threshold" in searched else "solved"),
        ("default", comparison.default, _source(default)),
        ("default, threshold solved", comparison.fair_default, "solved"),
    ]
    for name, result, source in rows:
        if name.endswith("solved") and comparison.fair_default.threshold == comparison.default.threshold:
            continue
        table.add_row(name, *_result_cells(result, source))
    console.print()
    for name, record in (("winner", winner), ("default", default)):
        console.print(f"[bold]{name:8}[/bold] {_configuration(record, searched)}", soft_wrap=True)
    console.print()
    console.print(table)
    if winner.number == default.number:
        console.print("The default configuration is the winner: no other trial was better on validation pairs.")
        solving = (
            f"{comparison.difference:+.3f} in accuracy, 95 % interval {_range(comparison.difference_interval, '+')}"
        )
        console.print(f"what solving its threshold changes: {solving}")
    else:
        console.print(
            f"winner − default: {_signed(comparison.difference, comparison.difference_interval)}"
            f"   {_meaning(comparison.difference_interval)}"
        )
    if comparison.fair_default.threshold != comparison.default.threshold and winner.number != default.number:
        interval = comparison.fair_difference_interval
        console.print(
            f"winner − default with a solved threshold: {_signed(comparison.fair_difference, interval)}   {_meaning(interval)}"
        )
    console.print(
        f"[dim]{comparison.pairs} test pairs of {comparison.identities} identities that no trial saw; thresholds fixed on "
        "validation pairs; intervals by bootstrap over identities[/dim]"
    )
    _print_health(console, winner, comparison.winner.threshold, "threshold" in searched)


def print_alone(console: Console, result: TestResult, winner: TrialRecord) -> None:
    """The winner on test pairs where there is no default to compare it with; then its four lines."""
    console.print(
        f"winner on test pairs, trial {winner.number}: accuracy {result.accuracy:.3f}, 95 % interval "
        f"{_range(result.accuracy_interval)}; AUC {result.auc:.3f}, 95 % interval {_range(result.auc_interval)}"
    )
    _print_health(console, winner, result.threshold, "threshold" in winner.searched)


def _print_health(console: Console, winner: TrialRecord, threshold: float, threshold_searched: bool) -> None:
    console.print(
        f"\n[bold]Is the winner healthy?[/bold]  trial {winner.number}, losses from its first to its last epoch, the rest at "
        f"its best, {winner.best_epoch} of {len(winner.epochs)}"
    )
    marks = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]?[/yellow]"}
    for check in health(winner, threshold, threshold_searched):
        unknown = "   one epoch cannot tell" if check.holds is None else ""
        console.print(f"  {marks[check.holds]} {check.text:43} {check.numbers}{unknown}")


def _source(record: TrialRecord) -> str:
    if record.config.threshold is None:
        return "solved"
    return "searched" if "threshold" in record.searched else "fixed"


def _configuration(record: TrialRecord, searched: tuple[str, ...]) -> str:
    """The trial's number, and what it had of the searched parameters and for a threshold."""
    absent = {"trainable_blocks": "all", "threshold": "solved"}
    names = searched if "threshold" in searched else (*searched, "threshold")
    values = {name: getattr(record.config, name) for name in names}
    texts = [
        f"{name} {absent.get(name) if value is None else f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in values.items()
    ]
    return f"trial {record.number}: " + ", ".join(texts)


def _result_cells(result: TestResult, source: str) -> list[str]:
    return [
        f"{result.threshold:.3f} {source}",
        f"{result.accuracy:.3f}",
        _range(result.accuracy_interval),
        f"{result.auc:.3f}",
        _range(result.auc_interval),
    ]


def _range(interval: tuple[float, float], sign: str = "") -> str:
    return f"{interval[0]:{sign}.3f} to {interval[1]:{sign}.3f}"


def _signed(difference: float, interval: tuple[float, float]) -> str:
    return f"{difference:+.3f} in accuracy, 95 % interval {_range(interval, '+')}"


def _meaning(interval: tuple[float, float]) -> str:
    if interval[0] > 0:
        return "the winner is better"
    return "the winner is worse" if interval[1] < 0 else "not told apart by these test pairs"
