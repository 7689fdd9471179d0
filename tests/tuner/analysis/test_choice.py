"""What the validation scores of all trials say of the choice among them."""

from __future__ import annotations

import numpy as np
import pytest

from trainable.config import TrialConfig
from trainable.metrics import thresholds
from trainable.metrics.verification import verify
from tuner.analysis.choice import MOST_TRIALS, Evidence, ValidationPairs, evidence
from tuner.analysis.expected_value import TrialScores, expected_value
from tuner.results.trial_record import COMPLETED, SICK, TrialRecord

RNG = np.random.default_rng(5)
IDENTITIES = 40
FRONT = np.tile(np.arange(IDENTITIES), 4)
ANGLE = np.concatenate([np.roll(np.arange(IDENTITIES), shift) for shift in (0, 0, 1, 3)])
PAIRS = ValidationPairs((FRONT == ANGLE).astype(int), FRONT, ANGLE)


def trial(number: int, gap: float, seed: int | None = None, threshold: float = 0.0, **more: object) -> TrialRecord:
    """A completed one whose scores lie so far apart; equal seeds give equal scores."""
    noise = np.random.default_rng(number if seed is None else seed).normal(size=len(FRONT))
    scores = (((PAIRS.labels - 0.5) * gap + noise) / 10).astype(np.float32)
    correct = thresholds.correct_at(scores, PAIRS.labels, threshold)
    auc, accuracy = verify(scores, PAIRS.labels).auc, float(correct.mean())
    values = {"objective": auc, "val_auc": auc, "val_accuracy": accuracy, "epoch_s": 1.0}
    arrays = {"scores": scores, "correct": correct}
    given = {"state": COMPLETED, "epochs": {1: values}, "best_epoch": 1, "ranked_epoch": 1, "arrays": arrays}
    config = TrialConfig(epochs=1, threshold=threshold)
    return TrialRecord(number, config, f"trial {number}", {}, number == 0, **(given | more))


def of(records: list[TrialRecord], metric: str = "val_auc", searched: bool = True) -> Evidence:
    found = evidence(records, PAIRS, metric, searched)
    assert found is not None
    return found


def test_it_is_the_expected_value_of_the_trials_that_can_win() -> None:
    """The slow way: the same call, its rows put together by hand. A sick trial cannot win, whatever its scores."""
    records = [trial(0, 0.8), trial(1, 1.6), trial(2, 1.2), trial(3, 9.0, state=SICK)]
    found = of(records)
    ranked = sorted(records[:3], key=lambda record: -record.best["objective"])
    default = next(row for row, record in enumerate(ranked) if record.is_default)
    correct = [record.best_arrays["correct"] for record in ranked]
    correct[default] = PAIRS.fitted(ranked[default].best_arrays["scores"])
    scores = np.stack([record.best_arrays["scores"] for record in ranked])
    slow = expected_value(TrialScores(scores, np.stack(correct), PAIRS.labels, FRONT, ANGLE, default), "auc")
    assert (found.value.auc, found.value.accuracy, found.value.beats_default) == (
        slow.auc,
        slow.accuracy,
        slow.beats_default,
    )
    assert found.win_shares == {record.number: share for record, share in zip(ranked, slow.won, strict=True)}
    assert (
        found.winner == ranked[0].number and found.columns(ranked[0])["winner_share"] == found.win_shares[found.winner]
    )


def test_a_training_counts_once_by_auc() -> None:
    """Trials at other thresholds have its AUC: the most accurate stands for it, and nobody shares its wins."""
    records = [trial(0, 0.8), trial(1, 1.6, threshold=0.9), trial(2, 1.6, seed=1, threshold=0.01, replay_of=1)]
    found = of(records)
    assert found.winner == 2 and found.win_shares.keys() == {0, 2}
    assert sum(found.win_shares.values()) == pytest.approx(1)
    by_accuracy = of(records, "val_accuracy")
    assert by_accuracy.win_shares.keys() == {0, 1, 2}


def test_the_default_is_met_at_a_solved_threshold() -> None:
    """Its own at 0.9 accepts nothing; the trial at the threshold that its scores favour stands for it."""
    bad = trial(0, 1.2, threshold=0.9)
    favoured = trial(2, 1.2, seed=0, threshold=0.0, replay_of=0, is_extra=True)
    ahead = trial(1, 1.3)
    for record in (bad, favoured, ahead):
        record.best["objective"] = record.best["val_accuracy"]
    found = of([bad, ahead, favoured], "val_accuracy")
    without = of([bad, ahead], "val_accuracy")
    assert found.value.beats_default is not None and without.value.beats_default is not None
    assert max(found.value.beats_default, without.value.beats_default) < 0.99


def test_the_default_that_wins_beats_nothing() -> None:
    """There is nothing to compare it with."""
    default = trial(0, 3.0)
    found = of([default, trial(1, 0.5)])
    assert found.winner == 0 and found.columns(default)["beats_default_share"] is None


def test_only_the_best_of_many_are_looked_at() -> None:
    """And the default, however far behind it is."""
    records = [trial(0, 0.1), *(trial(number, 1 + number / 100) for number in range(1, MOST_TRIALS + 20))]
    found = of(records)
    assert len(found.win_shares) == MOST_TRIALS + 1 and 0 in found.win_shares
    assert found.value.beats_default == 1.0


@pytest.mark.parametrize("records", [[], [trial(0, 1.0, state=SICK)]])
def test_nothing_is_said_where_nothing_can_win(records: list[TrialRecord]) -> None:
    """Neither where the metric is not one that can be resampled."""
    assert evidence(records, PAIRS, "val_auc", True) is None
    assert evidence([trial(0, 1.0)], PAIRS, "val_eer", True) is None


def test_too_few_identities_say_nothing() -> None:
    """Of two, none can be left out with pairs of both labels on both sides."""
    few = ValidationPairs(np.array([1, 1, 0]), np.array([0, 1, 0]), np.array([0, 1, 1]))
    one = trial(0, 1.0, arrays={"scores": np.array([0.9, 0.8, 0.1]), "correct": np.ones(3, dtype=bool)})
    assert evidence([one], few, "val_auc", True) is None
