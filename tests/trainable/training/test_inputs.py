"""What trials start from, on their device: copied once for all trials of a process, not once a trial."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tests.tools.synthetic import pair_data
from trainable.config import TrialConfig
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.inputs import Inputs
from trainable.training.loop import Training


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
    assert np.shares_memory(inputs.at(None).numpy(), data.pixels)
    assert np.shares_memory(inputs.at(0).numpy(), data.features[0])


def test_on_another_device_the_next_trial_finds_what_the_last_one_used() -> None:
    """The same tensor is given again; the one unused for longest makes room, so that a device is not filled."""
    inputs = Inputs(torch.device("meta"), stored())  # a device as others: what it gets is a copy
    first = inputs.at(0)
    assert first.device.type == "meta" and inputs.at(0) is first
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
