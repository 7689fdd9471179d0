"""What to expect of a winner, in words."""

from __future__ import annotations

from tuner.analysis.expectation import expectation

ROW = {
    "winner_trial": 3, "metric": "val_auc", "expected_auc": 0.9204, "expected_accuracy": 0.851, "winner_share": 0.614,
    "beats_default_share": 0.83, "trials_done": 22, "trials_requested": 16, "repeats": None, "repeated_objective": None,
}  # fmt: skip
LEADER = {"trial": 3, "val_auc": 0.93, "val_accuracy": 0.86}


def test_the_value_and_how_decided_it_is() -> None:
    """What it is ranked by comes first."""
    assert expectation(ROW, LEADER) == [
        "Validation AUC 0.930; chosen as the best of 16 trials, so expect about 0.920 (accuracy 0.860, expect 0.851).",
        "It wins 61 % of resamples of the validation identities; it beats the default with a solved threshold in 83 %.",
    ]
    assert expectation(ROW | {"metric": "val_accuracy"}, LEADER)[0].startswith("Validation accuracy 0.860; chosen")


def test_a_default_that_won_beats_nothing() -> None:
    """Its second sentence ends where the comparison would begin."""
    assert expectation(ROW | {"beats_default_share": None}, LEADER)[1].endswith("validation identities.")


def test_repeats_are_said_instead_of_resamples() -> None:
    """The mean over other seeds, and how sure it is that it beats the default's."""
    found = expectation(ROW | {"repeats": 3, "repeated_objective": 0.9183}, LEADER)
    assert found[1] == (
        "Its mean val_auc over 3 other seeds is 0.918; that it beats the default, on the same seeds, is 83 % sure."
    )


def test_nothing_is_said_of_what_is_not_known() -> None:
    """An older run, one that goes on, or another trial than its winner."""
    assert expectation(ROW | {"expected_auc": None}, LEADER) == []
    assert expectation(ROW, None) == [] == expectation(ROW, LEADER | {"trial": 4})
