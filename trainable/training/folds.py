"""One trial over identity-disjoint folds: every pair is scored by a model that never saw its identities.

The folds train side by side, an epoch of each at a time and heads as one batch, so that each report is of all validation
pairs and a scheduler compares trials after the same number of epochs. Nothing of a fold's model is used afterwards: a model
that is wanted is trained on all pairs, as `Training` does it with data that have folds, and its threshold is solved on the
pooled scores.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainable.config import Losses, Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.measures import Spread, Step
from trainable.model.backbone import Backbone
from trainable.training.epoch_report import EpochReport, diagnosed, of_scores, unmeasured
from trainable.training.inputs import Inputs
from trainable.training.loop import Training
from trainable.training.ranked_epoch import RankedEpoch
from trainable.training.stacked import StackedHeads, can_be_stacked

_AVERAGED = [item.name for part in (Losses, Spread, Step) for item in fields(part)]
_RETRIEVED = ("val_recall_at_1", "val_recall_at_5", "val_recall_at_10", "val_map")


class FoldedTraining:
    """As `Training`, of data that have folds: `epoch()` trains one epoch of every fold and reports the pooled scores.

    Metrics are of the scores out of fold, (n_val,) in the order of `data.rows("val")`; losses, gradients and spread are
    means over the folds, whole numbers the largest of them. `train_s` grows with the number of folds.
    """

    def __init__(
        self,
        config: TrialConfig,
        backbone: Backbone,
        data: PairData,
        settings: Settings | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self.config, self.data, self.settings = config, data, settings or Settings()
        inputs = inputs or Inputs(torch.device(self.settings.device), data)
        parts = [data.fold(number) for number in range(data.fold_count)]
        self._folds = [Training(config, backbone, part, self.settings, inputs) for part in parts]
        self._stacked = StackedHeads(self._folds) if can_be_stacked(self._folds) else None
        rows = data.rows("val")
        self._places = [np.searchsorted(rows, part.rows("val")) for part in parts]
        self._labels = np.asarray(data.pair_label[rows])
        self._identities = data.front_identity[rows], data.angle_identity[rows]
        self.epochs_done = 0
        self.sick: str | None = None
        self.history: list[dict[str, Any]] = []
        self.score_history: list[Tensor] = []
        self.ranked = RankedEpoch(self.settings)

    @property
    def one(self) -> Training:
        """The training of one fold: their models differ in nothing but what they learnt."""
        return self._folds[0]

    @property
    def finished(self) -> bool:
        """No further epoch is to come."""
        return self.epochs_done >= self.config.epochs or self.sick is not None

    def epoch(self) -> EpochReport:
        """Train one epoch of every fold, then judge the pooled scores."""
        if self._stacked is None:
            reports = [fold.epoch() for fold in self._folds]
        else:
            trained = self._stacked.train_epoch()
            reports = [fold.conclude(*of_fold) for fold, of_fold in zip(self._folds, trained, strict=True)]
        self.epochs_done += 1
        report = diagnosed(self._pooled(reports), self.history, self.config, self.settings)
        self.sick = report.sick
        self.ranked.offer(report, dict)  # no fold's weights are ever used
        self.history.append(report.numbers())
        if self.settings.threshold_is_searched:
            self.score_history.append(torch.tensor(report.scores))
        return report

    def _pooled(self, reports: Sequence[EpochReport]) -> EpochReport:
        scores = np.empty(len(self._labels), dtype=np.float32)
        for place, report in zip(self._places, reports, strict=True):
            scores[place] = report.scores
        sick = next((f"fold {k}: {one.sick}" for k, one in enumerate(reports) if one.sick), None)
        averaged = {name: _average([getattr(one, name) for one in reports]) for name in _AVERAGED}
        if np.isfinite(scores).all():
            of_images = {"feature_std": float(np.mean([one.feature_std for one in reports])), **_retrieved(reports)}
            given = scores, self._labels, self._identities, self.config.threshold, self.settings
            measures = of_scores(*given, of_images)
        else:
            measures = {name: value for name, value in unmeasured(scores).items() if name not in averaged}
        return EpochReport(
            epoch=self.epochs_done,
            **averaged,
            **measures,
            sick=sick,
            epoch_s=sum(one.epoch_s for one in reports),
            validation_s=sum(one.validation_s for one in reports),
            learning_rate=reports[0].learning_rate,
            grad_norm=float(np.mean([one.grad_norm for one in reports])),
        )

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on exactly here."""
        return self.ranked.state() | {
            "epochs_done": self.epochs_done,
            "folds": [fold.state() for fold in self._folds],
            "score_history": list(self.score_history),
            "history": list(self.history),
            "sick": self.sick,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, in this or another process."""
        for fold, saved in zip(self._folds, state["folds"], strict=True):
            fold.restore(saved)
        self.ranked.restore(state)
        self.epochs_done, self.sick = state["epochs_done"], state["sick"]
        self.history, self.score_history = list(state["history"]), list(state["score_history"])


def training_of(
    config: TrialConfig, backbone: Backbone, data: PairData, settings: Settings, inputs: Inputs | None = None
) -> Training | FoldedTraining:
    """The training of one trial: over folds where the data have them."""
    kind = Training if data.folds is None else FoldedTraining
    return kind(config, backbone, data, settings, inputs)


def _average(values: list[Any]) -> Any:
    """The mean of what is known; of whole numbers the largest, None where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return max(known) if all(isinstance(value, int) for value in known) else statistics.fmean(known)


def _retrieved(reports: Sequence[EpochReport]) -> dict[str, Any]:
    """Retrieval within each fold's own gallery, as embeddings of two models do not compare: means over all queries."""
    queries = [one.val_queries for one in reports]
    found: dict[str, Any] = {"val_queries": sum(queries)}
    for name in _RETRIEVED:
        known = [(getattr(one, name), count) for one, count in zip(reports, queries, strict=True) if count]
        values = [value for value, _ in known if value is not None]
        whole = known and len(values) == len(known)
        found[name] = float(np.average(values, weights=[count for _, count in known])) if whole else None
    curves = [one.val_cmc for one in reports if one.val_queries]
    shown = min(map(len, curves), default=0)
    weights = [count for count in queries if count]
    curve = np.average([curve[:shown] for curve in curves], axis=0, weights=weights).tolist() if shown else []
    return found | {"val_cmc": curve}
