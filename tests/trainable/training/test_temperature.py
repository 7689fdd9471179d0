"""A temperature that is learnt: its gradient, its course in a training, its range, and its state."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.tools import reference
from trainable.config import TrialConfig
from trainable.training.losses import Targets, batch_loss
from trainable.training.temperature import LOWEST, LearntTemperature

CPU = torch.device("cpu")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_gradient_is_the_loop_reference_s(smoothing: float) -> None:
    """Value and slope in the temperature's logarithm, by autograd through the readable loops; the embeddings' stay."""
    random = torch.Generator().manual_seed(0)
    views = [torch.nn.functional.normalize(torch.randn(6, 4, generator=random, dtype=torch.float64)) for _ in range(2)]
    labels, identity = torch.tensor([1, 1, 0, 1, 1, 0]), torch.tensor([0, 0, 1, 2, 3, 4])
    other = torch.tensor([0, 0, 5, 2, 3, 6])
    config = TrialConfig(temperature=0.9, label_smoothing=smoothing, consistency_weight=0.3, negative_weight=0.0)
    targets = Targets.of(labels, identity, other, torch.float64)
    learnt = torch.tensor(math.log(0.2), dtype=torch.float64, requires_grad=True)
    own = [view.clone().requires_grad_() for view in views]
    found = batch_loss(*own, targets, config, learnt)
    slopes = torch.autograd.grad(3 * found.total, [*own, learnt])
    again = torch.tensor(math.log(0.2), dtype=torch.float64, requires_grad=True)
    loops = [view.clone().requires_grad_() for view in views]
    contrastive, _, _ = reference.info_nce(*loops, labels, again.exp(), identity, other, smoothing)
    expected = torch.autograd.grad(3 * (contrastive + 0.3 * reference.consistency(*loops, labels)), [*loops, again])
    assert found.parts["contrastive_loss"].item() == pytest.approx(contrastive.item())
    assert found.parts["loss_temperature"].item() == pytest.approx(0.2)
    for mine, theirs in zip(slopes, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_it_stays_in_its_range() -> None:
    """Not below a hundredth; not below where it started, if that is lower; it has no upper end."""
    for start, pushed, kept in ((0.07, 0.001, LOWEST), (0.004, 0.001, 0.004), (0.07, 3.0, 3.0)):
        learnt = LearntTemperature(TrialConfig(temperature=start, temperature_lr_ratio=1.0), CPU)
        learnt.restore(math.log(pushed))
        learnt.stepped()
        assert math.exp(learnt.state()) == pytest.approx(kept)


def test_one_that_stays_is_no_parameter() -> None:
    """The optimiser hears nothing of it, and the loss takes the configuration's."""
    learnt = LearntTemperature(TrialConfig(), CPU)
    assert learnt.logarithm is None and learnt.parameter_groups() == [] and learnt.state() is None
    rated = LearntTemperature(replace(TrialConfig(), temperature_lr_ratio=2.0, learning_rate=1e-3), CPU)
    (group,) = rated.parameter_groups()
    assert (group["lr"], group["weight_decay"]) == (2e-3, 0.0)
