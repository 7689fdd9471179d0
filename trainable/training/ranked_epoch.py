"""The epoch that a trial is ranked by: its objective, weights, scores and decisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainable.config import Settings, sign
from trainable.training.epoch_report import EpochReport


class RankedEpoch:
    """The best of a trial's epochs so far. A sick epoch, and one whose objective is undefined, never counts."""

    def __init__(self, settings: Settings) -> None:
        self._better = sign(settings.metric)
        self.best_epoch, self.best_objective = 0, math.nan
        self.weights: dict[str, Tensor] = {}
        """All that training changes in the encoder, as it was after this epoch, on the CPU."""
        self.scores: Tensor | None = None
        """(n_val,) scores of the validation pairs."""
        self.correct: Tensor | None = None
        """(n_val,) bool: which of them are classified correctly at the trial's threshold."""

    def offer(self, report: EpochReport, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Keep the epoch if the trial is ranked by it from now on. weights: called for copies, if they are needed."""
        if report.sick or not math.isfinite(report.objective):
            return
        if not self.best_epoch or self._better * report.objective > self._better * self.best_objective:
            self.best_epoch, self.best_objective = report.epoch, report.objective
            self.weights = weights()
            self.scores, self.correct = torch.tensor(report.scores), torch.tensor(report.correct)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, under names that older saved states have too."""
        return {
            "best_epoch": self.best_epoch,
            "best_objective": self.best_objective,
            "best_encoder": self.weights,
            "best_scores": self.scores,
            "best_correct": self.correct,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, from among the rest of a training's state."""
        self.best_epoch, self.best_objective = state["best_epoch"], state["best_objective"]
        self.weights, self.scores, self.correct = (
            state[f"best_{name}"] for name in ("encoder", "scores", "correct")
        )
