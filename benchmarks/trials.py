"""python -m benchmarks.trials: what a trial's end costs the driver, among hundreds of trials and among thousands.

Through Ray: a real search of tiny trials, ended twice and gone on with by --resume. Wall seconds of its last hundred trials
over those of its second hundred; each hundred is of one attempt, by the times at which its trials ended.

Without Ray: the driver's own part alone, by the calls that Tune makes: suggest, start, three epochs, end, tables, study. Median
milliseconds a trial, of them the suggestion, and what seven waits for this disk take in the same minute; memory by trial;
then a resume: study, tables, records. Beside it: what Optuna's own storages take for the same calls.
"""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import psutil
from rich.console import Console

import search_spaces
from benchmarks import optuna_storages, report
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.data.splits import SPLITS
from trainable.data.turntable import TurntableSpec, write
from trainable.trial import Carried
from tuner import results
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code
from tuner.inputs.space import examine
from tuner.reporting.live_table import Display
from tuner.results.writer import RunTables
from tuner.search.recorder import Recorder
from tuner.search.resume import take_up_trials
from tuner.search.samplers import make_sampler
from tuner.search.searcher import StudySearch
from tuner.search.study_file import mend_study, open_study

WANTED_GROWTH, WANTED_MS, WANTED_KB, WANTED_RESUME_S = 1.15, 15.0, 20.0, 2.0
EPOCHS, SIZES = 3, (100, 1_000, 10_000)


@dataclass(frozen=True)
class Options:
    """Measure what a trial costs the driver as a search grows."""

    ray_trials: int = 2_000
    """Real trials through Ray; 0: none."""
    trials: int = 10_000
    """Trials of the driver alone; 0: none."""
    storages: bool = True
    """Measure Optuna's storages, too."""
    folder: str | None = None
    """Where files are written; none: a temporary folder."""
    quick: bool = False
    """A smoke run: few trials, nothing is judged."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed."""
    options = parse(Options, arguments, prog="python -m benchmarks.trials")
    if options.quick:
        options = Options(ray_trials=0, trials=200, folder=options.folder, quick=True)
    console = report.console()
    report.heading("Trials", console)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    targets: list[report.Target] = []
    with tempfile.TemporaryDirectory(prefix="trials-", dir=options.folder) as folder:
        if options.trials:
            targets += driver(options, Path(folder) / "driver", console)
        if options.storages:
            sizes = SIZES[:1] if options.quick else SIZES
            optuna_storages.measure(sizes, Path(folder), console)
        if options.ray_trials:
            targets += through_ray(options, Path(folder) / "ray", console)
    return report.verdict(targets, console)


class Driver:
    """The driver's part of a search of two parameters by TPE, with the calls of Tune made by hand, one trial after another."""

    def __init__(self, folder: Path, trials: int) -> None:
        folder.mkdir(exist_ok=True)
        space, fixed = search_spaces.load("temperature"), TrialConfig(epochs=EPOCHS)
        self._bound, self.study_file = examine(space, fixed, 4), folder / "study.log"
        self.tables = RunTables(folder / "results", space.name, "run-a")
        display = Display(Console(file=io.StringIO()), trials, EPOCHS, "val_auc", self._bound.searched)
        self._data, self._random = tiny_data(), np.random.default_rng(0)
        given = self.tables, self._data, self._bound.count, Settings()
        self.recorder = Recorder(*given, changed=display.changed, checkpoint_s=1e9)
        display.show(self.recorder.records)
        storage = mend_study(self.study_file, "run-a", self.tables, lambda number: None)
        self.searcher = StudySearch(
            self._bound,
            self.recorder,
            metric="val_auc",
            sampler=make_sampler("tpe", 0),
            storage=storage,
            study_name="run-a",
            run_seed=0,
            trials=trials,
            parallel=1,
            saved=lambda number: None,
        )
        take_up_trials(self.searcher.study, self.recorder, lambda number: None)

    def trial(self) -> tuple[float, float, float]:
        """One trial: seconds that it takes the driver, those that the suggestion takes, and those of a processor."""
        began, processor = time.perf_counter(), time.process_time()
        number = len(self.recorder.records)
        config = self.searcher.suggest(f"t{number}")
        suggested_s = time.perf_counter() - began
        assert isinstance(config, dict)
        trial = SimpleNamespace(
            trial_id=f"t{number}",
            config=config,
            checkpoint=None,
            temporary_state=SimpleNamespace(ray_actor=None),
            last_result={},
        )
        self.recorder.on_trial_start(0, [], trial)
        for epoch in range(1, EPOCHS + 1):
            result = self._epoch(epoch)
            if epoch == EPOCHS:
                self.searcher.on_trial_complete(trial.trial_id, result=result)
            else:
                self.searcher.on_trial_result(trial.trial_id, result)
            self.recorder.on_trial_result(0, [], trial, result)
            trial.last_result = result
        self.recorder.on_trial_complete(0, [], trial)
        self.recorder.flush()
        return time.perf_counter() - began, suggested_s, time.process_time() - processor

    def _epoch(self, epoch: int) -> dict[str, Any]:
        pairs = len(self._data.rows("val"))
        objective = float(self._random.random())
        scores = self._random.random(pairs).astype(np.float32)
        numbers = dict.fromkeys(
            ("val_auc", "val_accuracy", "val_accuracy_solved", "contrastive_loss", "epoch_s"), objective
        )
        ranked = {"best_epoch": epoch, "ranked_epoch": epoch, "finished": epoch == EPOCHS, "done": epoch == EPOCHS}
        carried = Carried(arrays={"scores": scores, "correct": scores > 0.5})
        told = {
            "epoch": epoch,
            "objective": objective,
            "threshold": 0.4,
            "diagnoses": [],
            "sick": None,
            "node": "host/1",
        }
        return numbers | ranked | told | {"carried": carried}


