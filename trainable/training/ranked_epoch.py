"""The epoch that a trial is ranked by: its objective, weights, scores and decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from trainable.config import Settings, sign
from trainable.training.epoch_report import EpochReport


class RankedEpoch:
    """The last of a trial's epochs so far, or the best, as `Settings.rank_by` says.

    A sick epoch, and one whose objective is undefined, never counts: the one before it is the trial's.
    """

    def __init__(self, settings: Settings) -> None:
        self._rule, self._better = settings.rank_by, sign(settings.metric)
        self.epoch = 0
        """Counted from 1; 0 while no epoch could be ranked."""
        self.objective = math.nan
        self.weights: dict[str, Tensor] = {}
        """All that training changes in the encoder, as it was after this epoch, on the CPU."""
        self.scores: Tensor | None = None
        """(n_val,) scores of the validation pairs."""
        self.correct: Tensor | None = None
        """(n_val,) bool: which of them are classified correctly at the trial's threshold."""
        self.best_epoch, self.best_objective = 0, math.nan
        """Of the epoch with the best objective, the first of equals, whatever the rule."""

    def offer(self, report: EpochReport, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Keep the epoch if the trial is ranked by it from now on. weights: called for copies, if they are needed."""
        if report.sick or not math.isfinite(report.objective):
            return
        is_best = not self.best_epoch or self._better * report.objective > self._better * self.best_objective
        if is_best:
            self.best_epoch, self.best_objective = report.epoch, report.objective
        if is_best or self._rule == "last":
            self.epoch, self.objective = report.epoch, report.objective
            self.weights = weights()
            self.scores, self.correct = torch.tensor(report.scores), torch.tensor(report.correct)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs. What was the best epoch's in the first release keeps its name."""
        return {
            "ranked_epoch": self.epoch,
            "ranked_objective": self.objective,
            "best_encoder": self.weights,
            "best_scores": self.scores,
            "best_correct": self.correct,
            "best_epoch": self.best_epoch,
            "best_objective": self.best_objective,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave, from among the rest of a training's state."""
        self.best_epoch, self.best_objective = state["best_epoch"], state["best_objective"]
        self.epoch = ranked_epoch(state)
        self.objective = state.get("ranked_objective", self.best_objective)
        self.weights, self.scores, self.correct = (state[f"best_{name}"] for name in ("encoder", "scores", "correct"))


def ranked_epoch(state: Mapping[str, Any]) -> int:
    """The epoch that a saved training is ranked by; states of the first release knew the best epoch only."""
    epoch: int = state.get("ranked_epoch", state["best_epoch"])
    return epoch


def weights_at(state: Mapping[str, Any] | None, epoch: int) -> dict[str, Tensor] | None:
    """The weights after this epoch, if they are those that a saved training keeps; else None, as over folds."""
    if state is None or ranked_epoch(state) != epoch:
        return None
    weights: dict[str, Tensor] = state["best_encoder"]
    return weights or None
