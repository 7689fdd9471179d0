"""python -m benchmarks.diagnosis: are faults found and rightly named, and healthy trials left alone?

Faults are done, one at a time, to an otherwise healthy default trial on the embedded data (benchmarks/faults.py): first
the data checks that come before a run, and unless they refuse it, a training as a search trains it. A fault is found if
anything is said, and rightly named if the headline is its name: the sickness that ended the trial, or, where none did,
the first of what its last diagnosed epoch has, causes before what they bring about.

Healthy trials (benchmarks/healthy_trials.py) must be left alone, and show by their validation AUC that they were healthy.

The same on real sets, where they are at hand (--shared): the faults on each set with a trained backbone of its own, and
healthy trials of both sets with both backbones, in which the head, the last block or all is trained.

Logs of strangers (benchmarks/log_grammar.py, log_files.py): kinds of loss, scales, faults, noise, lengths and orders drawn
from a grammar, written as people's tools write them; half are healthy. They are drawn anew each time: --seed repeats them.

Cost: the processor's seconds of an epoch that its diagnoses take, on one thread, median over epochs.
"""

from __future__ import annotations

import math
import os
import secrets
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from benchmarks import diagnosed_logs, report, trial_settings
from benchmarks.diagnosed_trials import Seen, block_counts, cost_of_diagnoses, one_thread, with_fault, without_fault
from benchmarks.faults import FAULTS
from benchmarks.healthy_trials import DECENT_AUC, FINE_TUNED_RATES, SENSIBLE, Healthy, drawn, of_real_sets
from benchmarks.trial_settings import Setting
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code
from tuner.cli.run_options import check_choice

SEEDS, EACH = 3, 2
REAL_EACH = 5
WANTED_COST, WANTED_WARNED = 0.02, 0.02
_QUICK_FAULTS = ("the broken loss", "a NaN image", "all images identical", "labels inverted")


