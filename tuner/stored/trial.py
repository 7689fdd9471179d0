"""A trial from its rows alone: its configuration, data and backbone again, as they were when the search trained it."""

from __future__ import annotations

import dataclasses
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from trainable.config import Settings, TrialConfig, sign
from trainable.data.pairs import PairData
from trainable.errors import InputError
from trainable.model import features
from trainable.model.backbone import Backbone
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.process import prepare_process
from trainable.training.loop import Training, trained_to
from trainable.training.ranked_epoch import weights_at
from tuner import results
from tuner.analysis.text import spans
from tuner.cli.run_options import DataOptions
from tuner.cli.stored_options import TrialSource
from tuner.inputs.dataset import load_again
from tuner.results import configuration, provenance
from tuner.results.checkpoints import newest_state
from tuner.results.naming import named_run
from tuner.results.store import Store
from tuner.results.trial_record import COMPLETED, FAVOURED, PRUNED, SICK

_NUMERICAL = ("python", "torch", "timm", "numpy", "scikit-learn")
"""Whose versions a training's numbers can depend on."""


@dataclass(frozen=True)
class StoredTrial:
    """What the tables say of one trial."""

    root: str
    name: str
    """Of its run."""
    run: dict[str, Any]
    """Its run's row, with what the trial started from where it chose that itself; what is missing is None."""
    row: dict[str, Any]
    config: TrialConfig
    settings: Settings
    spec: BackboneSpec

    @property
    def number(self) -> int:
        """Of the trial in its run."""
        return int(self.row["trial"])

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"trial {self.number} of {self.name}"

    @property
    def start_cut(self) -> int | None:
        """The cut whose stored features it started from; None: it started from pixels."""
        return features.start_of(self.row["trainable_blocks"], self.run["feature_cuts"] or [])

    @property
    def fp16_features(self) -> bool:
        """Whether those were rounded to halves."""
        return self.start_cut in (self.run["half_cuts"] or [])

    def scores(self) -> pd.DataFrame:
        """Its validation scores at its best epoch, by pair; empty where no epoch was ranked."""
        found = results.scores(self.root, [self.name])
        return found[found.trial == self.number].sort_values("pair").reset_index(drop=True)

    def epochs(self) -> list[dict[str, Any]]:
        """Its rows of `epochs`, in order."""
        found = results.epochs(self.root, [self.name])
        return results.plain_rows(found[found.trial == self.number].sort_values("epoch"))


def find(source: TrialSource, name: str, number: int | None) -> StoredTrial:
    """The trial of this number, None: the run's winner. Raises InputError, with those that there are, if it is not there."""
    root = Store.at(source.results).uri
    name = named_run(root, name)
    runs = results.runs(root, [name])
    if runs.empty:
        raise InputError(
            f"the row of the run {name} in {root} cannot be read; valid is the file as it was written. Restore it."
        )
    (run,) = results.plain_rows(runs)
    rows = results.trials(root, [name]).sort_values("trial")
    number = _winner(name, run, rows) if number is None else number
    if number not in set(rows.trial):
        raise InputError(
            f"the run {name} has no trial {number}; valid are the trials that have ended: "
            f"{spans(rows.trial.tolist()) or 'none yet'}. Name one of them."
        )
    (row,) = results.plain_rows(rows[rows.trial == number])
    settings = Settings(
        metric=run["metric"],
        rank_by=run["rank_by"] or "best",  # the rule of the runs that did not write it down
        threshold_is_searched=_threshold_is_searched(run, rows),
        threshold_is_favoured=row["threshold_source"] == FAVOURED,
        device=source.device or run["device"],
        precision=run["precision"] or "fp32",
        threads=run["trial_cpus"] or 1,
        # Runs that did not write it down: a trial that is not sick was either healthy, or trained on.
        keep_sick=row["state"] != SICK if run["keep_sick"] is None else run["keep_sick"],
    )
    config = configuration.of_row(row)
    run = run | _chosen(run, config)
    return StoredTrial(root, name, run, row, config, settings, _spec(run, source))


def _chosen(run: dict[str, Any], config: TrialConfig) -> dict[str, Any]:
    """What the trial started from, by the columns of `runs`, where that is not what its run's row says."""
    others: list[dict[str, Any]] = json.loads(run["chosen_starts"] or "[]")
    return next((other for other in others if tuple(other["choice"]) == config.start), {})


def _threshold_is_searched(run: dict[str, Any], rows: pd.DataFrame) -> bool:
    if run["searched"] is None:  # a run that did not write it down
        return bool((rows.threshold_source == "searched").any())
    return "threshold" in run["searched"]


