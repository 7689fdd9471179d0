"""One trial of benchmarks.diagnosis, with a fault or without, and what was said of it; and what the saying costs."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks.faults import FAULTS, SIDES, Fault
from benchmarks.healthy_trials import Healthy
from trainable.checks.data_checks import examine_images, examine_table
from trainable.config import TrialConfig
from trainable.data.images import decode
from trainable.data.pairs import PairData, PairTable
from trainable.data.read_pairs import read_pairs
from trainable.diagnosis.history import FAIL
from trainable.findings import OK, DataError, Finding
from trainable.metrics import spread, step_probe
from trainable.model.backbones import Backbone, BackboneSpec, block_count, create_backbone
from trainable.model.features import extract
from trainable.process import prepare_process
from trainable.training import epoch_report
from trainable.training.loop import Training

IMAGE_SIZE_PX = 64
_COST_EPOCHS = 6


@dataclass(frozen=True)
class Seen:
    """What was said of one trial."""

    headline: str = ""
    """The name that it ends with; empty if nothing was said."""
    epoch: int | None = None
    """When that was said first; 0: before training."""
    also: tuple[str, ...] = ()
    """All else that was said, at any epoch."""
    fatal: bool = False
    """Whether any of it was of severity fail."""
    auc: float = math.nan
    """The best validation AUC."""


def one_thread() -> None:
    """For a process that trains one trial at a time, on one core."""
    prepare_process(1)


def block_counts(backbones: Sequence[str]) -> dict[str, int]:
    """The number of blocks of each of these backbones."""
    return {name: block_count(_backbone(name)) for name in backbones}


def with_fault(name: str, source: Path) -> Seen:
    """The default trial with the fault of this name, on the pair table `source`."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    table, pixels, said = _faulty(fault, source)
    if said:
        said = sorted(said, key=lambda finding: finding.verdict != FAIL)
        names = [finding.check for finding in said]
        return Seen(names[0], 0, tuple(names[1:]), said[0].verdict == FAIL)
    data = PairData.of(table, pixels, fault.name, views=len(pixels) // len(table.images))
    return _trained(fault.trial(TrialConfig(**fault.config), _backbone("test_byobnet"), data))


def without_fault(trial: Healthy, source: Path) -> Seen:
    """A trial as the product trains it."""
    table, pixels, _ = _embedded(source)
    config = TrialConfig(**trial.config, seed=trial.seed)
    return _trained(Training(config, _backbone(trial.backbone), PairData.of(table, pixels, "embedded")))


def _trained(training: Training) -> Seen:
    first: dict[str, int] = {}
    headline, fatal, aucs = "", False, []
    while not training.finished:
        epoch = training.epoch()
        for name in epoch.diagnoses:
            first.setdefault(name, epoch.epoch)
        headline = epoch.diagnoses[0] if epoch.diagnoses else headline
        fatal = fatal or any(finding["severity"] == FAIL for finding in epoch.findings)
        aucs += [epoch.val_auc] if math.isfinite(epoch.val_auc) else []
    return Seen(headline, first.pop(headline, None), tuple(first), fatal, max(aucs, default=math.nan))


def _faulty(fault: Fault, source: Path) -> tuple[PairTable, np.ndarray, list[Finding]]:
    """Table and pixels with the fault, and what the data checks say against them."""
    rows = pd.read_csv(source)
    changed = fault.rows(rows)
    if changed is rows:
        table, plain, _ = _embedded(source)
        pixels = fault.pixels(plain, table)
        return _checked(table, pixels) if pixels is not plain else _embedded(source)
    changed = changed.assign(**{side: [str(source.parent / file) for file in changed[side]] for side in SIDES})
    with tempfile.TemporaryDirectory() as folder:
        changed.to_csv(file := Path(folder) / "pairs.csv", index=False)
        faults: list[DataError] = []
        table = read_pairs(file, tolerated=faults)
        return _checked(table, fault.pixels(decode(table, IMAGE_SIZE_PX)[0], table), faults)


@functools.cache
def _embedded(source: Path) -> tuple[PairTable, np.ndarray, list[Finding]]:
    table = read_pairs(source)
    return _checked(table, decode(table, IMAGE_SIZE_PX)[0])


def _checked(
    table: PairTable, pixels: np.ndarray, faults: Sequence[DataError] = ()
) -> tuple[PairTable, np.ndarray, list[Finding]]:
    views = len(pixels) // len(table.images)
    findings = examine_table(table, faults) + examine_images(table, pixels, TrialConfig().batch_size, views)
    return table, pixels, [finding for finding in findings if finding.verdict != OK]


@functools.cache
def _backbone(name: str) -> Backbone:
    return create_backbone(BackboneSpec(name, image_size_px=IMAGE_SIZE_PX))


def cost_of_diagnoses(source: Path, backbone: str, trainable_blocks: int | None) -> tuple[float, float]:
    """Median seconds of an epoch's diagnoses and of the epoch, of the processor's time: others may be using the machine."""
    one_thread()
    table, pixels, _ = _embedded(source)
    data = PairData.of(table, pixels, "embedded")
    if trainable_blocks == 0:
        data = dataclasses.replace(data, features=extract(_backbone(backbone), pixels, [0]))
    training = Training(TrialConfig(trainable_blocks=trainable_blocks, epochs=_COST_EPOCHS), _backbone(backbone), data)
    with _clocked() as spent:
        times = []
        for _ in range(_COST_EPOCHS):
            before, began = spent(), time.process_time()
            training.epoch()
            times.append((spent() - before, time.process_time() - began))
    return statistics.median(diagnoses for diagnoses, _ in times), statistics.median(seconds for _, seconds in times)


@contextmanager
def _clocked() -> Iterator[Callable[[], float]]:
    """Adds up the seconds that all that diagnoses need takes."""
    seconds = [0.0]

    def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                seconds[0] += time.process_time() - began

        return timed

    probe = step_probe.StepProbe
    parts = [(step_probe, "of_embeddings"), (spread, "feature_std"), (epoch_report, "diagnose")]
    parts += [(probe, "__enter__"), (probe, "__exit__"), (probe, "_note")]
    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(patch.object(owner, name, clocked(getattr(owner, name))))
        yield lambda: seconds[0]
