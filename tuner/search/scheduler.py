"""What stops weak trials early: Tune's schedulers, which compare epochs of the same number and spare the default trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from trainable.config import METRICS

_REDUCTION = 3
_FIRST_RUNGS = {"asha": (1 / 4,), "hyperband": (1 / 12, 1 / 4, 3 / 4)}
"""Of each bracket: the share of the epochs after which its trials are compared first; then at 3 times as many each."""
_BRACKET_WEIGHTS = (9, 5, 3)
"""HyperBand's: the earlier a bracket stops trials, the more trials it gets, so that each costs about the same."""
_RANKED_BY = "training_objective"
"""What a training is worth at the best threshold: a searched one can be changed afterwards for nothing."""


class FairScheduler(FIFOScheduler):
    """Tune's schedulers, each for a part of the trials, with three rules of ours.

    The default configuration trains to its end: the winner is compared with it as it would be used. Only epochs at which
    trials are compared are shown, so that none is ever ranked by a later epoch than another. NaN is no evidence.

    schedulers: of each bracket; compared: the epochs at which trials are compared.
    """

    def __init__(self, schedulers: Sequence[TrialScheduler], compared: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray does not annotate it
        self._schedulers, self._compared = schedulers, compared
        self._of: dict[str, TrialScheduler] = {}
        self._given = [0] * len(schedulers)
        self._shown: set[tuple[str, int]] = set()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Into the bracket that is furthest behind its share of the trials."""
        weights = _BRACKET_WEIGHTS[: len(self._schedulers)]
        bracket = min(range(len(weights)), key=lambda b: (self._given[b] + 1) / weights[b])
        self._given[bracket] += 1
        self._of[trial.trial_id] = self._schedulers[bracket]
        self._of[trial.trial_id].on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if not self._shows(trial, result):
            return str(TrialScheduler.CONTINUE)
        decision = self._of[trial.trial_id].on_trial_result(tune_controller, trial, result)
        return str(TrialScheduler.CONTINUE if trial.config["number"] == 0 else decision)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        scheduler = self._of.pop(trial.trial_id)
        if self._shows(trial, result):
            scheduler.on_trial_complete(tune_controller, trial, result)
        else:
            scheduler.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._of.pop(trial.trial_id).on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._of.pop(trial.trial_id).on_trial_remove(tune_controller, trial)

    def _shows(self, trial: Any, result: dict[str, Any]) -> bool:
        """Whether the scheduler is to see this epoch; once: Tune tells the last one twice, and a retry those before it."""
        epoch = (trial.trial_id, result.get("epoch", 0))
        if (
            epoch in self._shown
            or epoch[1] not in self._compared
            or not math.isfinite(result.get(_RANKED_BY, math.nan))
        ):
            return False
        self._shown.add(epoch)
        return True


class _Median(MedianStoppingRule):
    """Tune's rule, which takes the default trial's numbers in and decides nothing of it: once it has, it wants to be obeyed."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if trial.config["number"] == 0:
            self.on_trial_complete(tune_controller, trial, result)
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, result))


def make_scheduler(name: str, metric: str, epochs: int) -> TrialScheduler:
    """asha: after a quarter and three quarters of the epochs the best third of the trials goes on. hyperband: the same in
    three groups of trials, of which one is compared after a twelfth too, one after three quarters only. median: a trial
    stops whose best epoch so far is below the median of the others' means, from a quarter of the epochs on. none: all go
    on."""
    if name == "none":
        return FIFOScheduler()
    compared = rungs(name, epochs)
    shared: dict[str, Any] = {"time_attr": "epoch", "metric": _RANKED_BY, "mode": METRICS[metric]}
    if name == "median":
        # It would pause trials of which it knows too little yet to let others run; here these go on.
        shared["min_time_slice"] = math.inf
        rule = _Median(grace_period=min(compared, default=epochs), **shared)
        return FairScheduler([rule], compared)
    shared |= {"max_t": epochs, "reduction_factor": _REDUCTION}
    first_at = [share * epochs - 1e-9 for share in _FIRST_RUNGS[name]]  # a little less, against rounding past an epoch
    brackets = [AsyncHyperBandScheduler(**shared | {"grace_period": first}) for first in first_at]
    return FairScheduler(brackets, compared)


def rungs(name: str, epochs: int) -> list[int]:
    """The epochs after which the scheduler of this name may stop a trial, rising.

    >>> rungs("asha", 6)
    [2, 5]
    """
    if name == "median":
        return list(range(math.ceil(epochs / 4), epochs))
    shares = {
        first * _REDUCTION**k for first in _FIRST_RUNGS.get(name, ()) for k in range(3) if first * _REDUCTION**k < 1
    }
    return sorted({rung for share in shares if (rung := math.ceil(round(share * epochs, 9))) < epochs})
