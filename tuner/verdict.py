"""How a search ends: winner beside default on the test pairs, once, and four lines that say whether training is healthy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from trainable import verification
from trainable.pairs import PairData
from tuner.trial_record import TrialRecord


@dataclass(frozen=True)
class TestResult:
    """One trial's accuracy and AUC on the test pairs, at a threshold fixed on validation, with 95 % intervals."""

    threshold: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    auc: float
    auc_interval: tuple[float, float]
    correct: np.ndarray
    """(n_test,) bool."""


@dataclass(frozen=True)
class Comparison:
    """Winner and default on the same test pairs. fair_default: the default's model at a threshold solved for it."""

    winner: TestResult
    default: TestResult
    fair_default: TestResult
    difference: float
    difference_interval: tuple[float, float]
    fair_difference: float
    fair_difference_interval: tuple[float, float]
    pairs: int
    identities: int


class TestPairs:
    """The test pairs, with identity resamples that every result is compared on."""

    __test__ = False  # not a test, whatever pytest reads into the name

    def __init__(self, data: PairData) -> None:
        rows = data.rows("test")
        front, angle = data.front_identity[rows], data.angle_identity[rows]
        self.labels = np.asarray(data.pair_label)[rows]
        self.identities = len(np.unique(np.concatenate([front, angle])))
        self._resamples = verification.identity_resamples(front, angle)

    def result(self, scores: np.ndarray, threshold: float) -> TestResult:
        """scores: (n_test,); threshold: fixed on validation pairs, never on these."""
        correct = verification.correct_at(scores, self.labels, threshold)
        return TestResult(
            threshold=threshold,
            accuracy=float(correct.mean()),
            accuracy_interval=verification.interval(correct, self._resamples),
            auc=verification.verify(scores, self.labels).auc,
            auc_interval=verification.auc_interval(scores, self.labels, self._resamples),
            correct=correct,
        )

    def compare(self, winner: TestResult, default: TestResult, fair_default: TestResult) -> Comparison:
        """All three on the same resamples."""
        return Comparison(
            winner,
            default,
            fair_default,
            winner.accuracy - default.accuracy,
            verification.difference_interval(winner.correct, default.correct, self._resamples),
            winner.accuracy - fair_default.accuracy,
            verification.difference_interval(winner.correct, fair_default.correct, self._resamples),
            len(self.labels),
            self.identities,
        )


TestResult.__test__ = False


def threshold_for(own: float, solve: bool, scores: np.ndarray, labels: np.ndarray) -> float:
    """The threshold to use a trial's model at: its own, or, where nothing chose that, solved on all validation pairs.

    scores, labels: (n_val,) of its best epoch.
    """
    return verification.best_threshold(scores, labels).value if solve else own


def run_columns(comparison: Comparison, winner: TrialRecord) -> dict[str, Any]:
    """The comparison as columns of the `runs` table."""
    solved = comparison.fair_default
    return (
        winner_columns(comparison.winner, winner, comparison.identities)
        | _result_columns("default", comparison.default)
        | {"threshold_default_solved": solved.threshold}
        | _with_interval("test_accuracy_default_solved", solved.accuracy, solved.accuracy_interval)
        | _with_interval("test_difference", comparison.difference, comparison.difference_interval)
        | _with_interval("test_difference_solved", comparison.fair_difference, comparison.fair_difference_interval)
    )


def winner_columns(result: TestResult, winner: TrialRecord, identities: int) -> dict[str, Any]:
    """The winner alone as columns of the `runs` table. identities: how many the test pairs show."""
    return {"winner_trial": winner.number, "test_identities": identities} | _result_columns("winner", result)


def _result_columns(name: str, result: TestResult) -> dict[str, Any]:
    return (
        {f"threshold_{name}": result.threshold}
        | _with_interval(f"test_accuracy_{name}", result.accuracy, result.accuracy_interval)
        | _with_interval(f"test_auc_{name}", result.auc, result.auc_interval)
    )


def _with_interval(column: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {column: value, f"{column}_low": interval[0], f"{column}_high": interval[1]}


@dataclass(frozen=True)
class Check:
    """One line of the verdict on a trial: what should hold, whether it does (None: cannot be told), the numbers."""

    text: str
    holds: bool | None
    numbers: str


def health(record: TrialRecord, threshold: float, threshold_searched: bool = False) -> list[Check]:
    """The four lines that a repaired, healthy run satisfies (the broken run fails all), from the trial's epochs.

    threshold: the one used on test pairs. Accuracy is at the trial's threshold where that is searched, else at the solved.
    """
    first, last, best = record.epochs[min(record.epochs)], record.last, record.best
    name = "val_accuracy" if threshold_searched else "val_accuracy_solved"
    rising = (first[name], best[name])
    positive, negative = best["positive_similarity"], best["negative_similarity"]
    apart = positive > threshold > negative
    between = "between them" if apart else "not between them"
    several = len(record.epochs) > 1
    return [
        _falling(
            "contrastive loss positive and falling", "contrastive_loss", first, last, several, first["chance_loss"]
        ),
        _falling("consistency loss above 0 and falling", "consistency_loss", first, last, several),
        Check(
            "validation accuracy rising and above 0.5",
            (rising[1] > 0.5 and rising[1] > rising[0]) if several else (None if rising[1] > 0.5 else False),
            f"{rising[0]:.3f} → {rising[1]:.3f}" + ("" if threshold_searched else " (threshold solved)"),
        ),
        Check(
            "positive similarity high and negative low",
            apart,
            f"positive {positive:.3f}, negative {negative:.3f}, threshold {threshold:.3f} {between}",
        ),
    ]


def _falling(
    text: str, name: str, first: dict[str, Any], last: dict[str, Any], several: bool, chance: float | None = None
) -> Check:
    """A loss above 0 in the first and the last epoch, and lower in the last; one epoch cannot tell."""
    positive = min(first[name], last[name]) > 0
    holds = (positive and last[name] < first[name]) if several else (None if positive else False)
    return Check(text, holds, f"{first[name]:.4f} → {last[name]:.4f}" + (f" (chance {chance:.3f})" if chance else ""))


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
    if record.values["threshold"] is None:
        return "solved"
    return "searched" if "threshold" in record.searched else "fixed"


def _configuration(record: TrialRecord, searched: tuple[str, ...]) -> str:
    """The trial's number, and what it had of the searched parameters and for a threshold."""
    absent = {"trainable_blocks": "all", "threshold": "solved"}
    names = searched if "threshold" in searched else (*searched, "threshold")
    values = {name: record.values[name] for name in names}
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
