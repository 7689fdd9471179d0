"""What training and features come to on a GPU, beside the CPU. Skipped where there is none."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tools.synthetic import pair_data
from trainable.checks import peak_memory
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import with_folds
from trainable.model import features
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training import inputs as inputs_module
from trainable.training.inputs import GatheredRows, Inputs
from trainable.training.loop import Training, train
from trainable.training.stacked import StackedHeads, can_be_stacked

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU = Settings(device="cuda")
TIMED = {"epoch_s", "validation_s"}


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=32))


@pytest.fixture(scope="module")
def data(backbone):
    """Pairs with stored features after all blocks and before the last one."""
    plain = pair_data(32, identities=90)
    return replace(plain, features=features.extract(backbone, plain.pixels, [0, 1]))


def numbers(config, backbone, data, settings):
    found = [report.numbers() for report in train(config, backbone, data, settings)]
    return [{name: value for name, value in epoch.items() if name not in TIMED} for epoch in found]


def test_features_are_those_of_the_cpu(backbone, data):
    """To the rounding of the GPU's convolutions."""
    on_gpu = features.extract(backbone, data.pixels, [0, 1], "cuda")
    backbone.to("cpu")
    for cut, found in on_gpu.items():
        scale = np.abs(data.features[cut]).max()
        np.testing.assert_allclose(found, data.features[cut], atol=2e-3 * scale)


@pytest.mark.parametrize("blocks", [0, 1, None])
def test_training_comes_to_what_it_comes_to_on_the_cpu(blocks, backbone, data):
    """Losses, norms and AUC of the first epoch, from features and from pixels."""
    config = TrialConfig(epochs=1, batch_size=16, trainable_blocks=blocks, consistency_weight=0.5)
    [there], [here] = numbers(config, backbone, data, GPU), numbers(config, backbone, data, Settings())
    for name in ("total_loss", "contrastive_loss", "consistency_loss", "val_auc", "val_accuracy"):
        if name in here:
            assert there[name] == pytest.approx(here[name], rel=0.02, abs=0.02), name


@pytest.mark.parametrize("blocks", [0, 1, None])
def test_the_same_training_twice(blocks, backbone, data):
    """Comes to the same on one GPU, to rounding."""
    config = TrialConfig(epochs=2, batch_size=16, trainable_blocks=blocks)
    first, second = numbers(config, backbone, data, GPU), numbers(config, backbone, data, GPU)
    for one, other in zip(first, second, strict=True):
        assert other["total_loss"] == pytest.approx(one["total_loss"], rel=1e-3)


@pytest.mark.parametrize("blocks", [0, None])
def test_what_stays_on_the_host_trains_to_the_same(blocks, backbone, data, monkeypatch):
    """Batches gathered ahead, pinned and copied while the last one trains are those that would lie on the GPU."""
    config = TrialConfig(epochs=2, batch_size=16, trainable_blocks=blocks)
    whole = numbers(config, backbone, data, GPU)
    monkeypatch.setattr(inputs_module, "_SHARE", 0.0)
    rows = Inputs(torch.device("cuda"), data).at(0 if blocks == 0 else None)
    assert isinstance(rows, GatheredRows)
    found = rows.gather(torch.tensor([5, 2]))
    assert found.device.type == "cuda" and torch.equal(found.cpu(), rows.tensor[[5, 2]])
    for one, other in zip(whole, numbers(config, backbone, data, GPU), strict=True):
        assert other["total_loss"] == pytest.approx(one["total_loss"], rel=1e-3)


@pytest.mark.parametrize("blocks", [0, None])
def test_bf16_comes_near_fp32(blocks, backbone, data):
    """Losses and AUC, epoch by epoch."""
    config = TrialConfig(epochs=2, batch_size=16, trainable_blocks=blocks)
    halves = numbers(config, backbone, data, replace(GPU, precision="bf16"))
    for half, one in zip(halves, numbers(config, backbone, data, GPU), strict=True):
        assert half["total_loss"] == pytest.approx(one["total_loss"], rel=0.1)
        assert half["val_auc"] == pytest.approx(one["val_auc"], abs=0.1)


@pytest.mark.parametrize("blocks", [0, None])
def test_fp16_trains(blocks, backbone, data):
    """The first steps overflow and are skipped, as the scaler finds its scale; no loss is lost, and it falls."""
    config = TrialConfig(epochs=8, batch_size=16, trainable_blocks=blocks)
    losses = [epoch["total_loss"] for epoch in numbers(config, backbone, data, replace(GPU, precision="fp16"))]
    assert len(losses) == 8 and np.isfinite(losses).all()
    assert losses[-1] < 0.7 * losses[0]


def test_a_state_saved_on_a_gpu_goes_on_there_and_is_read_on_a_cpu(backbone, data):
    """What is saved is the CPU's; both go on at the next epoch."""
    config = TrialConfig(epochs=3, batch_size=16, trainable_blocks=1)
    whole, begun = Training(config, backbone, data, GPU), Training(config, backbone, data, GPU)
    whole.epoch(), begun.epoch()
    file = io.BytesIO()
    torch.save(begun.state(), file)
    file.seek(0)
    state = torch.load(file, map_location="cpu")
    expected = whole.epoch()
    for settings in (GPU, Settings()):
        again = Training(config, backbone, data, settings)
        again.restore(state)
        assert again.epoch().total_loss == pytest.approx(expected.total_loss, rel=0.02)


def test_heads_of_folds_as_one_batch(backbone, data):
    """Each head comes to what it comes to alone."""
    folded = with_folds(data, 3, seed=0)
    config = TrialConfig(epochs=2, batch_size=8, hidden_size=16, embedding_size=8, trainable_blocks=0)
    alone, together = ([Training(config, backbone, folded.fold(n), GPU) for n in range(3)] for _ in range(2))
    assert can_be_stacked(together)
    stacked = StackedHeads(together)
    for _ in range(config.epochs):
        for one, other, found in zip(alone, together, stacked.train_epoch(), strict=True):
            report, apart = other.conclude(*found), one.epoch()
            np.testing.assert_allclose(report.scores, apart.scores, atol=1e-3)
            assert report.total_loss == pytest.approx(apart.total_loss, rel=1e-3)


def test_the_memory_at_its_peak_is_the_gpus():
    """What is allocated meanwhile and given back is in it."""
    with peak_memory.measured(torch.device("cuda")) as peak:
        block = torch.zeros(250_000_000, dtype=torch.float32, device="cuda")
        del block
    assert peak.gb == pytest.approx(1.0, rel=0.05)


def test_pixels_that_lie_in_no_memory_of_their_own(backbone, data):
    """Read-only arrays, as those of the cache are, reach the GPU without a warning."""
    data = dataclasses.replace(data, pixels=data.pixels.copy())
    data.pixels.setflags(write=False)
    assert Inputs(torch.device("cuda"), data).at(None).tensor.device.type == "cuda"
