"""python -m benchmarks.overhead: what a search costs beside training.

Seconds of a trial that are not training mathematics: from the moment its configuration was suggested to the moment the
next one was suggested to the worker that it left, less the time of its epochs (training and validation, as its tables have
them). Suggesting, starting, reports, checkpoints, tables and waiting for the driver are all in it. Measured on head-only
trials; those that are the first on their worker wait for its start and are left out, as are those that nothing follows.

Share of the ceiling: the seconds that the bare arithmetic of an epoch (steps and validation images, with all cores busy,
measured before and after the search, no data, losses or metrics) takes, over the seconds that the search of fully trained
trials holds a worker for it, suggestion to end, the first trial on each worker left out again.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import bare_step, report
from benchmarks.searching import EMBEDDED, Searched, SourceOptions, resolved, search
from trainable.config import TrialConfig
from trainable.data.read_pairs import read_pairs
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

WANTED_S = 0.12
WANTED_SHARE = 0.85


@dataclass(frozen=True)
class Options:
    """Measure what a search costs beside training mathematics."""

    source: SourceOptions = field(default_factory=SourceOptions)
    head_trials: int = 32
    """Head-only trials."""
    head_epochs: int = 10
    """Their epochs."""
    rounds: int = 2
    """Fully trained trials on each core; the first of each is not counted. At least 2."""
    epochs: int = 1
    """Their epochs."""
    steps: int = 10
    """Bare training steps, before the search and after it."""
    quick: bool = False
    """A smoke run: the embedded data, a few short trials; its numbers mean nothing and are not judged."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    console = report.console()
    options = parse(Options, arguments, prog="python -m benchmarks.overhead")
    if options.quick:
        options = Options(EMBEDDED, head_trials=8, head_epochs=2, epochs=1, steps=3, quick=True)
    options = dataclasses.replace(options, source=resolved(options.source, console))
    report.heading("Overhead", console)
    console.print(f"{options.source.data}, {options.source.backbone}, {options.source.image_size_px} px")
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        beside_s = head_only(options, Path(folder) / "head-only", console)
        share = fully_trained(options, Path(folder) / "full", console)
    targets = [
        report.Target("seconds beside training, median", beside_s, WANTED_S, at_least=False, binding=not options.quick),
        report.Target("share of the ceiling", share, WANTED_SHARE, binding=not options.quick),
    ]
    return report.verdict(targets, console)


def head_only(options: Options, folder: Path, console: Console) -> float:
    """Median seconds of a head-only trial beside its epochs."""
    trials, epochs = options.head_trials, options.head_epochs
    searched = search(options.source, folder, trials=trials, epochs=epochs, trainable_blocks=0)
    beside = beside_training(searched.trials)
    held = turns(searched.trials)
    columns = ("head-only trials", "counted", "median s", "of it training", "beside: median", "mean", "90 %", "wall s")
    training = searched.trials.loc[held.index, "train_s"]
    row = (
        *(f"{trials} × {epochs} epochs", len(beside), f"{held.median():.3f}", f"{training.median():.3f}"),
        *(f"{beside.median():.3f}", f"{beside.mean():.3f}", f"{beside.quantile(0.9):.3f}", f"{searched.wall_s:.1f}"),
    )
    console.print(report.table(columns, [row]))
    return float(beside.median())


def turns(trials: pd.DataFrame) -> pd.Series:
    """Seconds from a trial's suggestion to that of the one that follows it on its worker, by trial.

    trials: started_at and ended_at of each. A suggestion follows the trial that ended last before it and that no other
    suggestion follows. Only trials that follow one and are followed by one.
    """
    started, ended = (trials[name].sort_values() for name in ("started_at", "ended_at"))
    follows: dict[int, int] = {}
    for trial, moment in started.items():
        free = [other for other, end in ended.items() if end <= moment and other not in follows.values()]
        if free:
            follows[trial] = free[-1]
    next_of = {before: after for after, before in follows.items()}
    found = {t: (started[next_of[t]] - started[t]).total_seconds() for t in follows if t in next_of}
    return pd.Series(found, dtype=float).sort_index()


def beside_training(trials: pd.DataFrame) -> pd.Series:
    """Seconds of each trial's turn that its epochs did not take."""
    held = turns(trials)
    return held - trials.loc[held.index, "train_s"]


def fully_trained(options: Options, folder: Path, console: Console) -> float:
    """Share of the measured ceiling that a search of fully trained trials reaches."""
    cores = os.cpu_count() or 1
    before = bare_step.on_all_cores(options.source, options.steps, cores)
    trials = options.rounds * cores
    searched = search(options.source, folder, trials=trials, epochs=options.epochs, trainable_blocks=None)
    after = bare_step.on_all_cores(options.source, options.steps, cores)
    ceiling = bare_step.Ceiling.mean([before, after])
    steps, images = epoch_size(options.source.data)
    bare_s = options.epochs * ceiling.epoch_s(steps, images)
    held_s, epochs_s = held_by_trials(searched, cores)
    columns = ("fully trained", "a trial's bare arithmetic s", "its epochs s", "its worker's s", "share", "wall s")
    name = f"{trials} × {options.epochs} epochs of {steps} steps, {images} images"
    row = (
        name,
        f"{bare_s:.2f}",
        f"{epochs_s:.2f}",
        f"{held_s:.2f}",
        f"{bare_s / held_s:.3f}",
        f"{searched.wall_s:.1f}",
    )
    console.print(report.table(columns, [row]))
    console.print(
        f"bare step {before.step_s:.3f} s before the search, {after.step_s:.3f} s after it, {cores} at a time"
    )
    return bare_s / held_s


def held_by_trials(searched: Searched, workers: int) -> tuple[float, float]:
    """Mean seconds that a trial holds its worker, and mean seconds of its epochs; without the first on each worker."""
    later = searched.trials.sort_values("started_at").iloc[workers:]
    held_s = (later.ended_at - later.started_at).dt.total_seconds()
    return float(held_s.mean()), float(later.train_s.mean())


def epoch_size(data: str) -> tuple[int, int]:
    """Training steps of an epoch, and distinct validation images."""
    table = read_pairs(data)
    rows = table.rows("val")
    steps = max(1, len(table.rows("train")) // TrialConfig().batch_size)
    return steps, len(np.union1d(table.front[rows], table.angle[rows]))


if __name__ == "__main__":
    sys.exit(main())
