"""Ray Tune's callbacks told of trials as a person knows them: with their configuration, and epoch by epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from tuner.results.trial_record import FAILED, PRUNED, SICK
from tuner.search.recorder import ending_state, error_of

_TOLD = (
    "on_step_begin", "on_step_end", "on_trial_restore", "on_trial_save", "on_trial_recover", "on_checkpoint",
    "on_experiment_end",
)  # fmt: skip
"""What a callback of Tune's can be told, but for results and ends."""
_OWN = ("carried", "should_checkpoint", "config", "best_epoch", "ranked_epoch")
"""What only this program needs of a report."""


class TrialView:
    """Tune's trial with `config` as a dictionary of its parameters, its title as its name, a folder that stays and, when it has
    ended, its verdict in words and the epochs that it trained.

    Everything else is the trial's own.
    """

    verdict, epochs_trained = "", 0

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
        self._last: dict[str, dict[str, Any]] = {}
        """The last report, by the trial's id, with the diagnoses of all its epochs."""
        self._epochs: dict[str, int] = {}
        """The last epoch that was told, by the trial's id."""

    def setup(self, *given: Any, **info: Any) -> None:
        self._callback.setup(*given, **info)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._view(trial).init_local_path()  # W&B's callback goes there without making it
        self._pass_on("on_trial_start", {"iteration": iteration, "trials": trials, "trial": trial, **info})

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        view, carried = self._view(trial), result["carried"]
        found = dict.fromkeys(self._last.get(trial.trial_id, {}).get("diagnoses", ()))
        for numbers in (*carried.history, *carried.earlier, result):
            found |= dict.fromkeys(numbers["diagnoses"])
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
        self._last[trial.trial_id] = {**result, "diagnoses": list(found)}

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end("on_trial_complete", trial, None, {"iteration": iteration, "trials": trials, "trial": trial, **info})

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        told = {"iteration": iteration, "trials": trials, "trial": trial, **info}
        self._end("on_trial_error", trial, error_of(trial), told)

    def _end(self, name: str, trial: Any, error: str | None, info: Mapping[str, Any]) -> None:
        last = self._last.pop(trial.trial_id, {})
        view = self._view(trial)
        view.verdict, view.epochs_trained = verdict(last, trial.config["config"].epochs, error), last.get("epoch", 0)
        self._pass_on(name, info)

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


def verdict(last: Mapping[str, Any], epochs: int, error: str | None = None) -> str:
    """How a trial went, in a line. last: its last report, with the diagnoses of all its epochs; epochs: those it was allowed;
    error: what failed it.

    >>> verdict({"epoch": 2, "finished": False, "sick": None, "diagnoses": ["stuck-at-chance"]}, 6)
    'pruned: stopped after 2 of 6 epochs; diagnosed: stuck-at-chance'
    """
    state = FAILED if error else ending_state(dict(last))
    why = {FAILED: error, SICK: last.get("sick"), PRUNED: f"stopped after {last.get('epoch', 0)} of {epochs} epochs"}
    said = f"{state}: {why[state]}" if state in why else state
    found = last.get("diagnoses", ())
    return f"{said}; diagnosed: {', '.join(found)}" if found else f"{said}; nothing diagnosed"


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
