"""The plain Optuna script: study.optimize with a thread a core. python -m benchmarks.plain_optuna JOB"""

from __future__ import annotations

import sys

import optuna
import torch

from benchmarks.plain_training import Job, train_trial
from benchmarks.rate_and_temperature import suggest


def main(path: str) -> int:
    """Train the job's configurations."""
    job = Job.read(path)
    torch.set_num_threads(1)  # a core a trial: with more they would fight for the cores
    study = optuna.create_study(direction="maximize")
    for values in job.configurations:
        study.enqueue_trial({name: values[name] for name in ("learning_rate", "temperature")})

    def objective(trial: optuna.Trial) -> float:
        suggest(trial)  # gives what was queued: the same configurations as the other sides
        return [row["val_auc"] for row in train_trial(job, trial.number)][-1]

    study.optimize(objective, n_trials=len(job.configurations), n_jobs=job.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