@dataclass(frozen=True)
class Options:
    """Do faults to trials, and look at healthy ones."""

    processes: int = os.cpu_count() or 1
    """Trials at a time, each on one core."""
    quick: bool = False
    """A smoke run: some of the faults, one healthy trial of each space, and fewer logs."""
    only: str = "all"
    """Which part to run: trials, logs, or all."""
    sets: str = "all"
    """What trials train on: embedded, real, or all; all: the real sets too where --shared has them."""
    shared: Path = Path("../shared")
    """The folder with data/vehicle_reid, data/coil100 and weights."""
    logs: int | None = None
    """How many logs; none: as many as the targets are meant for."""
    seed: int | None = None
    """Seed of the logs; none: another one each time, which is printed."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    console = report.console()
    options = parse(Options, arguments, prog="python -m benchmarks.diagnosis")
    check_choice("--only", options.only, ("all", "trials", "logs"))
    check_choice("--sets", options.sets, ("all", "embedded", "real"))
    report.heading("Diagnoses", console)
    targets = [] if options.only == "logs" else _trials(options, console)
    if options.only != "trials":
        targets += _logs(options, console)
    return report.verdict(targets, console)


def _logs(options: Options, console: Console) -> list[report.Target]:
    seed = secrets.randbits(32) if options.seed is None else options.seed
    count = options.logs or (diagnosed_logs.QUICK_LOGS if options.quick else diagnosed_logs.LOGS)
    console.print(f"\nlogs: {count} from the grammar, --seed {seed}")
    return diagnosed_logs.judge(list(diagnosed_logs.diagnosed(count, seed)), console)


def _trials(options: Options, console: Console) -> list[report.Target]:
    groups = ([] if options.sets == "real" else [_embedded(options, console)]) + _real(options, console)
    targets = []
    for settings, faulty, trials in groups:
        by_name = {setting.name: setting for setting in settings}
        targets += _cost(settings[0], console)
        names = [fault.name for fault in FAULTS if not options.quick or fault.name in _QUICK_FAULTS]
        with ProcessPoolExecutor(options.processes, get_context("spawn"), one_thread) as pool:
            done = [[pool.submit(with_fault, name, setting) for name in names] for setting in faulty]
            well = [pool.submit(without_fault, trial, by_name[trial.setting]) for trial in trials]
            for setting, seen in zip(faulty, done, strict=True):
                console.print(f"\nfaults on {setting.name}")
                targets += found(names, [future.result() for future in seen], console)
            targets += healthy(trials, [future.result() for future in well], console)
    return targets


Group = tuple[list[Setting], list[Setting], list[Healthy]]
"""Settings, those of them that faults are done to, and healthy trials."""


def _embedded(options: Options, console: Console) -> Group:
    from tuner.cli.run_options import DataOptions
    from tuner.inputs.dataset import data_path  # here: --help need not wait for it

    source = data_path(DataOptions(), console)
    backbones = trial_settings.EMBEDDED[: 1 if options.quick else None]
    settings = [trial_settings.embedded(source, backbone) for backbone in backbones]
    return settings, settings[:1], drawn(block_counts(settings), *((1, 1) if options.quick else (SEEDS, EACH)))


def _real(options: Options, console: Console) -> list[Group]:
    """The real sets; none where they are not at hand, unless they were asked for, and none in a smoke run."""
    wanted = options.sets == "real"
    if options.sets == "embedded" or (options.quick and not wanted):
        return []
    if not wanted and not (options.shared / "data").is_dir():
        console.print(f"no real sets: there is no {options.shared / 'data'}", soft_wrap=True)
        return []
    settings = trial_settings.real(options.shared.resolve())
    trials = of_real_sets([setting.name for setting in settings], 1 if options.quick else REAL_EACH)
    return [(settings, trial_settings.with_faults(settings), trials)]


def _cost(setting: Setting, console: Console) -> list[report.Target]:
    costs = {"head-only epoch, cached features": 0, "fully trained epoch": None}
    measured = {name: cost_of_diagnoses(setting, blocks) for name, blocks in costs.items()}
    rows = [(name, f"{1e3 * e:.1f}", f"{1e3 * d:.2f}", f"{100 * d / e:.2f} %") for name, (d, e) in measured.items()]
    console.print(f"\n{setting.name}")
    console.print(report.table(("cost", "epoch ms", "diagnoses ms", "share"), rows))
    return [
        report.Target(f"share of a {name}", diagnoses / epoch, WANTED_COST, at_least=False)
        for name, (diagnoses, epoch) in measured.items()
    ]


def found(names: Sequence[str], seen: Sequence[Seen], console: Console) -> list[report.Target]:
    """The table of the faults of these names, and the targets that it is held to."""
    right = {fault.name: fault.right for fault in FAULTS}
    named = [one.headline == right[name] for name, one in zip(names, seen, strict=True)]
    rows = [
        (name, one.headline or "nothing", "yes" if one.headline else "NO", "yes" if well else "NO",
         "" if one.epoch is None else one.epoch, ", ".join(one.also))
        for name, one, well in zip(names, seen, named, strict=True)
    ]  # fmt: skip
    columns = ("fault", "headline", "found", "rightly named", "at epoch (0: before)", "also said, at any epoch")
    console.print(report.table(columns, rows))
    return [
        report.Target(f"faults found, of {len(seen)}", sum(bool(one.headline) for one in seen), len(seen)),
        report.Target(f"… and rightly named, of {len(seen)}", sum(named), len(seen)),
    ]


def healthy(trials: Sequence[Healthy], seen: Sequence[Seen], console: Console) -> list[report.Target]:
    """The table of healthy trials, all of whom something was said of, and the targets that they are held to."""
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in SENSIBLE.items())
    all_trained = "{:g} to {:g}".format(*FINE_TUNED_RATES)
    console.print(f"\nhealthy: at random within {ranges}; all of a real set's backbone: rate {all_trained}", soft_wrap=True)
    rows = []
    for space in dict.fromkeys(trial.space for trial in trials):
        aucs = sorted(one.auc for trial, one in zip(trials, seen, strict=True) if trial.space == space)
        rows.append((space, len(aucs), f"{aucs[0]:.3f}", f"{aucs[len(aucs) // 2]:.3f}", f"{aucs[-1]:.3f}"))
    console.print(report.table(("space, or what is trained", "healthy trials", "AUC: lowest", "median", "highest"), rows))
    for trial, one in zip(trials, seen, strict=True):
        if one.headline or not one.auc >= DECENT_AUC:
            said = ", ".join((one.headline, *one.also)) or "nothing"
            console.print(f"{trial.name}: AUC {one.auc:.3f}; said: {said}", soft_wrap=True, markup=False)
    return [
        report.Target(f"healthy trials with AUC {DECENT_AUC:g}", sum(one.auc >= DECENT_AUC for one in seen), len(seen)),
        report.Target("… with an alarm of severity fail", sum(one.fatal for one in seen), 0, at_least=False),
        report.Target(
            "… with a warning", sum(bool(one.headline) for one in seen), math.floor(WANTED_WARNED * len(seen)), False
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
