"""What Optuna's storages take for a trial's suggestion and end, with a sampler that is shown all trials, or few of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from rich.console import Console

from benchmarks import report
from tuner.search.samplers import learning_from_stopped, make_sampler
from tuner.search.study_file import open_study

EPOCHS = 3


def measure(sizes: Sequence[int], folder: Path, console: Console) -> None:
    """Suggestion and telling of a trial by TPE with each of Optuna's storages, shown all trials and few of them."""
    made: dict[str, Callable[[int], Any]] = {
        "journal file": lambda n: JournalStorage(JournalFileBackend(str(folder / f"journal-{n}"))),
        "journal file, one fsync a trial (ours)": lambda n: open_study(folder / f"ours-{n}.log"),
        "SQLite": lambda n: RDBStorage(f"sqlite:///{folder / f'db-{n}'}"),
        "memory": lambda n: InMemoryStorage(),
    }
    rows = []
    for size in sizes:
        for name, make in made.items():
            if name == "SQLite" and size > 100:
                continue  # 100 trials alone take it seconds to write
            storage = make(size)
            study = optuna.create_study(
                storage=storage, sampler=make_sampler("tpe", 0), direction="maximize", study_name="s"
            )
            fill(study, size)
            row = [f"{name}, {size:,} trials"]
            for sampler in (make_sampler("tpe", 0), learning_from_stopped(make_sampler("tpe", 0), storage)):
                study.sampler = sampler
                steps = [step(study) for _ in range(6)][1:]
                row += [
                    f"{1e3 * np.median([s[0] for s in steps]):.1f}",
                    f"{1e3 * np.median([s[1] for s in steps]):.1f}",
                ]
            rows.append(row)
    console.print(report.table(("storage", "suggest ms", "tell ms", "shown few: suggest", "tell"), rows))


def fill(study: optuna.Study, size: int) -> None:
    """With trials of three parameters."""
    floats = optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)
    distributions = {"rate": floats, "temperature": floats, "blocks": optuna.distributions.IntDistribution(0, 4)}
    random = np.random.default_rng(0)
    for number in range(size):
        rate, temperature = (float(10 ** random.uniform(-5, -1)) for _ in range(2))
        params = {"rate": rate, "temperature": temperature, "blocks": int(random.integers(5))}
        values = {epoch: float(random.random()) for epoch in range(1, EPOCHS + 1)}
        study.add_trial(
            optuna.create_trial(
                params=params,
                distributions=distributions,
                value=values[EPOCHS],
                intermediate_values=values,
                user_attrs={"number": number},
            )
        )


def step(study: optuna.Study) -> tuple[float, float]:
    """Seconds of a suggestion, and of all that is told of its trial."""
    began = time.perf_counter()
    trial = study.ask()
    value = trial.suggest_float("rate", 1e-5, 1e-1, log=True) + trial.suggest_float("temperature", 1e-5, 1e-1, log=True)
    trial.suggest_int("blocks", 0, 4)
    asked = time.perf_counter()
    for name in ("values", "state", "number"):
        trial.set_user_attr(name, 1)
    for epoch in range(1, EPOCHS + 1):
        trial.report(value, epoch)
    study.tell(trial, value)
    return asked - began, time.perf_counter() - asked
