"""One trial of benchmarks.diagnosis, with a fault or without, and what was said of it; and what the saying costs."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks.faults import FAULTS, SIDES, Fault
from benchmarks.healthy_trials import Healthy
from benchmarks.trial_settings import Setting
from trainable.checks.data_checks import examine_images, examine_table
from trainable.config import TrialConfig
from trainable.data.images import decode
from trainable.data.pairs import PairData, PairTable
from trainable.data.read_pairs import read_pairs
from trainable.diagnosis.history import FAIL
from trainable.findings import OK, DataError, Finding
from trainable.metrics import spread, step_probe
from trainable.model.backbone import Backbone, block_count
from trainable.model.backbones import create_backbone
from trainable.model.features import cacheable_cuts, extract
from trainable.process import prepare_process
from trainable.training import epoch_report
from trainable.training.loop import Training

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


def block_counts(settings: Iterable[Setting]) -> dict[str, int]:
    """The number of blocks of each of these settings' backbones, by the setting's name."""
    return {setting.name: block_count(_backbone(setting)) for setting in settings}


def with_fault(name: str, setting: Setting) -> Seen:
    """The setting's default trial with the fault of this name."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    table, pixels, said = _faulty(fault, setting)
    said = sorted(said, key=lambda finding: finding.verdict != FAIL)
    before = [finding.check for finding in said]
    if said and said[0].verdict == FAIL:
        return Seen(before[0], 0, tuple(before[1:]), fatal=True)
    if fault.right in before:  # a warning, after which a run goes on: but what was to be found is found
        return Seen(fault.right, 0, tuple(name for name in before if name != fault.right))
    data = PairData.of(table, pixels, fault.name, views=len(pixels) // len(table.images))
    config = TrialConfig(**(dict(setting.config) | fault.config))
    seen = _trained(fault.trial(config, _backbone(setting), data))
    if before and not seen.headline:
        return Seen(before[0], 0, (*before[1:], *seen.also), auc=seen.auc)
    return dataclasses.replace(seen, also=(*before, *seen.also))


def without_fault(trial: Healthy, setting: Setting) -> Seen:
    """A trial as the product trains it: from stored features where parts of the backbone are frozen."""
    config = TrialConfig(**(dict(setting.config) | trial.config), seed=trial.seed)
    return _trained(Training(config, _backbone(setting), _prepared(setting, config.trainable_blocks)))


@functools.cache
def _prepared(setting: Setting, trainable_blocks: int | None) -> PairData:
    """The setting's pairs, with the features that a trial of so many blocks starts from."""
    table, pixels, _ = _plain(setting)
    data = PairData.of(table, pixels, setting.data)
    cuts = cacheable_cuts(_backbone(setting), [trainable_blocks])
    return dataclasses.replace(data, features=extract(_backbone(setting), pixels, cuts)) if cuts else data


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


def _faulty(fault: Fault, setting: Setting) -> tuple[PairTable, np.ndarray, list[Finding]]:
    """Table and pixels with the fault, and what the data checks say against them that they did not say before."""
    rows = pd.read_csv(setting.source)
    changed = fault.rows(rows)
    table, plain, said_anyway = _plain(setting)
    if changed is rows:
        pixels = fault.pixels(plain, table)
        found = (table, pixels, said_anyway if pixels is plain else _findings(table, pixels))
    else:
        folder = setting.source.parent
        changed = changed.assign(**{side: [str(folder / file) for file in changed[side]] for side in SIDES})
        with tempfile.TemporaryDirectory() as scratch:
            changed.to_csv(file := Path(scratch) / "pairs.csv", index=False)
            faults: list[DataError] = []
            table = read_pairs(file, tolerated=faults)
            pixels = fault.pixels(decode(table, setting.backbone.image_size_px)[0], table)
            found = (table, pixels, _findings(table, pixels, faults))
    known = {finding.check for finding in said_anyway}
    return found[0], found[1], [finding for finding in found[2] if finding.check not in known]


@functools.cache
def _plain(setting: Setting) -> tuple[PairTable, np.ndarray, list[Finding]]:
    """Table and pixels as they are, and what the data checks say of them: real sets have their own peculiarities."""
    table = read_pairs(setting.source)
    pixels = decode(table, setting.backbone.image_size_px)[0]
    return table, pixels, _findings(table, pixels)


def data_findings(setting: Setting) -> list[Finding]:
    """What the data checks say against a setting without any fault."""
    return _plain(setting)[2]


def _findings(table: PairTable, pixels: np.ndarray, faults: Sequence[DataError] = ()) -> list[Finding]:
    views = len(pixels) // len(table.images)
    findings = examine_table(table, faults) + examine_images(table, pixels, TrialConfig().batch_size, views)
    return [finding for finding in findings if finding.verdict != OK]


@functools.cache
def _backbone(setting: Setting) -> Backbone:
    return create_backbone(setting.backbone)


def cost_of_diagnoses(setting: Setting, trainable_blocks: int | None) -> tuple[float, float]:
    """Median seconds of an epoch's diagnoses and of the epoch, of the processor's time: others may be using the machine."""
    one_thread()
    config = TrialConfig(trainable_blocks=trainable_blocks, epochs=_COST_EPOCHS)
    training = Training(config, _backbone(setting), _prepared(setting, trainable_blocks))
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
    parts = [(spread, "of_embeddings"), (spread, "feature_std"), (epoch_report, "diagnose")]
    parts += [(probe, "__enter__"), (probe, "__exit__"), (probe, "_note")]
    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(patch.object(owner, name, clocked(getattr(owner, name))))
        yield lambda: seconds[0]
