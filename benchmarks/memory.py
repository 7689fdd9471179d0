"""python -m benchmarks.memory: what each further trial on a node adds to its memory.

Eight head-only trials run at the same time on one node, given their features as a search gives them. Private memory of a
trial's process (its unique set: what ending the process would give back) is read when every trial has passed over all of
the features. The same is done with the same trials on a hundredth of the images: that is what Python, torch, Ray and the
head take whatever the features are. The difference is what the features add to each trial, the first one's copy in the
object store being shared memory, which is shown beside it.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from rich.console import Console

from benchmarks import report
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.errors import InputError
from trainable.model.backbone import Backbone
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.start import Start
from trainable.trial import PairTrial
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

WANTED_SHARE, WANTED_OWN_MB = 0.10, 400
TRIALS = 8
_BACKBONE = BackboneSpec("mobilenetv2_100", "none", 32)
_BATCH = 256
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Options:
    """Measure what the second to eighth concurrent trial on a node add to its memory."""

    features_mb: float = 500.0
    """Size of the features, in 10⁶ bytes; they are random numbers, held once in Ray's object store."""
    quick: bool = False
    """A smoke run: two trials on 20 MB; its numbers mean nothing and are not judged."""


@dataclass(frozen=True)
class Measured:
    """Bytes, while all trials were running."""

    private: list[int]
    """Of each trial's process, smallest first."""
    shared: int
    """Shared memory that a trial's process has mapped, of the one that has most: the object store's pages."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    options = parse(Options, arguments, prog="python -m benchmarks.memory")
    if not options.features_mb >= 1:
        raise InputError(f"--features-mb is {options.features_mb}; valid is a number from 1. Give such a number.")
    console = report.console()
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trials, features_mb = (2, 20.0) if options.quick else (TRIALS, options.features_mb)
    report.heading("Memory", console)
    backbone = create_backbone(_BACKBONE)
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        base = measured(synthetic(backbone, features_mb / 100), backbone, trials, folder)
        full = measured(synthetic(backbone, features_mb), backbone, trials, folder)
    return conclude(base, full, features_mb * 1e6, not options.quick, console)


def synthetic(backbone: Backbone, features_mb: float) -> PairData:
    """Random features of a frozen backbone, as many as fill the memory; every image is in one training pair."""
    images = max(1200, int(features_mb * 1e6 / 4 / backbone.feature_size)) // 2 * 2
    random = np.random.default_rng(0)
    pixels = np.zeros((images, 1, 1, 3), dtype=np.uint8)  # never looked at: trials start from the features
    features = random.standard_normal((images, backbone.feature_size), dtype=np.float32)
    front, angle = np.arange(images).reshape(-1, 2).T
    label = (np.arange(len(front)) % 2).astype(np.int8)
    identity = np.arange(images)
    split = np.zeros(len(front), dtype=np.int8)
    split[-400:] = np.repeat([1, 2], 200)
    return PairData(
        pixels, front, angle, label, identity[front], identity[angle - label], split, "random", {0: features}
    )


def measured(data: PairData, backbone: Backbone, trials: int, folder: str) -> Measured:
    """Run the trials at once, through Tune and its object store as a search does, and read the processes' memory."""
    ray.init(
        address="local",
        num_cpus=trials,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=int(sum(array.nbytes for array in data.features.values()) * 1.3) + 300_000_000,
    )
    try:
        sampler = Sampler(trials)
        settings = Settings()
        start = Start(backbone, data).for_heads()
        trainable = tune.with_parameters(
            PairTrial, data=start.data, backbone=start.backbone, settings=settings, run="memory"
        )
        config = TrialConfig(trainable_blocks=0, batch_size=_BATCH, epochs=1000)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={
                "number": tune.grid_search(list(range(trials))),
                "title": "trial",
                "config": config,
            },
            run_config=tune.RunConfig(callbacks=[sampler], stop=sampler.stop, verbose=0, storage_path=folder),
        )
        if errors := tuner.fit().errors:
            raise errors[0]
        return sampler.result()
    finally:
        ray.shutdown()


class Sampler(tune.Callback):
    """Reads the memory of all trials' processes once each of them has passed twice over its features, then ends them."""

    def __init__(self, trials: int) -> None:
        self._trials, self._epochs = trials, dict[str, int]()
        self._pids: dict[str, int] = {}
        self._measured: Measured | None = None
        self._deadline = time.monotonic() + _TIMEOUT_S

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
        self._epochs[trial.trial_id], self._pids[trial.trial_id] = result["epoch"], result["pid"]
        result.pop("carried")
        if self._measured is None and len(self._epochs) == self._trials and min(self._epochs.values()) >= 2:
            rollups = [memory_of(pid) for pid in self._pids.values()]
            private = sorted(r["Private_Clean"] + r["Private_Dirty"] for r in rollups)
            self._measured = Measured(private, max(r["RssShmem"] for r in rollups))

    def stop(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial should end: all were measured, or never will be."""
        return self._measured is not None or time.monotonic() > self._deadline

    def result(self) -> Measured:
        """What was read. Raises RuntimeError if the trials never ran at the same time."""
        if self._measured is None:
            raise RuntimeError(f"{len(self._epochs)} of {self._trials} trials ran at the same time in {_TIMEOUT_S:g} s")
        return self._measured


def memory_of(pid: int) -> dict[str, int]:
    """Bytes by name, of Linux' smaps_rollup and status of a process."""
    lines = [
        line for name in ("smaps_rollup", "status") for line in Path(f"/proc/{pid}/{name}").read_text().splitlines()
    ]
    words = [line.split() for line in lines if line.endswith(" kB")]
    return {name.rstrip(":"): 1024 * int(value) for name, value, _ in words}


def conclude(base: Measured, full: Measured, features: float, judged: bool, console: Console) -> int:
    """Print the table and the targets; the exit code. features: their bytes."""
    own = float(np.median(base.private))
    added = added_by_features(base, full, features)
    columns = (
        "features",
        "trials",
        "shared with them",
        "private, each",
        "without features",
        "added by features",
        "share",
    )
    row = (
        *(f"{features / 1e6:.0f} MB", len(full.private), f"{full.shared / 1e6:.0f} MB"),
        *(f"{full.private[0] / 1e6:.0f} to {full.private[-1] / 1e6:.0f} MB", f"{own / 1e6:.0f} MB"),
        *(f"{min(added) * features / 1e6:.1f} to {max(added) * features / 1e6:.1f} MB", f"{max(added):.1%}"),
    )
    console.print(report.table(columns, [row]))
    console.print(
        f"The process of a trial itself (Python, torch, Ray, head) takes {own / 1e6:.0f} MB whatever the features are: "
        f"{own / features:.0%} of these, and at most 10 % of features from {own / WANTED_SHARE / 1e9:.1f} GB on.",
        soft_wrap=True,
    )
    most = report.Target(
        "added by the features to each further trial, at most", max(added), WANTED_SHARE, at_least=False, binding=judged
    )
    alone = report.Target("MB of a head-only trial's process itself", own / 1e6, WANTED_OWN_MB, at_least=False, binding=judged)
    return report.verdict([most, alone], console)


def added_by_features(base: Measured, full: Measured, features: float) -> list[float]:
    """Of each trial but one, private memory beyond what the same trial takes on hardly any features, over their size.

    The trial with the smallest is taken for the first; the object store's copy counts for it.
    """
    own = float(np.median(base.private))
    return [(private - own) / features for private in full.private[1:]]


if __name__ == "__main__":
    sys.exit(main())
