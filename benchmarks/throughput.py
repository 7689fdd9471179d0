"""python -m benchmarks.throughput: trials a minute of this system and of what people write without it, side by side.

For each setting (head only, last block, fully trained) this system's own command runs first: a process of its own, with
an empty cache, so that imports, decoding, Ray's start, the feature pass and the verdict on test pairs are all in its wall
time. Its configurations are then trained by the plain sides. A side that runs fewer trials or epochs is scaled: its start
(wall time less the epochs' share) counts once, its epochs count as many times as the full search has; what starting a
further trial costs is left out, in favour of the side that is scaled.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from benchmarks import report
from benchmarks.plain_training import Job
from benchmarks.searching import EMBEDDED, Searched, SourceOptions, resolved, search
from trainable.config import TrialConfig
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

LOSS_TOLERANCE = 0.01
"""Relative, of an epoch's mean contrastive loss. Memory formats and batch sizes round differently; training amplifies it."""
OURS, RAY, OPTUNA, SYNE = "this system", "plain Ray Tune", "plain Optuna", "Syne Tune, local backend"


@dataclass(frozen=True)
class Setting:
    """One degree of freezing, and how much of the full search each side runs."""

    name: str
    trainable_blocks: int | None
    ours: tuple[int, int]
    """Trials and epochs that this system runs; the learning rate follows the schedule of these epochs."""
    plain: tuple[int, int]
    """Trials and first epochs of them that a plain side runs."""
    wanted: float
    """How many times as fast as the plain Ray Tune script this system must be."""
    auc_tolerance: float = 0.01
    """Absolute, of the validation AUC after an epoch."""


TRIALS, EPOCHS = 32, 10
SETTINGS = (
    Setting("head only", 0, ours=(TRIALS, EPOCHS), plain=(2, 1), wanted=200),
    Setting("last block", 1, ours=(8, EPOCHS), plain=(2, 1), wanted=10),
    # Its first epoch amplifies rounding: the last bit of the initial weights moves the AUC by 0.02 (results/LOG.md).
    Setting("fully trained", None, ours=(2, 2), plain=(2, 1), wanted=1.7, auc_tolerance=0.03),
)
QUICK = tuple(dataclasses.replace(setting, ours=(2, 2)) for setting in SETTINGS)


@dataclass(frozen=True)
class Options:
    """Compare the throughput of this system, plain Ray Tune, plain Optuna and Syne Tune."""

    source: SourceOptions = field(default_factory=SourceOptions)
    quick: bool = False
    """A smoke run: the embedded data, two trials of two epochs; its ratios mean nothing and are not judged."""
    settings: tuple[str, ...] = tuple(setting.name for setting in SETTINGS)
    """Which settings to run."""
    syne_python: str = sys.executable
    """Python of an environment that has Syne Tune beside this project's requirements; none there: the side is left out."""


@dataclass(frozen=True)
class Side:
    """What one side took for what it ran, and what it would take for the full search."""

    name: str
    trials: int
    wall_s: float
    epochs: pd.DataFrame
    """One row a trial and epoch, by trial: epoch_s, contrastive_loss, val_auc."""
    workers: int

    @property
    def epoch_s(self) -> float:
        """Mean seconds of an epoch, `workers` of them at a time."""
        return float(self.epochs.epoch_s.mean())

    @property
    def full_search_s(self) -> float:
        """The wall time where all was run, else scaled."""
        start_s = self.wall_s - self.epochs.epoch_s.sum() / self.workers
        return start_s + TRIALS * EPOCHS * self.epoch_s / self.workers

    @property
    def ran_all(self) -> bool:
        """Nothing was scaled."""
        return len(self.epochs) == TRIALS * EPOCHS


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed or metrics differ, 2 for a mistake in the input."""
    console = report.console()
    options = parse(Options, arguments, prog="python -m benchmarks.throughput")
    source = resolved(EMBEDDED if options.quick else options.source, console)
    settings = [s for s in (QUICK if options.quick else SETTINGS) if s.name in options.settings]
    report.heading("Throughput", console)
    console.print(f"{source.data}, {source.backbone}, {source.image_size_px} px; {TRIALS} trials of {EPOCHS} epochs")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        found = {s.name: run_setting(s, source, Path(folder), options.syne_python, console) for s in settings}
    return conclude(settings, found, options, console, time.monotonic() - started)


def run_setting(
    setting: Setting, source: SourceOptions, folder: Path, syne_python: str, console: Console
) -> list[Side]:
    """This system first, then each plain side on the same configurations."""
    place = folder / setting.name.replace(" ", "-")
    workers = os.cpu_count() or 1
    trials, epochs = setting.ours
    searched = search(source, place, trials=trials, epochs=epochs, trainable_blocks=setting.trainable_blocks)
    sides = [Side(OURS, trials, searched.wall_s, searched.epochs, workers)]
    say(sides[-1], setting, console)
    configurations = configurations_of(searched, setting, epochs)[: setting.plain[0]]
    for name, module, python in (
        (RAY, "benchmarks.plain_ray", sys.executable),
        (OPTUNA, "benchmarks.plain_optuna", sys.executable),
        (SYNE, "benchmarks.plain_syne_tune", syne_python),
    ):
        if name == SYNE and not has_syne_tune(python):
            continue
        at = place / module
        at.mkdir()
        job = Job(source, str(at), configurations, setting.plain[1], workers)
        sides.append(
            Side(name, len(configurations), run_plain(job, module, python), pd.DataFrame(job.epochs()), workers)
        )
        say(sides[-1], setting, console)
    return sides


def configurations_of(searched: Searched, setting: Setting, epochs: int) -> list[dict[str, Any]]:
    """The configuration of each trial, from the tables; what they do not hold is the default."""
    names = set(TrialConfig.names()) & set(searched.trials.columns) - {"threshold", "trainable_blocks"}
    rows = searched.trials[sorted(names)].to_dict("records")
    given = ({name: value for name, value in row.items() if pd.notna(value)} for row in rows)
    return [{**row, "epochs": epochs, "trainable_blocks": setting.trainable_blocks} for row in given]


def has_syne_tune(python: str) -> bool:
    """Whether that environment can import it."""
    if python == sys.executable:
        return importlib.util.find_spec("syne_tune") is not None
    return subprocess.run([python, "-c", "import syne_tune"], capture_output=True, check=False).returncode == 0


def run_plain(job: Job, module: str, python: str) -> float:
    """Wall seconds of a plain side's process. Raises RuntimeError, with its output, if it did not train all it should."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",  # a core a trial, as Ray sets it by itself
        "SYNETUNE_FOLDER": job.folder,
        "RAY_AIR_NEW_OUTPUT": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    started = time.perf_counter()
    command = [python, "-m", module, str(job.write())]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=job.folder)
    wall_s = time.perf_counter() - started
    if ran.returncode != 0 or len(job.epochs()) != len(job.configurations) * job.first_epochs:
        output = (ran.stdout + ran.stderr)[-3000:]
        raise RuntimeError(f"{module} exited with {ran.returncode} and {len(job.epochs())} epochs:\n{output}")
    return wall_s


def differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[float, float]:
    """Largest relative difference of the contrastive loss, and largest of the AUC, over the epochs that both ran."""
    both = ours.merge(theirs, on=["trial", "epoch"], suffixes=("", "_plain"))
    if len(both) < len(theirs):
        return math.inf, math.inf
    loss = (both.contrastive_loss - both.contrastive_loss_plain).abs() / both.contrastive_loss.abs()
    return float(loss.max()), float((both.val_auc - both.val_auc_plain).abs().max())


def say(side: Side, setting: Setting, console: Console) -> None:
    """One line as soon as a side is done."""
    epochs, load = len(side.epochs) // side.trials, os.getloadavg()[0]
    ran = f"{side.trials} trials of {epochs} epochs in {side.wall_s:.1f} s, load {load:.1f} at its end"
    console.print(f"  {setting.name}, {side.name}: {ran}", style="dim")


def conclude(
    settings: list[Setting], found: dict[str, list[Side]], options: Options, console: Console, wall_s: float
) -> int:
    """Print the table and the targets; the exit code."""
    rows, targets = [], []
    for setting in settings:
        ours, *others = found[setting.name]
        rows.append(row_of(setting.name, ours, ours))
        for side in others:
            rows.append(row_of("", side, ours))
            targets += targets_of(setting, side, ours, judged=not options.quick)
        if all(side.name != SYNE for side in others):
            rows.append(("", SYNE, "not installed", *[""] * 6))
    columns = (
        "setting",
        "side",
        "ran",
        "wall s",
        "epoch s",
        "search s",
        "trials/min",
        "this system is",
        "loss, AUC differ by",
    )
    console.print()
    console.print(report.table(columns, rows))
    console.print(
        "search s: of the full search; with ~ scaled from what was run. epoch s: mean, one trial on every core.\n"
    )
    code = report.verdict(targets, console)
    console.print(f"{wall_s / 60:.1f} minutes in all")
    return code


def row_of(setting: str, side: Side, ours: Side) -> tuple[str, ...]:
    """One line of the table."""
    scaled = "" if side.ran_all else "~"
    ratio = "" if side is ours else f"{side.full_search_s / ours.full_search_s:.1f} times as fast"
    loss, auc = differences(ours.epochs, side.epochs)
    return (
        setting,
        side.name,
        f"{side.trials} trials × {len(side.epochs) // side.trials} epochs",
        f"{side.wall_s:.1f}",
        f"{side.epoch_s:.3f}",
        f"{scaled}{side.full_search_s:.0f}",
        f"{scaled}{60 * TRIALS / side.full_search_s:.3g}",
        ratio,
        "" if side is ours else f"{loss:.1e}, {auc:.1e}",
    )


def targets_of(setting: Setting, side: Side, ours: Side, judged: bool) -> list[report.Target]:
    """What the comparison with one side must show; metrics must agree in a smoke run as well."""
    ratio, (loss, auc) = side.full_search_s / ours.full_search_s, differences(ours.epochs, side.epochs)
    found = [
        report.Target(
            f"{setting.name}, {side.name}: relative difference of the loss", loss, LOSS_TOLERANCE, at_least=False
        ),
        report.Target(
            f"{setting.name}, {side.name}: difference of the AUC", auc, setting.auc_tolerance, at_least=False
        ),
    ]
    wanted = {RAY: setting.wanted, OPTUNA: 1.0}.get(side.name)
    if wanted is not None:
        found.insert(0, report.Target(f"{setting.name}, times as fast as {side.name}", ratio, wanted, binding=judged))
    return found


if __name__ == "__main__":
    sys.exit(main())
