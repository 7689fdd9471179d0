"""Trials run by Tune: the scheduler that stops weak ones early, and what ends the search."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Collection, Sequence
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher
from rich.console import Console
from rich.markup import escape

from trainable.config import Choice, Settings
from trainable.training.start import Start, Starts, words
from trainable.trial import REPORT_S, PairTrial, gpu_precision
from tuner.cli.run_options import HardwareOptions, SearchOptions
from tuner.cli.values import cache_folder
from tuner.cluster.connection import Cluster, TrialResources
from tuner.cluster.feature_cache import FeatureCache
from tuner.cluster.node_files import DriverFiles
from tuner.cluster.private_ray import let_waiting_workers_train
from tuner.cluster.shared_features import with_features
from tuner.search.plan import Plan
from tuner.search.scheduler import make_scheduler, rungs


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


class _Silent(tune.ProgressReporter):
    """Says nothing: what Tune puts into a notebook by itself wipes out what a run has printed."""

    def should_report(self, trials: Any, done: bool = False) -> bool:
        return False

    def report(self, trials: Any, done: bool, *sys_info: Any) -> None:
        pass


def precision(options: HardwareOptions, resources: TrialResources, cuts: Collection[int | None]) -> str:
    """What the encoder computes in: as asked for, or what suits the device and what trains.

    A head alone gains nothing by halves, as its step is launches and little else; in fp32 those of folds train as one batch.
    """
    if options.precision != "auto":
        return options.precision
    if resources.device == "cpu" or set(cuts) == {0}:
        return "fp32"
    return str(ray.get(gpu_precision.options(num_gpus=resources.gpus).remote()))


def starts_with_features(plan: Plan, cluster: Cluster, resources: TrialResources, console: Console) -> Starts:
    """What trials start from, with what frozen blocks make of the images, computed once or read from the cache.

    The memory for features is shared out evenly; what one choice leaves goes to those after it.
    """
    options, here = plan.options, cluster.address is None
    memory_gb = options.hardware.feature_memory_gb
    left_gb = cluster.object_store_gb / 2 if memory_gb is None else memory_gb
    cache = FeatureCache(cache_folder(options.data.cache) / "features", options.data.cache_gb)
    files = DriverFiles(here, options.data.cache_gb)
    seen = {id(start.data): files.known(start.data) for start in plan.starts.values()}
    found: dict[Choice, Start] = {}
    for choice, start in plan.starts.items():
        if len(plan.starts) > 1:
            console.print(f"[bold]start[/bold]      {escape(words(plan.bound.origin(choice)))}", soft_wrap=True)
        data = with_features(
            seen[id(start.data)],  # of backbones that see the same images it goes to the nodes once
            start.backbone,
            plan.bound.cuts,
            resources,
            memory_gb=left_gb / (len(plan.starts) - len(found)),
            precision=options.hardware.feature_precision,
            cache=cache,
            console=console,
            here=here,
        )
        left_gb -= sum(array.nbytes for array in data.features.values()) / 1e9
        found[choice] = Start(start.backbone, files.known(data))
    return found


def pair_trial(plan: Plan, starts: Starts, settings: Settings, scheduler: str) -> Any:
    """What Tune runs: one trial, with all that trials share."""
    own = plan.bound.choices[0]
    if set(plan.bound.cuts) == {0} and not settings.measure_image:
        starts = {choice: start.for_heads() for choice, start in starts.items()}
    return tune.with_parameters(
        PairTrial,
        data=starts[own].data,
        backbone=starts[own].backbone,
        settings=settings,
        run=plan.run,
        rungs=rungs(scheduler, plan.options.configuration.epochs),
        report_s=min(REPORT_S, plan.options.output.checkpoint_s),
        own=own,
        others={choice: start for choice, start in starts.items() if choice != own},
    )


def run_experiment(
    trainable: Any,
    searcher: Searcher,
    *,
    options: SearchOptions,
    epochs: int,
    trials_to_go: int,
    max_failures: int,
    resources: TrialResources,
    storage: tuple[str, Any],
    attempt: str,
    stop: Stop,
    callbacks: Sequence[tune.Callback],
) -> None:
    """Run the trials. storage: (path, pyarrow file system or None) where Tune keeps checkpoints, under `attempt`;
    callbacks: the recorder among them."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # no CSV, JSON or TensorBoard beside our tables
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours ends the run in order
    os.environ["TUNE_FORCE_TRIAL_CLEANUP_S"] = "5"  # a stopped actor has nothing to save
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its banner is printed whatever the verbosity
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"  # they go into the tables
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "inf"  # its own memory of the search is not what a run goes on from
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    let_waiting_workers_train()
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    path, filesystem = storage
    per_trial = {"cpu": resources.cpus, **({"gpu": resources.gpus} if resources.gpus else {})}
    trainable = tune.with_resources(trainable, per_trial)
    trainable.__qualname__ = (
        PairTrial.__name__
    )  # Ray's dashboard shows it: else with_resources.<locals>.ResourceTrainable
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=make_scheduler(options.scheduler, options.metric, epochs),
            num_samples=trials_to_go,
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:04d}",
        ),
        run_config=tune.RunConfig(
            name=attempt,
            storage_path=path,
            storage_filesystem=filesystem,
            callbacks=list(callbacks),
            stop=stop,
            verbose=0,
            progress_reporter=_Silent(),
            failure_config=tune.FailureConfig(max_failures=max_failures),
            # Tune writes down its own state, too, whenever a trial has saved as often as its states are kept
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=True),
        ),
    )
    tuner.fit()
