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
from benchmarks import quality_output as output
from benchmarks import report
from benchmarks.quality_adapter import System, SystemSettings
from benchmarks.quality_peers import SLOW, Peer, optuna_peers, remote_peers
from benchmarks.quality_problems import PROBLEMS, QUICK, Problem, validation_sizes
from benchmarks.quality_replay import Task, replay
from benchmarks.quality_speed import PRODUCT, STARTED, Kept, Race, Speeds
from benchmarks.quality_tables import Table, ValidationSet
from benchmarks.quality_training import fill
from trainable.errors import InputError

LOST, BIAS, WORSE, OF_BEST_PEER, OF_BEST_PEER_STARTED = 0.003, 0.005, 0.03, 0.75, 0.5
JUDGED_FROM = 10
"""A peer with fewer repetitions is shown and not judged by: the median of two is luck."""
STARTS_OF_EACH = 2
"""Configurations of each other problem's search that a search starts from."""


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
    slow_repetitions: int | None = None
    """Of the peers that think for seconds before every trial; none: as many. What peers came to is kept; below 10 they are
    not judged by."""
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
        for name in ("repetitions", "slow_repetitions", "trials", "workers", "max_epochs", "configurations"):
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
    output.print_tables(tables, console)
    rows = pd.DataFrame([row for table in tables for row in judged_searches(table, options)])
    output.print_choices(rows, console)
    speeds, missing = raced(tables, options, cache)
    output.print_speeds(speeds, options.max_epochs, console)
    if options.peers:
        output.print_missing(missing, console)
    code = report.verdict(targets(rows, speeds, judge=not options.quick), console)
    console.print(f"{(time.perf_counter() - started) / 60:.1f} minutes in all")
    return code


def _problems(options: QualityOptions) -> list[Problem]:
    return [QUICK] if options.quick else [problem for problem in PROBLEMS if problem.name in options.problems]


def _repetitions(options: QualityOptions) -> int:
    return 2 if options.quick else options.repetitions


def judged_searches(table: Table, options: QualityOptions) -> list[dict[str, object]]:
    """The product's searches on a problem and its small version, judged by every rule."""
    problem, settings = table.problem, SystemSettings()
    rows: list[dict[str, object]] = []
    for version, identities in validation_sizes(problem).items():
        for repetition in range(_repetitions(options)):
            validation = ValidationSet(table, identities, repetition)
            system = System(settings, Task.of(table, repetition), options.trials, options.workers)
            search = replay(system, table, validation, repetition, options.workers)
            where = {"problem": problem.name + version, "repetition": repetition, "epochs": len(search.trace)}
            rows += [where | row for row in figures.judged(search, validation, system.winner(search, validation))]
    return rows


def raced(tables: list[Table], options: QualityOptions, cache: Path) -> tuple[Speeds, list[str]]:
    """Method -> problem -> epochs of each repetition; and the peers that are not installed."""
    logs = cache / "search_quality"
    environments = Path(options.environments).expanduser() if options.environments else logs / "environments"
    remote, missing, processes = remote_peers(None if options.quick or not options.peers else environments, logs)
    local = [peer for peer in optuna_peers() if not (options.quick and "GP" in peer.name)] if options.peers else []
    found: Speeds = {}
    try:
        races = [_race_on(table, options) for table in tables]
        for race in races:
            _run(race, races, options, [*local, *remote], cache, found)
    finally:
        for process in processes:
            process.close()
    return found, missing


def _race_on(table: Table, options: QualityOptions) -> Race:
    sets = [ValidationSet(table, table.problem.val_identities, r) for r in range(_repetitions(options))]
    return Race(table, sets, options.workers, options.max_epochs)


def _run(race: Race, races: list[Race], options: QualityOptions, peers: list[Peer], cache: Path, found: Speeds) -> None:
    """Every method on one problem."""
    problem, repetitions = race.table.problem, _repetitions(options)
    kept = Kept(race, problem.folder(cache))
    methods: dict[str, tuple[Callable[[int], float], int]] = {}
    for name, settings in _systems(options).items():
        methods[name] = functools.partial(race.system, settings), repetitions
    if others := [other for other in races if other is not race]:
        methods[STARTED] = functools.partial(_started, race, others, options.trials), repetitions
    for peer in peers:
        count = min(repetitions, options.slow_repetitions or repetitions) if peer.name in SLOW else repetitions
        methods[peer.name] = functools.partial(kept.epochs, peer), count
    for name, (epochs, count) in methods.items():
        began = time.perf_counter()
        found.setdefault(name, {})[problem.name] = [epochs(repetition) for repetition in range(count)]
        took = time.perf_counter() - began
        if took > 30:
            print(f"{problem.name}, {name}: {took:.0f} s", file=sys.stderr, flush=True)


def _started(race: Race, others: list[Race], trials: int, repetition: int) -> float:
    """The product, given the best configurations of a search on each other problem."""
    settings = SystemSettings()
    known = [other.best_of_a_search(settings, trials, repetition, STARTS_OF_EACH) for other in others]
    return race.system(settings, repetition, [values for best in zip(*known, strict=False) for values in best])


def _systems(options: QualityOptions) -> dict[str, SystemSettings]:
    """The product as it is by default, and with other samplers."""
    default = SystemSettings()
    others = {f"{PRODUCT}, {s}": SystemSettings(sampler=s) for s in options.samplers if s != default.sampler}
    return {PRODUCT: default} | ({} if options.quick else others)


def targets(rows: pd.DataFrame, speeds: Speeds, judge: bool) -> list[report.Target]:
    """The figures of the product's own choice beside what they must be."""
    target = functools.partial(report.Target, at_least=False, binding=judge)
    means = functools.partial(figures.over_problems, rows, figures.SYSTEM)
    return [
        target("lost against the truly best of those tried, unseen accuracy", means("lost"), LOST),
        target("promised less unseen accuracy, mean, either way", abs(means("over_accuracy")), BIAS),
        target("promised less unseen AUC, mean, either way", abs(means("over_auc")), BIAS),
        target(
            "share of searches whose winner is worse than the default with a solved threshold", means("worse"), WORSE
        ),
        target(
            "epochs until 99 % of the best known AUC, over the best peer's",
            over_best_peer(speeds, PRODUCT),
            OF_BEST_PEER,
        ),
        target(
            "the same, started from other problems' runs",
            over_best_peer(speeds, STARTED),
            OF_BEST_PEER_STARTED,
        ),
    ]


def over_best_peer(speeds: Speeds, method: str) -> float:
    """The method's epochs over those of the peer that comes out best beside it, on the repetitions that both have; NaN
    where there is no such method, or no peer with JUDGED_FROM of them."""
    if method not in speeds:
        return np.nan
    ratios = []
    for name, peer in speeds.items():
        if not name.startswith(PRODUCT) and min(map(len, peer.values())) >= JUDGED_FROM:
            pairs = [(speeds[method][p][: len(peer[p])], peer[p][: len(speeds[method][p])]) for p in peer]
            own, others = (np.mean([np.median(side) for side in sides]) for sides in zip(*pairs, strict=True))
            ratios.append(float(own / others))
    return max(ratios, default=np.nan)


def main(arguments: list[str] | None = None) -> int:
    """The command; exit code 1 below target, 2 for bad input."""
    import tyro

    from tuner.cli.values import cache_folder

    options = tyro.cli(QualityOptions, args=arguments, description=__doc__)
    try:
        options.check()
        return run(options, cache_folder(options.cache), report.console())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
