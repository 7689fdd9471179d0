"""The plain Syne Tune script: its local backend, a process a trial. python -m benchmarks.plain_syne_tune JOB

The same file is the script of a trial: with --number it trains that one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def search(path: str) -> None:
    """Train the job's configurations."""
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import randint
    from syne_tune.optimizer.baselines import RandomSearch

    from benchmarks.plain_training import Job

    job = Job.read(path)
    count = len(job.configurations)
    scheduler = RandomSearch(
        {"number": randint(0, count), "job": path},
        metrics=["val_auc"],
        do_minimize=False,
        points_to_evaluate=[{"number": number, "job": path} for number in range(count)],
    )
    Tuner(
        trial_backend=LocalBackend(entry_point=__file__),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_num_trials_started=count - 1),  # it asks for more than, not at least
        wait_trial_completion_when_stopping=True,
        n_workers=job.workers,
        sleep_time=1.0,
        save_tuner=False,
        trial_backend_path=str(Path(job.folder) / "syne_tune"),
    ).run()


def train_one(path: str, number: int) -> None:
    """A trial, in a process of its own."""
    from syne_tune import Reporter

    from benchmarks.plain_training import Job, train_trial

    report = Reporter()
    for row in train_trial(Job.read(path), number):
        report(epoch=row["epoch"], val_auc=row["val_auc"])


def main(arguments: list[str]) -> int:
    """The search for a JOB, or one of its trials."""
    sys.path.insert(0, str(ROOT))  # of a trial: Syne Tune starts this file as a script
    if len(arguments) == 1:
        search(arguments[0])
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", required=True)
    parser.add_argument("--number", type=int, required=True)
    given, _ = parser.parse_known_args(arguments)  # Syne Tune adds arguments of its own
    train_one(given.job, given.number)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
