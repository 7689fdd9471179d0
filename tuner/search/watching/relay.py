"""Ray Tune's callbacks told of trials as a person knows them: with their configuration, and epoch by epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

_TOLD = (
    "on_step_begin", "on_step_end", "on_trial_restore", "on_trial_save", "on_trial_complete",
    "on_trial_recover", "on_trial_error", "on_checkpoint", "on_experiment_end",
)  # fmt: skip
"""What a callback of Tune's can be told, but for the results."""
_OWN = ("carried", "should_checkpoint", "config", "best_epoch", "ranked_epoch")
"""What only this program needs of a report."""


class TrialView:
    """Tune's trial with `config` as a dictionary of its parameters, its title as its name, and a folder that stays.

    Everything else is the trial's own.
    """

    def __init__(self, trial: Any, folder: Path) -> None:
        self._trial, given = trial, trial.config
        self.config: dict[str, Any] = {"number": given["number"], **dataclasses.asdict(given["config"])}
        self.evaluated_params = self.config
        self.local_path = str(folder / f"trial_{given['number']:04d}")
        self._title: str = given["title"]

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def __str__(self) -> str:
        return self._title


class Relay(Callback):
    """Tells `callback` what Tune tells, of TrialViews; epochs that came in one report one by one, also those from before a run
    was gone on with. folder: where it may keep files."""

    def __init__(self, callback: Callback, folder: Path) -> None:
        self._callback, self._folder = callback, folder
        self._views: dict[str, TrialView] = {}
        self._epochs: dict[str, int] = {}
        """The last epoch that was told, by the trial's id."""

    def setup(self, *given: Any, **info: Any) -> None:
        self._callback.setup(*given, **info)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._view(trial).init_local_path()  # W&B's callback goes there without making it
        self._pass_on("on_trial_start", {"iteration": iteration, "trials": trials, "trial": trial, **info})

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        view, carried = self._view(trial), result["carried"]
        for numbers in (*carried.history, *carried.earlier, result):
            if numbers["epoch"] > self._epochs.get(trial.trial_id, 0):
                self._epochs[trial.trial_id] = numbers["epoch"]
                told = _plain({**result, **numbers, "training_iteration": numbers["epoch"]})
                everyone = [self._view(other) for other in trials]
                given: dict[str, Any] = {
                    "iteration": iteration,
                    "trials": everyone,
                    "trial": view,
                    "result": told,
                    **info,
                }
                self._callback.on_trial_result(**given)

    def _view(self, trial: Any) -> TrialView:
        known = self._views.get(trial.trial_id)
        if known is None:
            known = self._views[trial.trial_id] = TrialView(trial, self._folder)
        return known

    def _pass_on(self, name: str, info: Mapping[str, Any]) -> None:
        seen = dict(info)
        if "trials" in seen:
            seen["trials"] = [self._view(trial) for trial in seen["trials"]]
        if "trial" in seen:
            seen["trial"] = self._view(seen["trial"])
        getattr(self._callback, name)(**seen)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for Tuner.restore, which is not how a run is resumed here."""
        return {}


def _passes_on(name: str) -> Any:
    def told(self: Relay, **info: Any) -> None:
        self._pass_on(name, info)

    return told


for _name in _TOLD:
    setattr(Relay, _name, _passes_on(_name))


def _plain(result: Mapping[str, Any]) -> dict[str, Any]:
    """What can be told of an epoch: diagnoses as one text and their number, nothing that is missing."""
    told = {name: value for name, value in result.items() if name not in _OWN and value is not None}
    found = told.pop("diagnoses", ())
    told |= {"diagnoses": ", ".join(found) or "none", "diagnoses_count": len(found)}  # some trackers take numbers only
    return told
