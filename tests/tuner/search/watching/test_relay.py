"""Callbacks of Tune's are told of trials with their configuration, and of every epoch once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import Callback

from trainable.config import TrialConfig
from trainable.trial import Carried
from tuner.search.watching.relay import Relay, verdict


class Notes(Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, dict[str, Any]]] = []

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.told.append(("start", trial, {}))

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        self.told.append(("result", trial, result))

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.told.append(("complete", trial, {}))


def a_trial(number: int = 3) -> SimpleNamespace:
    """Tune's, with what a search gives it."""
    given = {"config": TrialConfig(temperature=0.2), "number": number, "title": f"trial {number:03d} temperature=0.2"}
    of_tune = {"pickled_error_file": None, "local_experiment_path": "", "path": "", "get_ray_actor_ip": lambda: None}
    return SimpleNamespace(trial_id=f"id{number}", config=given, status="RUNNING", **of_tune)


def report(epoch: int, earlier: tuple = (), history: tuple = ()) -> dict[str, Any]:
    """A report of this epoch."""
    carried = Carried([numbers(e) for e in earlier], history=[numbers(e) for e in history])
    return {"carried": carried, "training_iteration": 1, "date": "today", "best_epoch": 1, **numbers(epoch)}


def numbers(epoch: int) -> dict[str, Any]:
    """Of an epoch."""
    return {
        "epoch": epoch,
        "val_auc": epoch / 10,
        "diagnoses": ["collapse", "stuck"] if epoch == 2 else [],
        "sick": None,
    }


def told_by(*reports: dict[str, Any]) -> list[dict[str, Any]]:
    """What a callback hears of these reports of one trial."""
    notes, trial = Notes(), a_trial()
    relay = Relay(notes, Path("nowhere"))
    for result in reports:
        relay.on_trial_result(iteration=0, trials=[trial], trial=trial, result=result)
    return [result for _, _, result in notes.told]


def test_epochs_that_came_together_are_told_one_by_one():
    """In their order, counted as Tune counts, with Tune's own fields."""
    told = told_by(report(1), report(4, earlier=(2, 3)))
    assert [(r["training_iteration"], r["val_auc"], r["date"]) for r in told] == [
        (epoch, epoch / 10, "today") for epoch in (1, 2, 3, 4)
    ]


def test_a_restored_trial_tells_no_epoch_twice():
    """What the callback heard before is left out, what it did not hear is told: it may be another process's."""
    assert [r["epoch"] for r in told_by(report(1), report(2), report(3, history=(1, 2)))] == [1, 2, 3]
    assert [r["epoch"] for r in told_by(report(4, earlier=(3,), history=(1, 2)))] == [1, 2, 3, 4]


def test_diagnoses_are_told_in_words_and_nothing_that_is_missing():
    """Trackers take numbers and texts."""
    first, second = told_by(report(1), report(2))
    assert (first["diagnoses"], second["diagnoses"]) == ("none", "collapse, stuck")
    assert (first["diagnoses_count"], second["diagnoses_count"]) == (0, 2)
    assert not {"sick", "carried", "best_epoch"} & set(first)


def test_a_trial_is_told_with_its_configuration_its_title_and_a_folder(tmp_path: Path):
    """The same view each time, so that a callback can keep it; the rest is Tune's own."""
    notes, trial = Notes(), a_trial()
    relay = Relay(notes, tmp_path)
    relay.on_trial_start(iteration=0, trials=[trial], trial=trial)
    relay.on_trial_complete(iteration=0, trials=[trial], trial=trial)
    (started, view, _), (ended, again, _) = notes.told
    assert (started, ended) == ("start", "complete") and view is again
    assert view.config["temperature"] == 0.2 and view.config["number"] == 3 == view.evaluated_params["number"]
    assert (str(view), view.trial_id, view.status) == ("trial 003 temperature=0.2", "id3", "RUNNING")
    assert Path(view.local_path) == tmp_path / "trial_0003" and Path(view.local_path).is_dir()


@pytest.mark.parametrize(
    ("last", "error", "said"),
    [
        ({"epoch": 6, "finished": True, "diagnoses": []}, None, "completed; nothing diagnosed"),
        ({"epoch": 2, "finished": False, "diagnoses": []}, None, "pruned: stopped after 2 of 6 epochs; nothing diagnosed"),
        ({"epoch": 2, "sick": "collapse: std", "diagnoses": ["collapse"]}, None, "sick: collapse: std; diagnosed: collapse"),
        ({}, "OSError: gone", "failed: OSError: gone; nothing diagnosed"),
    ],
)
def test_a_verdict_is_how_it_ended_and_what_was_found(last: dict[str, Any], error: str | None, said: str):
    """In a line that any tracker can keep."""
    assert verdict(last, 6, error) == said


def test_a_trial_that_has_ended_has_its_verdict_before_a_callback_hears_of_it():
    """With the diagnoses of all its epochs, each named once."""
    heard: list[str] = []

    class Hears(Callback):
        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            heard.append(trial.verdict)

    relay, trial = Relay(Hears(), Path("nowhere")), a_trial()
    for result in (report(1), report(2), {**report(3), "finished": True}):
        relay.on_trial_result(iteration=0, trials=[trial], trial=trial, result=result)
    relay.on_trial_complete(iteration=0, trials=[trial], trial=trial)
    assert heard == ["completed; diagnosed: collapse, stuck"]
