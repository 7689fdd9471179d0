"""Trials run by Tune: the scheduler that stops weak ones early, and what ends the search."""

from __future__ import annotations

import logging
import math
import os
import time
from typing import Any

from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from trainable.config import METRICS
from tuner.cluster import Share
from tuner.options import SearchOptions
from tuner.recording import Recorder
from tuner.study import StudySearch

_REDUCTION = 3


class FairASHA(AsyncHyperBandScheduler):
    """ASHA that lets the default configuration train to its end: the winner is compared with it as it would be used.

    It ranks by what a training is worth at the best threshold: a searched one can be changed afterwards for nothing.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if math.isnan(result["training_objective"]):
            return TrialScheduler.CONTINUE
        decision = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if trial.config["number"] == 0 else decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if math.isnan(result.get("training_objective", math.nan)):
            self.on_trial_remove(tune_controller, trial)  # a rung of NaN has no cutoff
        else:
            super().on_trial_complete(tune_controller, trial, result)


def make_scheduler(name: str, metric: str, epochs: int) -> TrialScheduler:
    """ASHA: after a quarter and three quarters of the epochs the best third of the trials goes on. Or none: all go on."""
    if name == "none":
        return FIFOScheduler()
    return FairASHA(
        time_attr="epoch",
        metric="training_objective",
        mode=METRICS[metric],
        max_t=epochs,
        grace_period=rungs(epochs)[0],
        reduction_factor=_REDUCTION,
    )


def rungs(epochs: int) -> list[int]:
    """The epochs after which ASHA may stop a trial: a quarter of them, three quarters."""
    first = max(1, round(epochs / 4))
    return [first * _REDUCTION**k for k in range(epochs) if k == 0 or first * _REDUCTION**k < epochs]


class Stop(tune.Stopper):
    """Ends the search: after the time budget, or when `reason` is set from outside (a signal)."""

    def __init__(self, budget_s: float | None) -> None:
        self.reason: str | None = None
        self._deadline = time.monotonic() + budget_s if budget_s else math.inf

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self.reason is None and time.monotonic() >= self._deadline:
            self.reason = "time budget"
        return self.reason is not None


def run_experiment(
    trainable: Any,
    searcher: StudySearch,
    recorder: Recorder,
    *,
    options: SearchOptions,
    epochs: int,
    trials_to_go: int,
    max_failures: int,
    share: Share,
    storage: tuple[str, Any],
    attempt: str,
    stop: Stop,
) -> None:
    """Run the trials. storage: (path, pyarrow file system or None) where Tune keeps checkpoints, under `attempt`."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # no CSV, JSON or TensorBoard beside our tables
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours ends the run in order
    os.environ["TUNE_FORCE_TRIAL_CLEANUP_S"] = "5"  # a stopped actor has nothing to save
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its banner is printed whatever the verbosity
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"  # they go into the tables
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "inf"  # its own memory of the search is not what a run goes on from
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    class_cache.DEFAULT_ENV_VARS.clear()  # workers started in advance, which have no such variables, serve trials too
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    path, filesystem = storage
    resources = {"cpu": share.cpus, **({"gpu": share.gpus} if share.gpus else {})}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=make_scheduler(options.scheduler, options.metric, epochs),
            num_samples=trials_to_go,
            max_concurrent_trials=share.concurrent,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:04d}",
        ),
        run_config=tune.RunConfig(
            name=attempt,
            storage_path=path,
            storage_filesystem=filesystem,
            callbacks=[recorder],
            stop=stop,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=max_failures),
            # Tune writes down its own state, too, whenever a trial has saved as often as its states are kept
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=True),
        ),
    )
    tuner.fit()
