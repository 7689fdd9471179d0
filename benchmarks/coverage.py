"""python -m benchmarks.coverage: do 95 % intervals hold the truth 95 times in 100, and are they as narrow as that allows?

Scores are simulated (benchmarks/simulated_scores.py), so the truth is known. What each interval has to cover:

- accuracy: that of the population at a threshold that was fixed beforehand;
- difference: of the accuracies of two models on the same pairs, each at a fixed threshold;
- AUC: the probability that a positive pair scores above a negative one in the population;
- cross-fitted accuracy: the population accuracy at each pair's own threshold (as the folds solved them), averaged over
  the pairs. This is the usual target of cross-validation (Bayle, Bayle, Janson, Mackey 2020): the thresholds count as
  given, so it varies from draw to draw.

Width: the mean width over the ideal one, 2 × 1.96 × the standard deviation of (estimate - truth) over the simulations.
It would take knowing the variance; with Student's quantile for 15 degrees of freedom a width is 1.09.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context

import numpy as np

from benchmarks import report
from benchmarks.simulated_scores import Cell, Pairs, draw_pairs, draw_scores, true_accuracy, true_auc
from trainable.metrics import intervals, thresholds
from trainable.metrics.verification import verify
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

FIGURES = ("accuracy", "difference", "AUC", "cross-fitted")
IDENTITIES, PAIRS_EACH, DEPENDENCE = (16, 60, 200), (2, 4, 12), (0.0, 0.5, 0.9)
THRESHOLD, WORSE = 0.1, 0.15
"""Of both models, and how much closer the second one's two means are."""
DESIGNS = 8
"""A cell's simulations are spread over that many draws of its pairs."""
WANTED, MEAN_WIDTH, WIDEST = (0.93, 0.97), 1.05, 1.25


@dataclass(frozen=True)
class Options:
    """Simulate, and count how often the intervals hold the truth."""

    simulations: int = 3000
    """Of each cell."""
    gap: float = 1.5
    """Distance of the means of positive and negative scores: 1.5 gives accuracy .77 and AUC .86, 3.3 .95 and .99."""
    processes: int = os.cpu_count() or 1
    """Cells at a time, each on one core."""
    quick: bool = False
    """A smoke run: 40 simulations of the smallest cells."""


@dataclass(frozen=True)
class Covered:
    """One cell: for each of FIGURES the share of intervals that hold the truth, and their width over the ideal one."""

    cell: Cell
    coverage: tuple[float, ...]
    width: tuple[float, ...]


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    console = report.console()
    options = parse(Options, arguments, prog="python -m benchmarks.coverage")
    report.heading("Coverage of 95 % intervals", console, ("numpy", "scipy"))
    identities = IDENTITIES[:1] if options.quick else IDENTITIES
    pairs_each = PAIRS_EACH[:2] if options.quick else PAIRS_EACH
    cells = [Cell(*values) for values in product(identities, pairs_each, DEPENDENCE)]
    simulations = 40 if options.quick else options.simulations
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        done = list(pool.map(covered, cells, [simulations] * len(cells), [options.gap] * len(cells)))
    return told(done, simulations, console, binding=not options.quick)


def covered(cell: Cell, simulations: int, gap: float = 1.5) -> Covered:
    """Simulates one cell; the same numbers at every call."""
    rng = np.random.default_rng([cell.identities, cell.pairs_each, round(100 * cell.dependence)])
    designs = [draw_pairs(cell.identities, cell.pairs_each, rng) for _ in range(DESIGNS)]
    draws, gaps = -(-simulations // DESIGNS), np.array([gap, gap - WORSE])
    found = np.concatenate([_simulated(pairs, gaps, cell.dependence, rng, draws) for pairs in designs])
    estimate, truth, low, high = np.moveaxis(found, -1, 0)
    ideal = 2 * 1.96 * (estimate - truth).std(axis=0)
    holds = (low <= truth) & (truth <= high)
    return Covered(cell, tuple(holds.mean(axis=0)), tuple((high - low).mean(axis=0) / ideal))


def _simulated(pairs: Pairs, gaps: np.ndarray, dependence: float, rng: np.random.Generator, draws: int) -> np.ndarray:
    """(draws, figures, 4): estimate, truth, low and high."""
    scores = draw_scores(pairs, gaps, dependence, rng, draws)
    linked = intervals.linked_pairs(pairs.front, pairs.angle)
    return np.array([_figures(scores[:, draw], gaps, pairs, linked) for draw in range(draws)])


def _figures(
    scores: np.ndarray, gaps: np.ndarray, pairs: Pairs, linked: intervals.LinkedPairs
) -> list[tuple[float, ...]]:
    """Estimate, truth, low and high of each of FIGURES; scores: (2, n)."""
    labels = pairs.labels
    first, second = (thresholds.correct_at(one, labels, THRESHOLD) for one in scores)
    true = [true_accuracy(gap, THRESHOLD, labels).mean() for gap in gaps]
    fitted = thresholds.cross_fitted(scores[0], labels, pairs.front, pairs.angle)
    true_fitted = true_accuracy(gaps[0], fitted.thresholds, labels).mean()
    auc = verify(scores[0], labels).auc
    return [
        (first.mean(), true[0], *intervals.interval(first, linked)),
        (first.mean() - second.mean(), true[0] - true[1], *intervals.difference_interval(first, second, linked)),
        (auc, true_auc(gaps[0]), *intervals.auc_interval(scores[0], labels, linked)),
        (fitted.accuracy, true_fitted, *intervals.cross_fitted_interval(fitted.correct, linked)),
    ]


def told(done: Sequence[Covered], simulations: int, console: report.Console, binding: bool) -> int:
    """Print the table; returns the exit code."""
    columns = ("identities", "pairs each", "dependence", *(part for name in FIGURES for part in (name, "width")))
    rows = []
    for one in done:
        numbers = zip(one.coverage, one.width, strict=True)
        shown = (part for share, width in numbers for part in (f"{100 * share:.1f} %{_mark(share)}", f"{width:.2f}"))
        rows.append((one.cell.identities, one.cell.pairs_each, one.cell.dependence, *shown))
    console.print(report.table(columns, rows))
    console.print(f"{simulations} simulations a cell; !: outside {WANTED[0]:.0%} to {WANTED[1]:.0%}")
    shares = np.array([one.coverage for one in done])
    inside = int(((shares >= WANTED[0]) & (shares <= WANTED[1])).sum())
    widths = np.array([one.width for one in done])
    targets = [
        report.Target(
            f"intervals that cover as often as they say, of {shares.size}", inside, shares.size, True, binding
        ),
        report.Target("mean width over the ideal one", float(widths.mean()), MEAN_WIDTH, False, binding),
        report.Target("widest over the ideal one", float(widths.max()), WIDEST, False, binding),
    ]
    return report.verdict(targets, console)


def _mark(share: float) -> str:
    return "" if WANTED[0] <= share <= WANTED[1] else "!"


if __name__ == "__main__":
    sys.exit(main())
