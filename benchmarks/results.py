"""python -m benchmarks.results: how fast many results are read and compared, and what each further run adds to memory.

200 runs of 50 trials of 30 epochs are made by a script. `results.trials()` is timed in a process of its own, imports
left out; `python -m tuner.compare` as a user waits for it, from the command to its last line. Its peak memory is read at
50, 100 and 200 runs: what it adds a run must not grow.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.made_results import make
from tuner.cli.parsing import parse

RUNS, TRIALS, EPOCHS = (50, 100, 200), 50, 30
TRIALS_S, COMPARE_S = 1.0, 5.0
GROWTH = 1.5
"""How much more a run may add to memory among many runs than among few; measuring it at all is that uncertain."""
REPEATS = 3
_READ = """
import sys, time
from tuner import results
seconds = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    rows = len(results.trials(sys.argv[1]))
    seconds.append(time.perf_counter() - started)
print(rows, *seconds)
"""
_COMPARE = """
import re, sys
from tuner.compare import main
code = main(["--results", sys.argv[1]])
with open("/proc/self/status") as status:  # the operating system's own count for a child begins with its parent's
    print(re.search("VmHWM:\\s*(\\d+)", status.read())[1], file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Options:
    """Measure reading and comparing 10,000 trials in 200 runs."""

    quick: bool = False
    """A smoke run: a tenth of the runs; its numbers are not judged."""


@dataclass(frozen=True)
class Measured:
    """Of one number of runs."""

    runs: int
    trials: int
    read_s: float
    """`results.trials()`, the median."""
    compare_s: float
    """`python -m tuner.compare`, the median."""
    compare_mb: float
    """Its peak memory in 10⁶ bytes, the median."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed."""
    options = parse(Options, arguments, prog="python -m benchmarks.results")
    console = report.console()
    report.heading("Results", console, packages=("pandas", "pyarrow", "rich"))
    with tempfile.TemporaryDirectory(prefix="results-") as folder:
        counts = [runs // 10 for runs in RUNS] if options.quick else RUNS
        measured = [measure(Path(folder, str(runs)), runs) for runs in counts]
    return conclude(measured, not options.quick, console)


def measure(folder: Path, runs: int) -> Measured:
    """Make so many runs, read and compare them."""
    make(folder, runs=runs, trials=TRIALS, epochs=EPOCHS)
    told = subprocess.run(
        [sys.executable, "-c", _READ, str(folder), str(REPEATS)], capture_output=True, text=True, check=True
    ).stdout.split()
    seconds, megabytes = zip(*(compared(folder) for _ in range(REPEATS)), strict=True)
    return Measured(runs, int(told[0]), middle(map(float, told[1:])), middle(seconds), middle(megabytes))


def compared(folder: Path) -> tuple[float, float]:
    """Wall seconds of comparing all runs, the start of Python included, and peak memory in 10⁶ bytes. Raises if it fails."""
    started = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", _COMPARE, str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return time.perf_counter() - started, int(told.stderr) * 1024 / 1e6


def middle(values: Iterable[float]) -> float:
    """The median of an odd number of values."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def conclude(measured: Sequence[Measured], binding: bool, console: Console) -> int:
    """Print the table and the targets; returns the exit code."""
    rows = [
        (m.runs, f"{m.trials:,}", f"{m.read_s:.2f}", f"{m.compare_s:.2f}", f"{m.compare_mb:.0f}", f"{1000 * added:.0f}")
        for m, added in zip(measured, [float("nan"), *added_mb(measured)], strict=True)
    ]
    columns = ("runs", "trials", "results.trials() s", "tuner.compare s", "peak MB", "kB a further run")
    console.print(report.table(columns, rows))
    few, many = added_mb(measured)[0], added_mb(measured)[-1]
    targets = [
        report.Target(
            f"seconds of results.trials(), {measured[-1].trials:,} trials", measured[-1].read_s, TRIALS_S, False
        ),
        report.Target(f"seconds of tuner.compare, {measured[-1].runs} runs", measured[-1].compare_s, COMPARE_S, False),
        report.Target("memory of a further run, among many over among few", many / few, GROWTH, False),
    ]
    return report.verdict([replace(target, binding=binding) for target in targets], console)


def added_mb(measured: Sequence[Measured]) -> list[float]:
    """What each further run added to peak memory, between one number of runs and the next, in 10⁶ bytes."""
    return [(after.compare_mb - before.compare_mb) / (after.runs - before.runs) for before, after in pairwise(measured)]


if __name__ == "__main__":
    sys.exit(main())
