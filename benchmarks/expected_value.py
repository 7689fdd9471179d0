"""python -m benchmarks.expected_value: is a winner worth what tuner/analysis/expected_value.py says?

Simulated searches of 16 trials whose true AUC and accuracy are known (benchmarks/simulated_scores.py). In each, the winner
is chosen by its value on the validation pairs. Two errors, each as value less truth, mean over the searches: of the
winner's own validation value, and of the value corrected for having been chosen.

Thresholds are fixed beforehand, and so part of what is chosen; or solved on the validation pairs. Then `shown` accuracies
are cross-fitted, and true is what the threshold solved on all of them reaches in the population.
One validation set is easier than another, for all trials alike. That has nothing to do with choosing and averages out; so
that fewer searches do, its size (mean over the trials of value less truth) is taken off both errors. Where thresholds are
solved it is that of accuracies at one fixed threshold, the same for all trials, so that what solving costs stays in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Literal

import numpy as np

from benchmarks import report
from benchmarks.simulated_scores import draw_pairs, draw_scores, true_accuracy, true_auc
from trainable.metrics import thresholds
from trainable.metrics.intervals import placements
from tuner.analysis.expected_value import TrialScores, expected_value
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

TRIALS, RESAMPLES, WANTED = 16, 200, 0.005
GAP, GAP_SPREAD, CUT_SPREAD, ALIKE, DEPENDENCE = 1.5, 0.1, 0.15, (0.9, 0.9), 0.5
"""True AUCs then spread by .016 and accuracies by .015, as on the embedded data; trials err on the same pairs."""
SETS = ((60, 2), (60, 4), (200, 2), (400, 2))
RANKS: tuple[Literal["auc", "accuracy"], ...] = ("auc", "accuracy")


@dataclass(frozen=True)
class Options:
    """Simulate searches, and compare what winners are said to be worth with the truth."""

    searches: int = 400
    """Of each kind."""
    processes: int = os.cpu_count() or 1
    """Kinds at a time, each on one core."""
    quick: bool = False
    """A smoke run: 5 searches on the smallest set."""


@dataclass(frozen=True)
class Kind:
    """What is searched on, and how it is ranked."""

    identities: int
    pairs_each: int
    solved: bool
    """Are thresholds solved on the validation pairs?"""
    rank_by: Literal["auc", "accuracy"]


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    console = report.console()
    options = parse(Options, arguments, prog="python -m benchmarks.expected_value")
    report.heading("The value to expect of a winner", console, ("numpy",))
    sets = SETS[:1] if options.quick else SETS
    kinds = [Kind(*size, solved, rank) for size, solved, rank in product(sets, (False, True), RANKS)]
    searches = 5 if options.quick else options.searches
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        done = list(pool.map(searched, kinds, [searches] * len(kinds)))
    return told(kinds, done, searches, console, binding=not options.quick)


def searched(kind: Kind, searches: int) -> np.ndarray:
    """(searches, 6) errors of AUC as shown and corrected, those of accuracy, the share that beats the default, the truth."""
    rng = np.random.default_rng([kind.identities, kind.pairs_each, kind.solved])
    return np.array([_search(kind, rng) for _ in range(searches)])


def _search(kind: Kind, rng: np.random.Generator) -> tuple[float, ...]:
    pairs = draw_pairs(kind.identities, kind.pairs_each, rng)
    labels, positive = pairs.labels, pairs.labels == 1
    gaps, cuts = GAP + GAP_SPREAD * rng.normal(size=TRIALS), CUT_SPREAD * rng.normal(size=TRIALS)
    scores = draw_scores(pairs, gaps, DEPENDENCE, rng, 1, ALIKE)[:, 0]
    if kind.solved:
        cuts = np.array([thresholds.best_threshold(one, labels).value for one in scores])
        correct = np.stack([thresholds.cross_fitted(one, labels, pairs.front, pairs.angle).correct for one in scores])
    else:
        correct = np.stack([thresholds.correct_at(one, labels, cut) for one, cut in zip(scores, cuts, strict=True)])
    auc = np.array([placements(one, positive)[positive].mean() for one in scores])
    auc_error = auc - [true_auc(gap) for gap in gaps]
    true = np.array([true_accuracy(gap, cut, labels).mean() for gap, cut in zip(gaps, cuts, strict=True)])
    error = correct.mean(axis=1) - true
    found = expected_value(
        TrialScores(scores, correct, labels, pairs.front, pairs.angle, default=0), kind.rank_by, RESAMPLES
    )
    winner = found.winner
    easy = _easier(scores, gaps, labels) if kind.solved else error.mean()
    ahead = gaps[winner] > gaps[0] if kind.rank_by == "auc" else true[winner] > true[0]
    return (
        auc_error[winner] - auc_error.mean(),
        found.auc - (auc - auc_error)[winner] - auc_error.mean(),
        error[winner] - easy,
        found.accuracy - true[winner] - easy,
        np.nan if found.beats_default is None else found.beats_default,
        np.nan if found.beats_default is None else float(ahead),
    )


def _easier(scores: np.ndarray, gaps: np.ndarray, labels: np.ndarray) -> float:
    """By how much these pairs are easier than the population, at the threshold 0 that nobody chose on them."""
    found = [thresholds.correct_at(one, labels, 0.0).mean() for one in scores]
    return float(np.mean(found) - np.mean([true_accuracy(gap, 0.0, labels).mean() for gap in gaps]))


def told(
    kinds: Sequence[Kind], done: Sequence[np.ndarray], searches: int, console: report.Console, binding: bool
) -> int:
    """Print the table; returns the exit code."""
    rows, worst = [], 0.0
    for kind, errors in zip(kinds, done, strict=True):
        mean, twice = np.nanmean(errors, axis=0), 2 * errors[:, :4].std(axis=0) / np.sqrt(searches)
        shown = [f"{value:+.4f} ± {error:.4f}" for value, error in zip(mean, twice, strict=False)]
        threshold = "solved" if kind.solved else "fixed"
        size = f"{kind.identities} × {kind.pairs_each}"
        rows.append((size, threshold, kind.rank_by, *shown, f"{mean[4]:.2f}", f"{mean[5]:.2f}"))
        worst = max(worst, abs(mean[1]), abs(mean[3]))
    columns = ("identities × pairs", "threshold", "ranked by", "AUC: shown", "corrected", "accuracy: shown", "corrected",
               "beats default", "truly")  # fmt: skip
    console.print(report.table(columns, rows))
    console.print(f"{searches} searches of {TRIALS} trials each; ±: twice the standard error")
    return report.verdict(
        [report.Target("largest mean error of a corrected value", worst, WANTED, False, binding)], console
    )


if __name__ == "__main__":
    sys.exit(main())
