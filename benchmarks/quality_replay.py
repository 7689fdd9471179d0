"""A search without training: a controller with simulated workers, which takes every epoch from a table."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.quality_tables import Epoch, Table, ValidationSet

WAIT, DONE = "wait", "done"
"""A method has nothing to suggest until a running trial has ended; or never again."""


@dataclass(frozen=True)
class Task:
    """One search for a method to begin."""

    blocks: int
    """trainable_blocks goes from 0 to this."""
    epochs: int
    seed: int
    default: dict[str, Any]
    """The default configuration's values of what is searched."""

    @classmethod
    def of(cls, table: Table, repetition: int) -> Task:
        """The search of one repetition: the same seed for every method."""
        problem, default = table.problem, table.configurations[0]
        names = default if problem.blocks else ("learning_rate", "temperature")
        return cls(problem.blocks, problem.epochs, repetition, {name: default[name] for name in names})


@dataclass(frozen=True)
class Asked:
    """What a method wants trained."""

    trial: str
    values: dict[str, Any]
    stop: int | None = None
    """The last epoch wanted, for now; none: the problem's last."""
    after: str | None = None
    """The trial that this one goes on with, from where that one stopped."""


@dataclass(frozen=True)
class Measured:
    """What one epoch came to on the validation pairs."""

    epoch: int
    auc: float
    accuracy: Callable[[], float]
    """Cross-fitted; computed when asked for, as it takes longest."""
    finished: bool
    sick: str | None


class Method(Protocol):
    """A searcher with its scheduler."""

    def ask(self) -> Asked | str:
        """A trial to train, or WAIT, or DONE."""
        ...

    def report(self, trial_id: str, measured: Measured) -> bool:
        """Hear of an epoch; False stops the trial. It has ended as well when measured says finished or sick."""
        ...


@dataclass
class Trial:
    """One trial of a replayed search."""

    values: dict[str, Any]
    configuration: int
    seed: int
    epoch: int = 0
    """How far it was trained."""
    ended: str = "running"
    """completed, pruned or sick."""

    def at(self, epoch: int | None = None) -> Epoch:
        """Its entry in the table, of its last epoch if no other is named."""
        return Epoch(self.configuration, self.seed, epoch or self.epoch)


@dataclass
class Search:
    """A replayed search: its trials in the order of their start, and every epoch in the order in which it ended."""

    trials: dict[str, Trial] = field(default_factory=dict)
    trace: list[Epoch] = field(default_factory=list)


def replay(
    method: Method,
    table: Table,
    validation: ValidationSet,
    repetition: int,
    workers: int = 2,
    max_epochs: int | None = None,
    until: Callable[[Epoch], bool] = lambda at: False,
) -> Search:
    """Run the method with `workers` at a time; an epoch takes each the same time.

    Ends when the method is done and all its trials have ended, after `max_epochs` in all, or with an epoch at which
    `until` is true.
    """
    running: list[tuple[int, int, str, int]] = []  # when its epoch ends, order, trial, last epoch
    search, free, done, clock = Search(), workers, False, 0
    while True:
        while free and not done:
            asked = method.ask()
            if asked == WAIT:
                break
            if isinstance(asked, str):
                done = True
                break
            _begin(search, asked, table, repetition)
            heapq.heappush(running, (clock + 1, len(search.trace), asked.trial, asked.stop or table.problem.epochs))
            free -= 1
        if not running:
            return search
        clock, _, name, stop = heapq.heappop(running)
        trial = search.trials[name]
        goes_on = _epoch(method, name, trial, table, validation, stop)
        search.trace.append(trial.at())
        if until(trial.at()) or (max_epochs is not None and len(search.trace) >= max_epochs):
            return search
        if goes_on:
            heapq.heappush(running, (clock + 1, len(search.trace), name, stop))
        else:
            free += 1


def _begin(search: Search, asked: Asked, table: Table, repetition: int) -> None:
    """A new trial, or one that goes on with another: the same training, further."""
    before = search.trials.get(asked.after or "")
    configuration = before.configuration if before else table.nearest(asked.values)
    seed = table.seed_of(repetition, configuration)
    search.trials[asked.trial] = Trial(asked.values, configuration, seed, before.epoch if before else 0)


def _epoch(method: Method, name: str, trial: Trial, table: Table, validation: ValidationSet, stop: int) -> bool:
    """Train the trial by an epoch and tell the method; whether it goes on."""
    trial.epoch += 1
    at = trial.at()
    last = table.last_epoch(at.configuration, at.seed)
    sick = table.sick(at) if at.epoch == last else None
    finished = at.epoch >= table.problem.epochs and sick is None
    auc = math.nan if sick else validation.auc(at)
    goes_on = method.report(name, Measured(at.epoch, auc, lambda: validation.accuracy(at), finished, sick))
    if sick or finished:
        trial.ended = "sick" if sick else "completed"
        return False
    if not goes_on or at.epoch >= stop:
        trial.ended = "pruned"
        return False
    return True


def epochs_until(search: Search, table: Table, share: float = 0.99) -> float:
    """Epochs trained, by all workers together, until the first whose AUC reaches that share of the best known; infinite
    if none does. AUC on the whole pool: what the search has found, not what it believes."""
    wanted = share * table.best_known_auc
    return next((at + 1.0 for at, epoch in enumerate(search.trace) if table.pool_auc[epoch] >= wanted), math.inf)
