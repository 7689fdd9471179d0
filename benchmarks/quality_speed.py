"""How many epochs each method trains until it has found something nearly as good as the best known; peers' results are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_adapter import System, SystemSettings
from benchmarks.quality_peers import Peer
from benchmarks.quality_replay import Method, Task, epochs_until, replay
from benchmarks.quality_tables import Epoch, Table, ValidationSet

SHARE = 0.99
PRODUCT = "this system"
STARTED = f"{PRODUCT}, started from other runs"
Speeds = dict[str, dict[str, list[float]]]
"""Method -> problem -> epochs of each repetition."""


@dataclass(frozen=True)
class Race:
    """What all methods have in common on one problem."""

    table: Table
    validations: list[ValidationSet]
    workers: int
    max_epochs: int

    def run(self, begin: Any, repetition: int) -> float:
        """Epochs until the goal; `max_epochs` where it was not reached: a lower bound."""
        table, goal = self.table, SHARE * self.table.best_known_auc

        def reached(at: Epoch) -> bool:
            return table.pool_auc[at] >= goal

        method: Method = begin(Task.of(table, repetition))
        validation = self.validations[repetition]
        search = replay(method, table, validation, repetition, self.workers, self.max_epochs, reached)
        return min(epochs_until(search, table, SHARE), float(self.max_epochs))

    def system(self, settings: SystemSettings, repetition: int, start_from: Sequence[dict[str, Any]] = ()) -> float:
        """The product itself; never kept, as it is what changes."""

        def begin(task: Task) -> System:
            return System(settings, task, self.max_epochs, self.workers, start_from)

        return self.run(begin, repetition)

    def best_of_a_search(
        self, settings: SystemSettings, trials: int, repetition: int, count: int
    ) -> list[dict[str, Any]]:
        """The best configurations, by AUC at the last epoch, of a search of so many trials by the product."""
        validation = self.validations[repetition]
        system = System(settings, Task.of(self.table, repetition), trials, self.workers)
        search = replay(system, self.table, validation, repetition, self.workers)
        completed = [trial for trial in search.trials.values() if trial.ended == "completed"]
        completed.sort(key=lambda trial: -validation.auc(trial.at()))
        return [self.table.configurations[trial.configuration] for trial in completed[:count]]


class Kept:
    """Peers' results on one problem, in a file: they change with the peer's version and with the table only."""

    def __init__(self, race: Race, folder: Path) -> None:
        self._race = race
        self._path = folder / "peers.json"
        self._found: dict[str, float] = json.loads(self._path.read_text()) if self._path.is_file() else {}

    def epochs(self, peer: Peer, repetition: int) -> float:
        """Of one repetition, run unless it was run before."""
        race = self._race
        common = (peer.name, peer.version, repetition, len(race.table.configurations), race.table.seeds)
        rows = hashlib.sha256(race.validations[repetition].rows.tobytes()).hexdigest()[:8]
        key = json.dumps([*common, rows, race.workers, race.max_epochs, SHARE])
        if key not in self._found:
            self._found[key] = race.run(peer.begin, repetition)
            draft = self._path.with_suffix(".draft")
            draft.write_text(json.dumps(self._found, indent=0))
            draft.replace(self._path)
        return self._found[key]


def median_over(found: dict[str, list[float]]) -> float:
    """Mean over problems of each problem's median."""
    return float(np.mean([np.median(epochs) for epochs in found.values()]))
