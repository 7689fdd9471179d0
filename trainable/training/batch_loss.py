"""What training minimises, of one batch, with its gradient in closed form: the sum of the terms in `trainable.training.losses`.

Those are the readable forms, and tests hold this one to them in value and gradient. Here the (B, B) score matrix is made
once for all terms, what hangs on labels and identities alone is computed for many batches at once, and nothing is left
for autograd to trace: a fifth of the time, which for small heads is half of a training step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainable.config import TrialConfig


class Targets(NamedTuple):
    """What the losses need to know of a batch's pairs; with a leading dimension, of many batches.

    Both directions of InfoNCE are one above the other: B rows with the fronts as anchors, B with the angles.
    """

    positive: Tensor
    """(..., 2B, B) bool: the cells of the score matrix, and of its transpose, that are positives."""
    target: Tensor
    """(..., 2B, B) the weight of each positive's log softmax in the loss."""
    weight: Tensor
    """(..., 2B, 1) the weight of each row's anchor, the sum of its cells'."""
    same: Tensor
    """(..., B) one over the number of label-1 pairs, at those; 0 elsewhere."""
    other: Tensor
    """(..., B) the same of label-0 pairs."""
    anchors: Tensor
    """(...,) number of anchors, both directions together."""
    chance: Tensor
    """(...,) the contrastive loss when all scores are equal; 0 where there is no anchor."""

    @classmethod
    def of(
        cls, labels: Tensor, front_identity: Tensor, angle_identity: Tensor, dtype: torch.dtype = torch.float32
    ) -> Targets:
        """Arguments (..., B), as of `losses.info_nce`; the label alone decides about a pair's own cell. dtype: of the
        embeddings."""
        cells = (front_identity[..., :, None] == angle_identity[..., None, :]) & (front_identity >= 0)[..., :, None]
        cells.diagonal(dim1=-2, dim2=-1).copy_(labels == 1)
        positive = torch.stack([cells, cells.mT], dim=-3)  # (..., 2, B, B)
        count = positive.sum(dim=-1, keepdim=True)
        is_anchor = (count > 0).to(dtype)
        number = is_anchor.sum(dim=-2, keepdim=True)  # of a direction
        weight = is_anchor / (2 * number.clamp(min=1))
        target = positive * (weight / count.clamp(min=1))
        anchors = number.sum(dim=(-3, -2, -1))
        return cls(
            *(both.flatten(-3, -2) for both in (positive, target, weight)),
            *(_shares((labels == label).to(dtype)) for label in (1, 0)),
            anchors,
            (anchors > 0).to(dtype) * math.log(labels.shape[-1]),
        )

    def batch(self, number: int) -> Targets:
        """Those of one of many batches."""
        return Targets(*(part[number] for part in self))


def _shares(chosen: Tensor) -> Tensor:
    return chosen / chosen.sum(dim=-1, keepdim=True).clamp(min=1)


class BatchLoss(NamedTuple):
    """Scalars of one batch; only `total` carries a gradient. As in `losses`, what has no anchor is 0."""

    total: Tensor
    contrastive: Tensor
    consistency: Tensor
    negative: Tensor


def batch_loss(front: Tensor, angle: Tensor, targets: Targets, config: TrialConfig) -> BatchLoss:
    """contrastive + consistency_weight · consistency + negative_weight · negative, each as `losses` defines it.

    front, angle: (B, D) float32, L2-normalised; targets: of this batch.
    """
    with torch.autocast(device_type=front.device.type, enabled=False):
        return BatchLoss(*_Sum.apply(front, angle, targets, config))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, front, angle, targets, config):
        scores = front @ angle.T
        contrastive, slope = _info_nce(scores / config.temperature, targets)
        slope /= config.temperature
        own = scores.diagonal().clamp(-1, 1)  # rounding takes the cosine of a unit vector with itself a little past 1
        consistency = torch.dot(1 - own, targets.same)
        above = (own - config.negative_margin).relu_()
        counted = above * targets.other
        negative = torch.dot(above, counted)
        slope.diagonal().add_(counted, alpha=2 * config.negative_weight).sub_(
            targets.same, alpha=config.consistency_weight
        )
        ctx.save_for_backward(slope @ angle, slope.T @ front)
        total = contrastive + config.consistency_weight * consistency + config.negative_weight * negative
        ctx.mark_non_differentiable(contrastive, consistency, negative)
        return total, contrastive, consistency, negative

    @staticmethod
    @once_differentiable
    def backward(ctx, of_total, *_):
        of_front, of_angle = ctx.saved_tensors
        return of_total * of_front, of_total * of_angle, None, None


def _info_nce(logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """InfoNCE in both directions, and its slope (B, B) in the logits."""
    log_softmax = torch.cat([logits, logits.T]).log_softmax(dim=1)
    # where() and not a product alone: a cell that is no positive may be -inf in log_softmax.
    loss = -(torch.where(targets.positive, log_softmax, 0) * targets.target).sum()
    slope = log_softmax.exp_().mul_(targets.weight).sub_(targets.target)
    of_fronts, of_angles = slope.chunk(2)
    return loss, of_fronts + of_angles.T
