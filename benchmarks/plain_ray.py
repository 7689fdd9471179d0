"""The plain Ray Tune script: a function trainable, a core and a new actor a trial. python -m benchmarks.plain_ray JOB"""

from __future__ import annotations

import sys
from typing import Any

import ray
from ray import tune

from benchmarks.plain_training import Job, train_trial


def train_on_worker(config: dict[str, Any]) -> None:
    """Reports every epoch to Tune."""
    for row in train_trial(Job.read(config["job"]), config["number"]):
        tune.report({name: row[name] for name in ("epoch", "contrastive_loss", "val_auc")})


def main(path: str) -> int:
    """Train the job's configurations."""
    job = Job.read(path)
    ray.init(num_cpus=job.workers, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(train_on_worker, {"cpu": 1}),
        param_space={"job": path, "number": tune.grid_search(list(range(len(job.configurations))))},
        tune_config=tune.TuneConfig(metric="val_auc", mode="max"),
        run_config=tune.RunConfig(storage_path=job.folder, name="ray"),
    )
    errors = tuner.fit().errors
    if errors:
        raise errors[0]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