def _winner(name: str, run: dict[str, Any], rows: pd.DataFrame) -> int:
    if run["state"] == "finished" and run["winner_trial"] is not None:  # one that goes on may find a better one
        return int(run["winner_trial"])
    ranked = rows[rows.state.isin([COMPLETED, PRUNED]) & rows.objective.notna()]
    best = "none of its trials was ranked"
    if len(ranked):
        leader = ranked.iloc[int((sign(run["metric"]) * ranked.objective.astype(float)).argmax())]
        best = f"its best trial so far is {leader.trial} ({run['metric']} {leader.objective:.4g})"
    raise InputError(
        f"the run {name} is {run['state']} and has no winner yet; {best}. Name a trial, or go on with the run: "
        f"python -m tuner.run --resume {name}"
    )


def _spec(run: dict[str, Any], source: TrialSource) -> BackboneSpec:
    weights = run["weights"] if source.weights is None else str(Path(source.weights).expanduser().resolve())
    mean, std = (None if run[name] is None else tuple(run[name]) for name in ("input_mean", "input_std"))
    return BackboneSpec(run["backbone"], weights, run["image_size_px"], mean, std)


def check_device(trial: StoredTrial) -> None:
    """InputError unless what the trial is to be trained on is here."""
    if trial.settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"{trial.title} is to be trained on a GPU (cuda), and there is none here; valid is a machine with one, or "
            "--device cpu, whose numbers differ in their last digits. Give either."
        )


def read_data(trial: StoredTrial, source: TrialSource, console: Console, plain: bool = False) -> PairData:
    """The run's pairs and images, from where it found them or where `source` says they are now.

    plain: without the views that only training looks at. Raises InputError if they are gone, or are not the same any more.
    """
    run = trial.run
    where = run["data"] if source.data is None else source.data
    options = DataOptions(data=where, cache=source.cache, views=1 if plain else run["views"] or 1)
    return load_again(run, options, console).data


def create(trial: StoredTrial) -> Backbone:
    """The backbone that the run's trials started from. Raises InputError if a file of weights is not the same any more."""
    backbone = create_backbone(trial.spec, seed=trial.run["seed"])
    before = trial.run["backbone_fingerprint"]
    if trial.spec.weights not in ("none", "pretrained") and before not in (None, features.fingerprint(backbone)):
        raise InputError(
            f"the weights file {trial.spec.weights} is not the one that the run {trial.name} began with, or the backbone is "
            "built in another way now. Put the file back as it was, or give its place with --weights."
        )
    return backbone


def with_features(trial: StoredTrial, backbone: Backbone, data: PairData) -> PairData:
    """The data with what the trial started from: the features at its cut, computed again as the run had computed them."""
    if trial.start_cut is None:
        return data
    stored = {trial.start_cut: "fp16" if trial.fp16_features else "fp32"}
    settings = trial.settings
    found = features.extract_range(backbone, data.pixels, slice(None), stored, settings.device, settings.threads)
    return dataclasses.replace(data, features={cut: array for cut, array in found.items() if array is not None})


def kept_weights(trial: StoredTrial) -> dict[str, torch.Tensor] | None:
    """The weights that the trial is ranked by, if a checkpoint has them.

    Of a replayed trial, which was answered by the scores of another one, those of that one.
    """
    store = Store.at(results.state_dir(trial.root, trial.name))
    number = trial.number if trial.row["replay_of"] is None else trial.row["replay_of"]
    saved = newest_state(store, number)
    return weights_at(saved.state, trial.row["ranked_epoch"]) if saved else None


def retrained(trial: StoredTrial, backbone: Backbone, data: PairData) -> Training:
    """The trial trained again up to the epoch that it is ranked by."""
    prepare_process(trial.settings.threads)
    return trained_to(
        trial.config, backbone, with_features(trial, backbone, data), trial.settings, trial.row["ranked_epoch"]
    )


def circumstances(trial: StoredTrial, backbone: Backbone) -> list[str]:
    """What is not as it was when the trial was trained, of all that was written down, in words: then and now."""
    run, (commit, dirty) = trial.run, provenance.code()
    then, now = run["versions"] or {}, provenance.versions()
    machine = run["hostname"] if trial.row["node"] is None else trial.row["node"].partition("/")[0]
    pairs: list[tuple[str, Any, Any]] = [(name, then.get(name), now[name]) for name in _NUMERICAL]
    pairs += [
        ("machine", machine, socket.gethostname()),
        ("device", run["device"], trial.settings.device),
        ("code", _commit(run["git_commit"], run["git_dirty"]), _commit(commit, dirty)),
        ("backbone's first weights", run["backbone_fingerprint"], features.fingerprint(backbone)),
    ]
    return [f"{name}: {before}, now {after}" for name, before, after in pairs if before != after]


def _commit(commit: str | None, dirty: bool | None) -> str | None:
    return None if commit is None else commit[:10] + (" with changes" if dirty else "")
