"""What trials start from, on their device: copied once for all trials of a process, not once a trial."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.tools.synthetic import pair_data
from trainable.config import TrialConfig
from trainable.data.pairs import PairData
from trainable.mapped import Draft
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training import inputs as inputs_module
from trainable.training.inputs import GatheredRows, Inputs, Rows, too_large
from trainable.training.loop import Training, train


def stored():
    """Pair data with made-up features at three cuts."""
    data = pair_data()
    cuts = {cut: np.full((len(data.pixels), 4), cut, dtype=np.float32) for cut in (0, 1, 2)}
    return dataclasses.replace(data, features=cuts)


def test_on_the_cpu_nothing_is_copied() -> None:
    """The tensors lie over the arrays' own memory, read-only ones too, without a warning."""
    data = stored()
    data.features[0].setflags(write=False)
    inputs = Inputs(torch.device("cpu"), data)
    assert np.shares_memory(inputs.at(None).tensor.numpy(), data.pixels)
    assert np.shares_memory(inputs.at(0).tensor.numpy(), data.features[0])


def test_on_another_device_the_next_trial_finds_what_the_last_one_used() -> None:
    """The same rows are given again; the one unused for longest makes room, so that a device is not filled."""
    inputs = Inputs(torch.device("meta"), stored())  # a device as others: what it gets is a copy
    first = inputs.at(0)
    assert first.tensor.device.type == "meta" and inputs.at(0) is first
    pixels = inputs.at(None)
    assert inputs.at(0) is first
    other = inputs.at(1)  # the pixels go, as features of cut 0 were used since
    assert inputs.at(0) is first and inputs.at(1) is other
    assert inputs.at(None) is not pixels


def test_a_trial_uses_what_it_is_given() -> None:
    """Training starts from the given inputs, at its own cut, and loads no pixels where features are stored."""
    data = pair_data()
    backbone = create_backbone(BackboneSpec("test_byobnet", image_size_px=16))
    pooled = np.zeros((len(data.pixels), backbone.feature_size), dtype=np.float32)
    inputs = Inputs(torch.device("cpu"), dataclasses.replace(data, features={0: pooled}))
    config = TrialConfig(epochs=1, batch_size=8, trainable_blocks=0)
    training = Training(config, backbone, dataclasses.replace(data, features={0: pooled}), inputs=inputs)
    assert training._inputs is inputs.at(0)
    assert list(inputs._kept) == [0]


@pytest.fixture
def mapped(tmp_path) -> PairData:
    """Pair data whose pixels are a file, as those of the cache are."""
    data = pair_data()
    draft = Draft(tmp_path / "pixels.npy", data.pixels.shape, np.uint8)
    draft.array[:] = data.pixels
    return dataclasses.replace(data, pixels=draft.keep())


@pytest.mark.parametrize("blocks", [1, None])
def test_a_training_whose_pixels_stay_on_the_host_has_the_same_numbers(mapped, blocks, monkeypatch) -> None:
    """To the bit: batches are gathered ahead, none is taken for another."""
    backbone = create_backbone(BackboneSpec("test_byobnet", image_size_px=16))
    config = TrialConfig(epochs=2, batch_size=8, trainable_blocks=blocks)
    whole = [report.numbers() for report in train(config, backbone, mapped)]
    monkeypatch.setattr(inputs_module, "_SHARE", 0.0)
    assert isinstance(Inputs(torch.device("cpu"), mapped).at(None), GatheredRows)
    again = [report.numbers() for report in train(config, backbone, mapped)]
    timed = {"epoch_s", "validation_s"}
    assert [{n: v for n, v in e.items() if n not in timed} for e in whole] == [
        {n: v for n, v in e.items() if n not in timed} for e in again
    ]


def test_the_next_batch_is_gathered_while_one_is_used(mapped) -> None:
    """It was begun before the one before it is handed out; rows that nobody announced are gathered when they are asked for."""
    rows = GatheredRows(mapped.pixels, torch.device("cpu"))
    batches = [torch.tensor([3, 1]), torch.tensor([0]), torch.tensor([2, 2])]
    begun = []
    gathered = rows._gathered
    rows._gathered = lambda numbers: begun.append(numbers.tolist()) or gathered(numbers)
    for place, batch in enumerate(rows.ahead(batches, lambda batch: batch)):
        rows._thread.submit(int).result()  # it has come so far
        assert begun == [each.tolist() for each in batches[: place + 2]]
        assert torch.equal(rows.gather(batch), torch.from_numpy(mapped.pixels[batch.numpy()]))
    assert torch.equal(rows.gather(torch.tensor([1])), torch.from_numpy(mapped.pixels[[1]]))
    assert begun[-1] == [1] and not rows._coming


def test_what_is_too_large_stays_where_it_is(mapped, monkeypatch) -> None:
    """On the CPU files beyond a share of the memory; on a GPU whatever exceeds a share of its own."""
    size = mapped.pixels.nbytes
    for memory, stays in ((3.9 * size, True), (4.1 * size, False)):
        monkeypatch.setattr(inputs_module, "limit_bytes", lambda memory=memory: (memory, "this machine's"))
        gpu = SimpleNamespace(total_memory=memory)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, gpu=gpu: gpu)
        assert too_large(mapped.pixels, torch.device("cpu")) is stays
        assert not too_large(np.array(mapped.pixels), torch.device("cpu")), "in memory it is already"
        assert too_large(np.array(mapped.pixels), torch.device("cuda")) is stays
    assert type(Inputs(torch.device("cpu"), mapped).at(None)) is Rows
