"""Heads that train as one batch come to what each comes to alone."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tools.synthetic import pair_data
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData, with_folds
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.epoch_report import EpochReport
from trainable.training.folds import FoldedTraining
from trainable.training.loop import Training
from trainable.training.stacked import StackedHeads, can_be_stacked

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = TrialConfig(
    epochs=3,
    batch_size=8,
    hidden_size=16,
    embedding_size=8,
    trainable_blocks=0,
    consistency_weight=0.5,
    label_smoothing=0.1,
)
CONFIGS = {
    "all losses": SMALL,
    "a linear head": replace(SMALL, hidden_size=0),
    "one batch an epoch": replace(SMALL, batch_size=24),
    "negatives too": replace(SMALL, negative_weight=2.0, label_smoothing=0.0),
}


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=16))


@pytest.fixture(scope="module")
def data(backbone) -> PairData:
    """Three folds, not all of one size, with stored features."""
    plain = pair_data(identities=90)
    features = np.random.default_rng(0).standard_normal((len(plain.pixels), backbone.feature_size), dtype=np.float32)
    return with_folds(replace(plain, features={0: features}), 3, seed=0)


def folds(config: TrialConfig, backbone, data: PairData, settings: Settings | None = None) -> list[Training]:
    return [Training(config, backbone, data.fold(number), settings) for number in range(data.fold_count)]


def assert_close(one: EpochReport, other: EpochReport) -> None:
    """Equal to rounding in everything but the clock."""
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    for name, value in one.numbers().items():
        if isinstance(value, float) and name not in ("epoch_s", "validation_s"):
            assert getattr(other, name) == pytest.approx(value, rel=1e-3, abs=1e-3, nan_ok=True), name


@pytest.mark.parametrize("name", CONFIGS)
def test_each_head_comes_to_what_it_comes_to_alone(name, backbone, data):
    """Epoch by epoch, in all numbers, to rounding: losses, norms, the looked-at step, scores; whatever the losses are."""
    config = CONFIGS[name]
    alone, together = folds(config, backbone, data), folds(config, backbone, data)
    assert can_be_stacked(together)
    stacked = StackedHeads(together)
    for _ in range(config.epochs):
        trained = stacked.train_epoch()
        for one, other, of_other in zip(alone, together, trained, strict=True):
            assert_close(one.epoch(), other.conclude(*of_other))


def test_folds_with_a_step_more_than_others_take_it(backbone, data):
    """Folds differ in pairs, and so in steps: each trains all of its own, and its rate falls over these."""
    together = folds(replace(SMALL, batch_size=6), backbone, data)
    steps = [training.batches.per_epoch for training in together]
    assert len(set(steps)) > 1
    StackedHeads(together).train_epoch()
    for training, count in zip(together, steps, strict=True):
        assert {int(state["step"]) for state in training.optimizer.state.values()} == {count}


def test_a_trial_over_folds_goes_on_where_it_was_saved(backbone, data):
    """To the bit: weights and optimisers return to the same memory."""
    whole, begun = (FoldedTraining(SMALL, backbone, data) for _ in range(2))
    for _ in range(2):
        whole.epoch(), begun.epoch()
    file = io.BytesIO()
    torch.save(begun.state(), file)
    file.seek(0)
    again = FoldedTraining(SMALL, backbone, data)
    again.restore(torch.load(file))
    assert again.epoch().same_as(whole.epoch())
    assert again.finished


def test_what_is_not_a_head_on_stored_features_trains_by_itself(backbone, data):
    """Blocks that train, images without features, other precisions."""
    assert not can_be_stacked(folds(replace(SMALL, trainable_blocks=1), backbone, data))
    assert not can_be_stacked(folds(SMALL, backbone, replace(data, features={})))
    assert not can_be_stacked(folds(SMALL, backbone, data, Settings(precision="bf16")))
