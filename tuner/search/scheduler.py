"""ASHA, which stops weak trials early."""

from __future__ import annotations

import math
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from trainable.config import METRICS

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
