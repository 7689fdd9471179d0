"""What training minimises, of one batch, with its gradient in closed form: the sum of the terms in `trainable.losses`.

Those are the readable forms, and tests hold this one to them in value and gradient. Here the (B, B) score matrix is made
once for all terms, and nothing is left for autograd to trace: a fourth of the time, which for small heads is half of a
training step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainable.config import TrialConfig


class BatchLoss(NamedTuple):
    """Scalars of one batch; only `total` carries a gradient. As in `losses`, what has no anchor is 0."""

    total: Tensor
    contrastive: Tensor
    anchors: Tensor
    chance: Tensor
    consistency: Tensor
    negative: Tensor


def positives(labels: Tensor, front_identity: Tensor, angle_identity: Tensor) -> Tensor:
    """(..., B, B) bool: the cells of the score matrix that are positives.

    Arguments (..., B), as of `losses.info_nce`; the label alone decides about a pair's own cell.
    """
    same = (front_identity[..., :, None] == angle_identity[..., None, :]) & (front_identity >= 0)[..., :, None]
    same.diagonal(dim1=-2, dim2=-1).copy_(labels == 1)
    return same


def batch_loss(front: Tensor, angle: Tensor, positive: Tensor, labels: Tensor, config: TrialConfig) -> BatchLoss:
    """contrastive + consistency_weight · consistency + negative_weight · negative, each as `losses` defines it.

    front, angle: (B, D) float32, L2-normalised; positive: (B, B) as `positives` gives it; labels: (B,) of 0 and 1.
    """
    with torch.autocast(device_type=front.device.type, enabled=False):
        return BatchLoss(*_Sum.apply(front, angle, positive, labels == 1, config))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, front, angle, positive, same, config):
        scores = front @ angle.T
        contrastive, anchors, slope = _info_nce(scores / config.temperature, positive)
        slope = slope / config.temperature
        own = scores.diagonal().clamp(-1, 1)  # rounding takes the cosine of a unit vector with itself a little past 1
        one, other = same.to(own.dtype), (~same).to(own.dtype)
        one, other = one / one.sum().clamp(min=1), other / other.sum().clamp(min=1)
        consistency = ((1 - own) * one).sum()
        above = (own - config.negative_margin).relu()
        negative = (above.square() * other).sum()
        slope.diagonal().add_(config.negative_weight * 2 * above * other - config.consistency_weight * one)
        ctx.save_for_backward(slope @ angle, slope.T @ front)
        total = contrastive + config.consistency_weight * consistency + config.negative_weight * negative
        chance = (anchors > 0) * torch.log(torch.full_like(total, len(own)))
        ctx.mark_non_differentiable(contrastive, anchors, chance, consistency, negative)
        return total, contrastive, anchors, chance, consistency, negative

    @staticmethod
    @once_differentiable
    def backward(ctx, of_total, *_):
        of_front, of_angle = ctx.saved_tensors
        return of_total * of_front, of_total * of_angle, None, None, None


def _info_nce(logits: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """InfoNCE in both directions, its number of anchors, and its slope (B, B) in the logits."""
    loss, anchors, slope = 0, 0, 0
    for dim in (1, 0):
        count = positive.sum(dim, keepdim=True)
        is_anchor = (count > 0).to(logits.dtype)
        number = is_anchor.sum()
        weight = is_anchor / (2 * number.clamp(min=1))  # of an anchor, one of its direction's in one of two directions
        target = positive * (weight / count.clamp(min=1))
        log_softmax = logits.log_softmax(dim)
        # where() and not a product alone: a cell that is no positive may be -inf in log_softmax.
        loss = loss - torch.where(positive, log_softmax * target, 0).sum()
        slope = slope + log_softmax.exp() * weight - target
        anchors = anchors + number
    return loss, anchors, slope