def tiny_data() -> PairData:
    """100 validation pairs of 50 identities; the pixels are never looked at."""
    pairs = np.arange(100)
    labels, identity = (pairs % 2).astype(np.int8), pairs // 2
    angle = np.where(labels == 1, identity, (identity + 1) % 50)
    split = np.full(100, SPLITS.index("val"), dtype=np.int8)
    pixels = np.zeros((100, 1, 1, 3), dtype=np.uint8)
    return PairData(pixels, identity, angle + 50, labels, identity, angle, split, "tiny")


def driver(options: Options, folder: Path, console: Console) -> list[report.Target]:
    """A search without Ray, then a resume of it."""
    sizes = [size for size in SIZES if size <= options.trials] or [options.trials]
    search, rows, memory, took = Driver(folder, options.trials), [], {}, []
    for number in range(1, options.trials + 1):
        took.append(search.trial())
        if number in sizes:
            gc.collect()
            memory[number] = psutil.Process().memory_info().rss / 1e3
            whole, suggested, processor = 1e3 * np.median(took[-min(100, number) :], axis=0)
            disk_ms = fsyncs(folder) * 7
            rows.append(
                (
                    f"{number:,}",
                    f"{whole:.1f}",
                    f"{suggested:.1f}",
                    f"{processor:.1f}",
                    f"{disk_ms:.1f}",
                    f"{memory[number] / 1e3:.0f}",
                )
            )
    console.print(
        report.table(
            ("trials", "driver ms a trial", "of it suggestion", "processor ms", "7 × fsync here", "memory MB"), rows
        )
    )
    first, last = min(memory), max(memory)
    kb = (
        (memory[last] - memory[max(n for n in memory if n < last)]) / (last - max(n for n in memory if n < last))
        if first < last
        else 0.0
    )
    del search
    gc.collect()
    tables_s, _ = timed(lambda: RunTables(folder / "results", "temperature", "run-a").trial_rows())
    study_s, _ = timed(lambda: open_study(folder / "study.log"))
    resume_s, again = timed(lambda: Driver(folder, options.trials))
    files = sum(1 for _ in (folder / "results" / "trials").rglob("*.parquet"))
    console.print(
        f"resume of {len(again.recorder.records):,} records: {resume_s:.2f} s; of it the study's file {study_s:.2f} s, "
        f"one reading of trials {tables_s:.2f} s; {files} files of trials"
    )
    binding = not options.quick
    return [
        report.Target(f"driver ms a trial at {last:,}", float(rows[-1][1]), WANTED_MS, False, binding),
        report.Target("driver kB a trial", kb, WANTED_KB, False, binding),
        report.Target(f"resume of {options.trials:,} records, s", resume_s, WANTED_RESUME_S, False, binding),
    ]


def timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it takes, and what it returns."""
    began = time.perf_counter()
    answer = do()
    return time.perf_counter() - began, answer


def fsyncs(folder: Path) -> float:
    """Median milliseconds until a small file is on this disk."""
    took = []
    for _ in range(20):
        with (folder / "probe").open("wb") as file:
            file.write(b"x" * 30_000)
            file.flush()
            took.append(timed(lambda file=file: os.fsync(file.fileno()))[0])
    return float(1e3 * np.median(took))


def through_ray(options: Options, folder: Path, console: Console) -> list[report.Target]:
    """A real search in three attempts."""
    folder.mkdir()
    pairs = write(
        folder / "pairs", TurntableSpec(train_identities=24, val_identities=12, test_identities=12, image_size_px=16)
    )
    root, total = folder / "results", options.ray_trials
    new = [
        "--space",
        "temperature",
        "--data",
        str(pairs),
        "--image-size-px",
        "16",
        "--batch-size",
        "16",
        "--epochs",
        "1",
    ]
    new += ["--trainable-blocks", "0", "--scheduler", "none", "--no-dashboard"]
    wall = []
    for attempt, trials in enumerate((total // 3, 2 * total // 3, total)):
        words = ["--resume", "latest"] if attempt else new
        words += ["--trials", str(trials), "--results", str(root), "--cache", str(folder / "cache")]
        began = time.perf_counter()
        with (folder / "log.txt").open("ab") as log:
            done = subprocess.run([sys.executable, "-m", "tuner.run", *words], stdout=log, stderr=log, check=False)
        wall.append(time.perf_counter() - began)
        if done.returncode:
            raise RuntimeError(f"it ended with code {done.returncode}: {(folder / 'log.txt').read_text()[-2000:]}")
    ended: pd.Series = results.trials(root).ended_at.sort_values(ignore_index=True)
    hundreds = [(ended[to - 1] - ended[to - 100]).total_seconds() for to in range(200, total + 1, 100)]
    console.print(
        report.table(
            ("through Ray", "attempts, s", "second hundred, s", "last hundred, s"),
            [(f"{total:,} trials", ", ".join(f"{s:.0f}" for s in wall), f"{hundreds[0]:.1f}", f"{hundreds[-1]:.1f}")],
        )
    )
    return [
        report.Target(
            "last hundred over second hundred", hundreds[-1] / hundreds[0], WANTED_GROWTH, False, not options.quick
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
