"""What a record says of its trial is computed of what happened to it."""

from __future__ import annotations

import pytest

from trainable.config import TrialConfig
from tuner.results.schema import SCHEMAS
from tuner.results.trial_record import COMPLETED, TrialRecord, best_of


def record(**more: object) -> TrialRecord:
    """A trial that ended after two epochs."""
    epochs = {n: {"epoch": n, "epoch_s": 1.5, "diagnoses": names} for n, names in ((1, ["a"]), (2, ["b", "a"]))}
    given = {"state": COMPLETED, "epochs": epochs, "best_epoch": 2, "started": 100.0, "ended": 110.0}
    return TrialRecord(7, TrialConfig(), "trial 007", {}, False, **(given | more))


def test_its_cells_are_columns_of_trials() -> None:
    """Each under the name that the table has for it."""
    cells = record().cells()
    assert cells.keys() <= set(SCHEMAS["trials"].names)
    known = {"trial": 7, "state": COMPLETED, "epochs": 2, "best_epoch": 2, "train_s": 3.0, "wait_s": 7.0}
    assert cells.items() >= known.items()
    assert cells["diagnoses"] == ["a", "b"] and (cells["ended_at"] - cells["started_at"]).total_seconds() == 10


def test_what_is_not_known_yet_is_none() -> None:
    """Before its end, without a ranked epoch, or where nobody looked for diagnoses."""
    cells = record(ended=None, best_epoch=0, epochs={}).cells()
    assert [cells[name] for name in ("ended_at", "wait_s", "best_epoch", "diagnoses")] == [None] * 4
    assert (cells["train_s"], cells["epochs"]) == (0, 0)


@pytest.mark.parametrize(
    ("threshold", "searched", "source"),
    [(None, {"threshold": None}, "solved"), (0.5, {"threshold": 0.5}, "searched"), (0.5, {}, "fixed")],
)
def test_where_the_threshold_is_from(threshold: float | None, searched: dict[str, float], source: str) -> None:
    """A solved one is nobody's choice."""
    made = TrialRecord(0, TrialConfig(threshold=threshold), "trial 000", searched, False)
    assert made.threshold_source == source


def test_trials_of_one_training_are_ranked_by_accuracy() -> None:
    """By AUC they are equal; of equal accuracies, as of equal objectives everywhere, the earlier trial wins."""
    made = [
        record(epochs={2: {"objective": 0.9, "val_accuracy": accuracy}}, ranked_epoch=2) for accuracy in (0.7, 0.8, 0.8)
    ]
    for number, one in enumerate(made):
        one.number = number
    assert best_of(made, "val_auc") is made[1]
    made[0].epochs[2]["objective"] = 0.91
    assert best_of(made, "val_auc") is made[0] and best_of(made, "val_eer") is made[1]
