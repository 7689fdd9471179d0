"""A trial over folds: every pair is scored once, by a model that never saw its identities, and nothing else changes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from tests.tools.synthetic import pair_data
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData, with_folds
from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.epoch_report import of_scores
from trainable.training.folds import FoldedTraining, training_of
from trainable.training.loop import Training

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = TrialConfig(epochs=2, batch_size=8, hidden_size=16, embedding_size=8, trainable_blocks=0)


@pytest.fixture(scope="module")
def data() -> PairData:
    return with_folds(pair_data(), 3, seed=0)


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=16))


def identities(data: PairData, rows: np.ndarray) -> set[int]:
    return {*data.front_identity[rows].tolist(), *data.angle_identity[rows].tolist()}


def test_no_fold_is_trained_on_an_identity_that_it_is_validated_on(data):
    """Nor on a test identity; each fold has pairs of both labels, and all pairs out of fold are the val split."""
    scored = []
    for number in range(data.fold_count):
        fold = data.fold(number)
        train, val, test = (fold.rows(split) for split in ("train", "val", "test"))
        assert not identities(data, train) & identities(data, val)
        assert not (identities(data, train) | identities(data, val)) & identities(data, test)
        assert set(data.pair_label[val]) == {0, 1} and np.array_equal(test, data.rows("test"))
        scored += val.tolist()
    assert sorted(scored) == data.rows("val").tolist() and len(set(scored)) == len(scored)


def test_a_model_for_use_is_trained_on_all_but_the_test_pairs(data):
    """Pairs whose identities are in two folds are lost to validation only."""
    plain = pair_data()
    assert data.rows("train").tolist() == sorted([*plain.rows("train"), *plain.rows("val")])
    assert set(data.rows("val")) <= set(data.rows("train"))


def test_the_report_is_of_the_pooled_scores_of_each_fold_trained_alone(data, backbone):
    """Score for score those of `Training` on the fold's data; metrics are of all of them, losses the folds' means."""
    pooled = FoldedTraining(SMALL, backbone, data)
    alone = [Training(SMALL, backbone, data.fold(number)) for number in range(data.fold_count)]
    rows = data.rows("val")
    for _ in range(SMALL.epochs):
        report, reports = pooled.epoch(), [training.epoch() for training in alone]
        for number, one in enumerate(reports):
            places = np.searchsorted(rows, data.fold(number).rows("val"))
            assert np.array_equal(report.scores[places], one.scores)
        both = data.front_identity[rows], data.angle_identity[rows]
        slow = of_scores(report.scores, data.pair_label[rows], both, None, Settings(), {})
        assert (report.val_auc, report.val_accuracy) == (slow["val_auc"], slow["val_accuracy"])
        assert report.contrastive_loss == pytest.approx(np.mean([one.contrastive_loss for one in reports]))
        queries = [one.val_queries for one in reports]
        assert report.val_map == pytest.approx(np.average([one.val_map for one in reports], weights=queries))
        assert report.val_queries == sum(queries) and report.val_cmc[0] == pytest.approx(report.val_recall_at_1)
        assert report.frozen_moved == 0
    assert pooled.finished and len(pooled.history) == SMALL.epochs


def test_it_goes_on_from_its_saved_state_to_the_bit(data, backbone):
    """In another process, too: the state is what torch saves."""
    whole, first = FoldedTraining(SMALL, backbone, data), FoldedTraining(SMALL, backbone, data)
    whole.epoch(), first.epoch()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = FoldedTraining(SMALL, backbone, data)
    second.restore(torch.load(file, weights_only=True))
    assert second.epoch().same_as(whole.epoch())
    assert second.ranked.epoch == whole.ranked.epoch == 2


def test_data_without_folds_train_as_ever(backbone):
    """And only data that have folds are trained over them."""
    plain = pair_data()
    assert isinstance(training_of(SMALL, backbone, plain, Settings()), Training)
    assert isinstance(training_of(SMALL, backbone, with_folds(plain, 2, 0), Settings()), FoldedTraining)
    with pytest.raises(ValueError, match="no folds"):
        plain.fold(0)


def test_more_folds_than_identities_are_refused():
    """With what was asked for, what there is, and what to do."""
    with pytest.raises(
        InputError, match=r"--folds is 50, but the \d+ train and val pairs .* valid is a smaller number"
    ):
        with_folds(pair_data(), 50, seed=0)
