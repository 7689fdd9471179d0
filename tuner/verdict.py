"""How a search ends: winner beside default on the test pairs, once, and four lines that say whether training is healthy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from trainable import verification
from trainable.pairs import PairData
from tuner.recording import TrialRecord


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


def run_columns(comparison: Comparison, winner: TrialRecord) -> dict[str, Any]:
    """The comparison as columns of the `runs` table."""
    columns = winner_columns(comparison.winner, winner) | _result_columns("default", comparison.default)
    columns["test_difference"] = comparison.difference
    columns["test_difference_low"], columns["test_difference_high"] = comparison.difference_interval
    return columns


def winner_columns(result: TestResult, winner: TrialRecord) -> dict[str, Any]:
    """The winner alone as columns of the `runs` table."""
    return {"winner_trial": winner.number} | _result_columns("winner", result)


def _result_columns(name: str, result: TestResult) -> dict[str, Any]:
    low, high = result.accuracy_interval
    accuracy = f"test_accuracy_{name}"
    columns = {accuracy: result.accuracy, f"{accuracy}_low": low, f"{accuracy}_high": high}
    return columns | {f"threshold_{name}": result.threshold, f"test_auc_{name}": result.auc}


@dataclass(frozen=True)
class Check:
    """One line of the verdict on a trial: what should hold, whether it does, the numbers."""

    text: str
    holds: bool
    numbers: str


def health(record: TrialRecord) -> list[Check]:
    """The four lines that a repaired, healthy run satisfies (the broken run fails all), from the trial's epochs."""
    first, best = record.epochs[min(record.epochs)], record.best
    accuracy = (first["val_accuracy_solved"], best["val_accuracy_solved"])
    chance = first["chance_loss"]
    contrastive = (first["contrastive_loss"], best["contrastive_loss"])
    consistency = (first["consistency_loss"], best["consistency_loss"])
    positive, negative = best["positive_similarity"], best["negative_similarity"]
    return [
        Check(
            "contrastive loss positive and falling",
            min(contrastive) > 0 and contrastive[1] < contrastive[0],
            f"{contrastive[0]:.3f} → {contrastive[1]:.3f} (chance {chance:.3f})",
        ),
        Check(
            "consistency loss above 0 and falling",
            min(consistency) > 0 and consistency[1] < consistency[0],
            f"{consistency[0]:.4f} → {consistency[1]:.4f}",
        ),
        Check(
            "validation accuracy rising and above 0.5",
            accuracy[1] > max(0.5, accuracy[0]),
            f"{accuracy[0]:.3f} → {accuracy[1]:.3f}",
        ),
        Check(
            "positive similarity high and negative low",
            positive > best["threshold"] > negative,
            f"positive {positive:.3f}, negative {negative:.3f}, threshold {best['threshold']:.3f} between them",
        ),
    ]


def print_verdict(
    console: Console, comparison: Comparison, winner: TrialRecord, default: TrialRecord, searched: tuple[str, ...]
) -> None:
    """Winner beside default, on test pairs; then the winner's four lines."""
    table = Table(
        title="On test pairs, looked at once", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for name in ("", "trial", *searched, "threshold", "test accuracy", "95 % interval", "test AUC", "95 % interval"):
        table.add_column(name, justify="left" if not name else "right")
    rows = [
        ("winner", winner, comparison.winner, "searched" if "threshold" in searched else "solved"),
        ("default", default, comparison.default, _source(default)),
        ("default, threshold solved", default, comparison.fair_default, "solved"),
    ]
    for name, record, result, source in rows:
        if name.endswith("solved") and comparison.fair_default.threshold == comparison.default.threshold:
            continue
        table.add_row(name, str(record.number), *_parameters(record, searched), *_result_cells(result, source))
    console.print()
    console.print(table)
    if winner.number == default.number:
        console.print("The default configuration is the winner: no other trial was better on validation pairs.")
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
    _print_health(console, winner)


def print_alone(console: Console, result: TestResult, winner: TrialRecord) -> None:
    """The winner on test pairs where there is no default to compare it with; then its four lines."""
    console.print(
        f"winner on test pairs, trial {winner.number}: accuracy {result.accuracy:.3f}, 95 % interval "
        f"{_range(result.accuracy_interval)}; AUC {result.auc:.3f}, 95 % interval {_range(result.auc_interval)}"
    )
    _print_health(console, winner)


def _print_health(console: Console, winner: TrialRecord) -> None:
    console.print(f"\n[bold]Is the winner healthy?[/bold]  trial {winner.number}, epoch 1 → {winner.best_epoch}")
    for check in health(winner):
        mark = "[green]✓[/green]" if check.holds else "[red]✗[/red]"
        console.print(f"  {mark} {check.text:43} {check.numbers}")


def _source(record: TrialRecord) -> str:
    if record.values["threshold"] is None:
        return "solved"
    return "searched" if "threshold" in record.searched else "fixed"


def _parameters(record: TrialRecord, searched: tuple[str, ...]) -> list[str]:
    cells = []
    for name in searched:
        value = record.values[name]
        missing = "all" if name == "trainable_blocks" else "solved"
        cells.append(missing if value is None else f"{value:.4g}" if isinstance(value, float) else str(value))
    return cells


def _result_cells(result: TestResult, source: str) -> list[str]:
    return [
        f"{result.threshold:.3f} {source}",
        f"{result.accuracy:.3f}",
        _range(result.accuracy_interval),
        f"{result.auc:.3f}",
        _range(result.auc_interval),
    ]


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _signed(difference: float, interval: tuple[float, float]) -> str:
    return f"{difference:+.3f} in accuracy, 95 % interval {interval[0]:+.3f} to {interval[1]:+.3f}"


def _meaning(interval: tuple[float, float]) -> str:
    if interval[0] > 0:
        return "the winner is better"
    return "the winner is worse" if interval[1] < 0 else "not told apart by these test pairs"
