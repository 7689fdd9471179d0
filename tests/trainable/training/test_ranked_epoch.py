"""The epoch that a trial is ranked by: the last, or the best, but never a sick one or one whose metric is undefined."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainable.config import Settings
from trainable.errors import InputError
from trainable.training.ranked_epoch import RankedEpoch, ranked_epoch, weights_at

SICK, UNDEFINED = "sick", math.nan


def after(rule: str, *objectives: float | str, metric: str = "val_auc") -> RankedEpoch:
    """What is kept after epochs of these objectives; weights, scores and decisions hold the epoch's number."""
    kept = RankedEpoch(Settings(metric=metric, rank_by=rule))
    for epoch, objective in enumerate(objectives, start=1):
        report = SimpleNamespace(
            epoch=epoch,
            objective=0.99 if objective == SICK else objective,
            sick="diverging" if objective == SICK else None,
            scores=np.array([epoch]),
            correct=np.array([epoch > 1]),
        )
        kept.offer(report, lambda epoch=epoch: {"head.weight": torch.tensor(epoch)})
    return kept


@pytest.mark.parametrize(
    ("objectives", "last", "best"),
    [
        ((0.5, 0.8, 0.7), 3, 2),
        ((0.8, 0.8), 2, 1),
        ((0.8, 0.7, SICK), 2, 1),
        ((0.6, UNDEFINED), 1, 1),
        ((UNDEFINED, SICK), 0, 0),
    ],
)
def test_the_last_or_the_best_of_the_epochs_that_count(objectives, last, best):
    """Its objective, weights, scores and decisions are kept; the best epoch is known whatever the rule."""
    for rule, epoch in (("last", last), ("best", best)):
        kept = after(rule, *objectives)
        assert (kept.epoch, kept.best_epoch) == (epoch, best)
        if epoch:
            assert kept.objective == objectives[epoch - 1] and kept.best_objective == objectives[best - 1]
            assert kept.weights["head.weight"] == epoch == kept.scores.item() and kept.correct.item() == (epoch > 1)
        else:
            assert kept.scores is None and not kept.weights and math.isnan(kept.objective)


def test_lower_is_better_for_an_error_rate():
    """The best epoch has the lowest; the last one is the last."""
    assert after("best", 0.4, 0.2, 0.3, metric="val_eer").epoch == 2
    assert after("last", 0.4, 0.2, 0.3, metric="val_eer").epoch == 3


def test_a_saved_state_is_taken_over_whole():
    """Also by a trial of the other rule, and by one that goes on from there."""
    kept, again = after("last", 0.8, 0.7), RankedEpoch(Settings(rank_by="best"))
    again.restore(kept.state())
    assert again.state() == kept.state() and again.epoch == 2 and again.best_epoch == 1


def test_a_state_of_the_first_release_has_its_best_epoch():
    """It knew no other: weights, scores and objective are that epoch's."""
    state = after("best", 0.8, 0.7).state()
    old = {name: value for name, value in state.items() if not name.startswith("ranked")}
    kept = RankedEpoch(Settings())
    kept.restore(old)
    assert (ranked_epoch(old), kept.epoch, kept.objective) == (1, 1, 0.8)
    assert weights_at(old, 1) == state["best_encoder"]


def test_weights_are_given_for_the_epoch_they_are_of_and_no_other():
    """Others must be trained again."""
    state = after("last", 0.8, 0.7).state()
    assert weights_at(state, 2) == {"head.weight": torch.tensor(2)}
    assert weights_at(state, 1) is None and weights_at(None, 2) is None


def test_another_rule_is_refused():
    """The message names the valid ones."""
    with pytest.raises(InputError, match="rank_by is 'luckiest'; valid are: last, best"):
        Settings(rank_by="luckiest")
