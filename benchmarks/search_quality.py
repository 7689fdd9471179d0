"""Is the winner truly better, and is the number said of it true? python -m benchmarks.search_quality

Searches are replayed on tables that benchmarks.quality_training has made: no training, no Ray; the searcher, the scheduler
and the choice of the winner are the product's own. What a search may propose is any point of its ranges; it gets what the
nearest tabulated configuration came to, the same rule for every method. Each repetition has its own seed and its own
identity-disjoint validation pairs, the same for every method.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import quality_figures as figures
from benchmarks import report
from benchmarks.quality_adapter import CAN_START_FROM, System, SystemSettings
from benchmarks.quality_peers import Peer, optuna_peers, remote_peers
from benchmarks.quality_problems import PROBLEMS, QUICK, SMALL_IDENTITIES, Problem
from benchmarks.quality_replay import replay
from benchmarks.quality_speed import SHARE, Kept, Race, median_over
from benchmarks.quality_tables import Table, ValidationSet
from benchmarks.quality_training import fill
from trainable.config import InputError

LOST, BIAS, WORSE, OF_BEST_PEER, OF_BEST_PEER_STARTED = 0.003, 0.005, 0.03, 0.75, 0.5
PRODUCT = "this system"


@dataclass(frozen=True)
class QualityOptions:
    """Replay searches and say what their answers are worth."""

    cache: str | None = None
    """Folder below which the tables are; none: the user's cache folder."""
    environments: str | None = None
    """Folder with an environment for each peer: ax, syne_tune, mobster, neps; none: search_quality/environments there."""
    problems: tuple[str, ...] = tuple(problem.name for problem in PROBLEMS)
    """Which problems."""
    repetitions: int = 60
    """Searches of each method on each problem."""
    peer_repetitions: int | None = None
    """Of the peers; none: as many. Some take a minute each; results are kept."""
    trials: int = 16
    """Of the searches whose winner is judged."""
    workers: int = 2
    """Trials at a time."""
    max_epochs: int = 150
    """Epochs after which a search that has not found enough is given up, and counts as so many."""
    configurations: int | None = None
    """Use no more of the tables; none: all that there are."""
    samplers: tuple[str, ...] = ("qmc", "random")
    """Samplers of this system to show beside its default."""
    peers: bool = True
    """Run the peers as well."""
    quick: bool = False
    """A problem made on the spot, two repetitions, nothing judged: for tests."""

    def check(self) -> None:
        """InputError for values that cannot be."""
        known = [problem.name for problem in PROBLEMS]
        unknown = sorted(set(self.problems) - set(known))
        if unknown or not self.problems:
            raise InputError(f"--problems names {unknown or 'none'}; valid are: {', '.join(known)}. Correct it.")
        for name in ("repetitions", "peer_repetitions", "trials", "workers", "max_epochs", "configurations"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {value}; valid is a whole number from 1. Give one.")


def run(options: QualityOptions, cache: Path, console: Console) -> int:
    """Replay, print, judge; the exit code."""
    started = time.perf_counter()
    report.heading("search quality", console, ("optuna", "ray", "numpy"))
    if options.quick:
        fill(QUICK, cache, Path(), 8, 2)
    tables = [Table(problem, cache, options.configurations) for problem in _problems(options)]
    _print_tables(tables, console)
    rows = pd.DataFrame([row for table in tables for row in judged_searches(table, options)])
    _print_choices(rows, console)
    speeds, missing = raced(tables, options, cache)
    _print_speeds(speeds, options, console)
    if options.peers:
        console.print(f"peers not installed: {', '.join(missing) or 'none'}\n")
    code = report.verdict(targets(rows, speeds, judge=not options.quick), console)
    console.print(f"{(time.perf_counter() - started) / 60:.1f} minutes in all")
    return code


def _problems(options: QualityOptions) -> list[Problem]:
    return [QUICK] if options.quick else [problem for problem in PROBLEMS if problem.name in options.problems]


def _repetitions(options: QualityOptions) -> int:
    return 2 if options.quick else options.repetitions


def validation_sizes(problem: Problem) -> dict[str, int]:
    """Version of the problem -> identities of its validation sets."""
    return {"": problem.val_identities, ", small": min(SMALL_IDENTITIES, problem.val_identities)}


def judged_searches(table: Table, options: QualityOptions) -> list[dict[str, object]]:
    """The product's searches on a problem and its small version, judged by every rule."""
    problem, settings = table.problem, SystemSettings()
    rows: list[dict[str, object]] = []
    for version, identities in validation_sizes(problem).items():
        for repetition in range(_repetitions(options)):
            validation = ValidationSet(table, identities, repetition)
            system = System(settings, problem.blocks, problem.epochs, options.trials, options.workers, repetition)
            search = replay(system, table, validation, repetition, options.workers)
            where = {"problem": problem.name + version, "repetition": repetition, "epochs": len(search.trace)}
            rows += [where | row for row in figures.judged(search, validation, system.winner())]
    return rows


def raced(tables: list[Table], options: QualityOptions, cache: Path) -> tuple[dict[str, dict[str, list[float]]], list[str]]:
    """Method -> problem -> epochs of each repetition; and the peers that are not installed."""
    logs = cache / "search_quality"
    environments = Path(options.environments).expanduser() if options.environments else logs / "environments"
    remote, missing, processes = remote_peers(None if options.quick or not options.peers else environments, logs)
    local = [peer for peer in optuna_peers() if not (options.quick and "GP" in peer.name)] if options.peers else []
    found: dict[str, dict[str, list[float]]] = {}
    try:
        for table in tables:
            _race(table, options, [*local, *remote], cache, found)
    finally:
        for process in processes:
            process.close()
    return found, missing


def _race(table: Table, options: QualityOptions, peers: list[Peer], cache: Path, found: dict[str, dict[str, list[float]]]) -> None:
    """Every method on one problem."""
    problem, repetitions = table.problem, _repetitions(options)
    validations = [ValidationSet(table, problem.val_identities, r) for r in range(repetitions)]
    race = Race(table, validations, options.workers, options.max_epochs)
    kept = Kept(race, problem.folder(cache))
    methods: dict[str, tuple[Callable[[int], float], int]] = {}
    for name, settings in _systems(options).items():
        methods[name] = functools.partial(race.system, settings), repetitions
    for peer in peers:
        count = min(repetitions, options.peer_repetitions or repetitions)
        methods[peer.name] = functools.partial(kept.epochs, peer), count
    for name, (epochs, count) in methods.items():
        began = time.perf_counter()
        found.setdefault(name, {})[problem.name] = [epochs(repetition) for repetition in range(count)]
        took = time.perf_counter() - began
        if took > 30:
            print(f"{problem.name}, {name}: {took:.0f} s", file=sys.stderr, flush=True)


def _systems(options: QualityOptions) -> dict[str, SystemSettings]:
    """The product as it is by default, and with other samplers."""
    default = SystemSettings()
    others = {f"{PRODUCT}, {s}": SystemSettings(sampler=s) for s in options.samplers if s != default.sampler}
    return {PRODUCT: default} | ({} if options.quick else others)


def targets(rows: pd.DataFrame, speeds: dict[str, dict[str, list[float]]], judge: bool) -> list[report.Target]:
    """The figures of the product's own choice beside what they must be."""
    target = functools.partial(report.Target, at_least=False, binding=judge)
    means = functools.partial(figures.over_problems, rows, figures.SYSTEM)
    peers = [median_over(found) for name, found in speeds.items() if not name.startswith(PRODUCT)]
    best = min(peers, default=np.nan)
    return [
        target("lost against the truly best of those tried, unseen accuracy", means("lost"), LOST),
        target("promised less unseen accuracy, mean, either way", abs(means("over_accuracy")), BIAS),
        target("promised less unseen AUC, mean, either way", abs(means("over_auc")), BIAS),
        target("share of searches whose winner is worse than the default with a solved threshold", means("worse"), WORSE),
        target("epochs until 99 % of the best known AUC, over the best peer's", median_over(speeds[PRODUCT]) / best, OF_BEST_PEER),
        target(
            "the same, started from the other problems' runs"
            + ("" if CAN_START_FROM else " (this system cannot yet)"),
            median_over(speeds[STARTED]) / best if STARTED in speeds else np.nan,
            OF_BEST_PEER_STARTED,
        ),
    ]


STARTED = f"{PRODUCT}, started from other runs"


def _print_tables(tables: list[Table], console: Console) -> None:
    """What was replayed, and how hard it is."""
    shown = []
    for table in tables:
        count, goal = len(table.configurations), SHARE * table.best_known_auc
        final = [table.pool_auc[at] for at in table.last_epochs() if table.sick(at) is None]
        default = np.mean([table.pool_auc[at] for at in table.last_epochs() if at.configuration == 0])
        reach = np.mean([value >= goal for value in final])
        identities = " or ".join(map(str, validation_sizes(table.problem).values()))
        shown.append(
            (table.problem.name, f"{count} × {table.seeds} × {table.problem.epochs} epochs", len(table.labels))
            + (identities, f"{table.best_known_auc:.4f}", f"{default:.4f}", f"{100 * reach:.1f} %")
        )
    columns = ("problem", "configurations × seeds", "pool pairs", "validation identities", "best known AUC", "default's", "reach 99 %")
    console.print(report.table(columns, shown))
    console.print()


def _print_choices(rows: pd.DataFrame, console: Console) -> None:
    """What the winners are worth, by rule: over all problems, then the product's own on each."""
    names = ("lost", "over_accuracy", "over_auc", "worse", "better", "gain", "average")
    columns = ("choice", "searches", "unseen acc.", "unseen AUC", "lost", "over acc.", "over AUC", "worse", "better")
    columns += ("gain", "average's over")

    def line(name: str, part: pd.DataFrame) -> tuple[str, ...]:
        by_problem = part.groupby("problem")[["accuracy", "auc", *names]].mean().mean()
        lost, over = (f"{mean:+.4f} ± {margin:.4f}" for mean, margin in map(figures.mean_and_margin, (part.lost, part.over_accuracy)))
        return (
            *(name, str(len(part)), f"{by_problem.accuracy:.4f}", f"{by_problem.auc:.4f}", lost, over),
            *(f"{by_problem.over_auc:+.4f}", f"{100 * by_problem.worse:.0f} %", f"{100 * by_problem.better:.0f} %"),
            *(f"{by_problem.gain:+.4f}", f"{by_problem.average:+.4f}"),
        )

    rules = [figures.SYSTEM, *figures.RULES, figures.BEST]
    shown = [line(rule, rows[rows.rule == rule]) for rule in rules]
    console.print(report.table(columns, shown))
    for rule in (figures.SYSTEM, "AUC at the last epoch"):
        own = rows[rows.rule == rule]
        console.print(f"\n{rule}, by problem")
        console.print(report.table(columns, [line(str(name), part) for name, part in own.groupby("problem")]))
    console.print(
        "lost: unseen accuracy less than that of the truly best tried. over: promised less unseen. worse, better, gain: than "
        "the default\nwith a solved threshold, on unseen pairs. average's over: of completed trials that nobody has chosen."
    )
    console.print()


def _print_speeds(speeds: dict[str, dict[str, list[float]]], options: QualityOptions, console: Console) -> None:
    """Median epochs by method and problem."""
    problems = list(next(iter(speeds.values())))
    shown = []
    for name, found in sorted(speeds.items(), key=lambda item: median_over(item[1])):
        medians = [f"{np.median(found[p]):.0f}" for p in problems]
        unreached = np.mean([np.asarray(found[p]) >= options.max_epochs for p in problems])
        count = "/".join(sorted({str(len(epochs)) for epochs in found.values()}))
        shown.append((name, count, *medians, f"{median_over(found):.1f}", f"{100 * unreached:.0f} %"))
    console.print(f"epochs until {100 * SHARE:.0f} % of the best known AUC, medians; at most {options.max_epochs}")
    console.print(report.table(("method", "searches", *problems, "mean", "not reached"), shown))


def main(arguments: list[str] | None = None) -> int:
    """The command; exit code 1 below target, 2 for bad input."""
    import tyro

    from tuner.data_source import cache_folder

    options = tyro.cli(QualityOptions, args=arguments, description=__doc__)
    try:
        options.check()
        return run(options, cache_folder(options.cache), report.console())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
