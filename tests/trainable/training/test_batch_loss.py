"""The loss of a batch in closed form, beside the sum of the readable losses that it stands for."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainable.training.test_losses import batches, gradients, unit
from trainable.config import TrialConfig
from trainable.training import losses
from trainable.training.batch_loss import BatchLoss, Targets, batch_loss


def slow(batch: dict, config: TrialConfig) -> tuple[BatchLoss, torch.Tensor, torch.Tensor]:
    """The batch's loss, number of anchors and chance from `losses`, whose gradient autograd makes."""
    front, angle, labels = batch["front"], batch["angle"], batch["labels"]
    identities = batch["front_identity"], batch["angle_identity"]
    contrastive = losses.info_nce(front, angle, labels, config.temperature, *identities)
    consistency = losses.consistency(front, angle, labels)
    negative = losses.negative_pair_term(front, angle, labels, config.negative_margin)
    total = contrastive.loss + config.consistency_weight * consistency + config.negative_weight * negative
    return BatchLoss(total, contrastive.loss, consistency, negative), contrastive.anchors, contrastive.chance


def targets_of(batch: dict) -> Targets:
    unknown = torch.full_like(batch["labels"], -1)
    codes = (batch["front_identity"], batch["angle_identity"])
    identities = (unknown if code is None else code for code in codes)
    return Targets.of(batch["labels"], *identities, dtype=batch["front"].dtype)


@settings(max_examples=80, deadline=None)
@given(batches())
def test_the_closed_form_is_the_sum_of_the_losses(batch):
    """Every number, and the gradient in both views, whatever the labels, the identities and the temperature."""
    config = TrialConfig(
        temperature=batch["temperature"], consistency_weight=0.3, negative_weight=0.7, negative_margin=0.1
    )
    targets = targets_of(batch)
    found = batch_loss(batch["front"], batch["angle"], targets, config)
    wanted, anchors, chance = slow(batch, config)
    assert targets.anchors == anchors
    torch.testing.assert_close(targets.chance, chance)
    for name, value, other in zip(found._fields, found, wanted, strict=True):
        torch.testing.assert_close(value, other.to(value.dtype), msg=name)
    leaves = batch["front"], batch["angle"]
    torch.testing.assert_close(gradients(2 * found.total, *leaves), gradients(2 * wanted.total, *leaves))


@given(st.integers(1, 4), st.integers(1, 6), st.randoms(use_true_random=False))
def test_targets_of_many_batches_are_those_of_each(count, size, random):
    """What is computed for an epoch's batches at once is what each of them has by itself."""
    labels, *identities = (torch.tensor([[random.randint(low, 2) for _ in range(size)] for _ in range(count)])
                           for low in (0, -1, -1))  # fmt: skip
    labels = labels.clamp(max=1)
    many = Targets.of(labels, *identities)
    for number in range(count):
        alone = Targets.of(labels[number], *(codes[number] for codes in identities))
        assert all(map(torch.equal, many.batch(number), alone))


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 100.0])
def test_the_closed_form_is_finite_and_never_negative_in_single_precision(temperature):
    """At temperatures where exponentials overflow, on scores that are all alike as on scores that are perfect."""
    config = dataclasses.replace(TrialConfig(), temperature=temperature)
    eye = torch.eye(8).requires_grad_()
    constant = torch.eye(8)[:1].repeat(8, 1).requires_grad_()
    for leaf in (eye, constant):
        labels, codes = torch.tensor([1, 0, 1, 0, 1, 1, 1, 1]), torch.full((8,), -1)
        loss = batch_loss(leaf, leaf, Targets.of(labels, codes, codes), config)
        assert loss.contrastive >= 0 and torch.isfinite(loss.total)
        assert torch.isfinite(gradients(loss.total, leaf)[0]).all()


def test_only_the_sum_carries_a_gradient():
    """The parts are there to be reported."""
    front, angle = unit(4)
    labels = torch.tensor([1, 0, 1, 1])
    loss = batch_loss(front, angle, Targets.of(labels, -labels, -labels, dtype=front.dtype), TrialConfig())
    assert [value.requires_grad for value in loss] == [True, *[False] * 3]
