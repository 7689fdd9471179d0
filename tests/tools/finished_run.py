"""A finished run on disk, made without Ray: real trainings of a tiny backbone on rendered pairs, recorded as a search does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.data.turntable import TurntableSpec, write
from trainable.model.backbone import Backbone
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.model.features import fingerprint
from trainable.training.checkpoint import STATE_FILE
from trainable.training.loop import Training
from trainable.trial import scores_by_epoch
from tuner import results
from tuner.cli.run_options import DataOptions
from tuner.inputs.dataset import load
from tuner.results import provenance
from tuner.results.trial_record import COMPLETED, FAILED, PRUNED, SICK, TrialRecord
from tuner.results.writer import RunTables
from tuner.search.recorder import Recorder

RUN, SPACE = "run-a", "temperature"
SPEC = BackboneSpec("test_byobnet", "none", 16)
FIXED = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3}
COMPLETE, STOPPED, DIVERGED, BROKEN, CRASHED, REPLAYED, TRIED_AGAIN = range(7)
"""The run's trials: completed, pruned after an epoch, sick of NaN, failed after an epoch, failed before one, replayed, and
the first once more at the threshold that its scores favour."""


@dataclass(frozen=True)
class FinishedRun:
    """Where a run lies, and what it was made of."""

    root: Path
    pairs: Path
    data: PairData
    backbone: Backbone
    settings: Settings

    def rows(self, trial: int) -> dict[str, Any]:
        """The trial's row."""
        return next(row for row in RunTables(self.root, SPACE, RUN).trial_rows() if row["trial"] == trial)


def make(folder: Path) -> FinishedRun:
    """The run, with a searched threshold; the pair table is beside it."""
    pairs = write(folder / "pairs", TurntableSpec(40, 20, 16, image_size_px=16))
    made = load(DataOptions(data=str(pairs)), SPEC.image_size_px, 0, Console(quiet=True))
    data = made.data
    settings = Settings(threshold_is_searched=True)
    run = FinishedRun(folder / "results", pairs, data, create_backbone(SPEC), settings)
    tables = RunTables(run.root, SPACE, RUN)
    tables.write_run(_run_row(run, made.fingerprint))
    recorder = Recorder(tables, data, lambda config: 4, settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        source = _train(run, recorder, COMPLETE, {"threshold": 0.5}, 2, COMPLETED)
        _train(run, recorder, STOPPED, {"threshold": 0.4, "temperature": 0.2}, 1, PRUNED)
        _train(run, recorder, DIVERGED, {"threshold": 0.4, "learning_rate": 1e18}, 2, SICK)
        _train(run, recorder, BROKEN, {"threshold": 0.4, "temperature": 0.3, "trainable_blocks": 0}, 1, FAILED)
        _train(run, recorder, CRASHED, {"threshold": 0.3}, 0, FAILED)
    finally:
        torch.set_num_threads(threads)
    recorder.replay(_record(recorder, REPLAYED, {"threshold": 0.6}), source)
    recorder.replay(
        _record(recorder, TRIED_AGAIN, {"threshold": recorder.favoured_threshold(source)}, is_extra=True), source
    )
    recorder.flush()
    return run


def _run_row(run: FinishedRun, data_fingerprint: str) -> dict[str, Any]:
    return {
        "state": "finished", "data": str(run.pairs), "data_fingerprint": data_fingerprint, "searched": ["threshold"],
        "backbone": SPEC.name, "weights": SPEC.weights, "backbone_fingerprint": fingerprint(run.backbone),
        "image_size_px": SPEC.image_size_px, "input_mean": list(run.backbone.mean), "input_std": list(run.backbone.std),
        "views": 1, "metric": run.settings.metric, "seed": 0, "versions": provenance.versions(), "device": "cpu",
        "precision": "fp32", "trial_cpus": 1, "keep_sick": False, "winner_trial": COMPLETE,
    }  # fmt: skip


def _record(recorder: Recorder, number: int, values: dict[str, Any], is_extra: bool = False) -> TrialRecord:
    config = TrialConfig.of(FIXED | values)
    record = TrialRecord(number, config, f"trial {number:03d}", {"threshold": config.threshold}, number == 0)
    record.is_extra = is_extra
    recorder.suggested(record)
    return record


def _train(
    run: FinishedRun, recorder: Recorder, number: int, values: dict[str, Any], epochs: int, state: str
) -> TrialRecord:
    record = _record(recorder, number, values)
    training = Training(record.config, run.backbone, run.data, run.settings)
    while len(training.history) < epochs and not training.finished:
        training.epoch()
    record.epochs = {numbers["epoch"]: numbers for numbers in training.history}
    record.best_epoch, record.ranked_epoch = training.ranked.best_epoch, training.ranked.epoch
    record.node = "here"
    record.epoch_scores = scores_by_epoch(training.score_history)
    if training.ranked.scores is not None:
        record.arrays = {"scores": training.ranked.scores.numpy(), "correct": training.ranked.correct.numpy()}
    record.error = "RuntimeError: a cable came loose" if state == FAILED else None
    if epochs and state != FAILED:
        folder = Path(results.state_dir(run.root, RUN)) / "attempt-01" / f"trial_{number:04d}" / "checkpoint_000000"
        folder.mkdir(parents=True)
        torch.save(training.state(), folder / STATE_FILE)
    recorder.end(record, state)
    return record
