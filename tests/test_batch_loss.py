"""The loss of a batch in closed form, beside the sum of the readable losses that it stands for."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings

from tests.test_losses import batches, gradients, unit
from trainable import losses
from trainable.batch_loss import batch_loss, positives
from trainable.config import TrialConfig


def slow(batch: dict, config: TrialConfig) -> tuple[torch.Tensor, ...]:
    """The same numbers from `losses`, whose gradient autograd makes."""
    front, angle, labels = batch["front"], batch["angle"], batch["labels"]
    identities = batch["front_identity"], batch["angle_identity"]
    contrastive = losses.info_nce(front, angle, labels, config.temperature, *identities)
    consistency = losses.consistency(front, angle, labels)
    negative = losses.negative_pair_term(front, angle, labels, config.negative_margin)
    total = contrastive.loss + config.consistency_weight * consistency + config.negative_weight * negative
    return total, contrastive.loss, contrastive.anchors, contrastive.chance, consistency, negative


def fast(batch: dict, config: TrialConfig):
    size = len(batch["labels"])
    identities = [torch.full((size,), -1) if codes is None else codes for codes in map(batch.get, _IDENTITIES)]
    positive = positives(batch["labels"], *identities)
    return batch_loss(batch["front"], batch["angle"], positive, batch["labels"], config)


_IDENTITIES = ("front_identity", "angle_identity")


@settings(max_examples=80, deadline=None)
@given(batches())
def test_the_closed_form_is_the_sum_of_the_losses(batch):
    """Every number, and the gradient in both views, whatever the labels, the identities and the temperature."""
    config = TrialConfig(
        temperature=batch["temperature"], consistency_weight=0.3, negative_weight=0.7, negative_margin=0.1
    )
    found, wanted = fast(batch, config), slow(batch, config)
    for name, value, other in zip(found._fields, found, wanted, strict=True):
        torch.testing.assert_close(value, other.to(value.dtype), msg=name)
    leaves = batch["front"], batch["angle"]
    torch.testing.assert_close(gradients(2 * found.total, *leaves), gradients(2 * wanted[0], *leaves))


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 100.0])
def test_the_closed_form_is_finite_and_never_negative_in_single_precision(temperature):
    """At temperatures where exponentials overflow, on scores that are all alike as on scores that are perfect."""
    config = dataclasses.replace(TrialConfig(), temperature=temperature)
    eye = torch.eye(8).requires_grad_()
    constant = torch.eye(8)[:1].repeat(8, 1).requires_grad_()
    for leaf in (eye, constant):
        labels, codes = torch.tensor([1, 0, 1, 0, 1, 1, 1, 1]), torch.full((8,), -1)
        loss = batch_loss(leaf, leaf, positives(labels, codes, codes), labels, config)
        assert loss.contrastive >= 0 and torch.isfinite(loss.total)
        assert torch.isfinite(gradients(loss.total, leaf)[0]).all()


def test_only_the_sum_carries_a_gradient():
    """The parts are there to be reported."""
    front, angle = unit(4)
    labels = torch.tensor([1, 0, 1, 1])
    loss = batch_loss(front, angle, positives(labels, -labels, -labels), labels, TrialConfig())
    assert [value.requires_grad for value in loss] == [True, *[False] * 5]
