"""What training minimises, of one batch: the contrastive loss and the terms added to it, with their gradients in closed form.

The readable loop forms are in tests/tools/reference.py, and tests hold these to them in value and gradient. Here the (B, B)
score matrix is computed once for all terms, what depends on labels and identities alone is computed for many batches at
once, and autograd has nothing to trace: a fifth of the time, which for small heads is half of a training step.

To add a term, give its weight to `trainable.config.TrialConfig`, describe it in `trainable.config.Losses`, and add its
function to TERMS here: the training loop, the report of an epoch, the result tables and the gauges follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainable.config import Losses, TrialConfig

PER_ANCHOR = ("contrastive_loss", "chance_loss")
"""The losses that are means over a batch's anchors: over several batches they are weighted by the number of anchors."""
MEASURED = ("anchors", "stepped", *Losses.names(), "grad_norm")
"""What a training step tells of its batch, in this order; what is a mean over anchors is times their number."""


class Targets(NamedTuple):
    """What the losses need to know of a batch's pairs; with a leading dimension, of many batches.

    Both directions of InfoNCE stand one above the other: B rows with the fronts as anchors, then B with the angles.
    """

    positive: Tensor
    """(..., 2B, B) bool: the cells of the score matrix, and of its transpose, that are positives."""
    target: Tensor
    """(..., 2B, B) the weight of each positive's log softmax in the loss."""
    weight: Tensor
    """(..., 2B, 1) the weight of each row's anchor, the sum of its cells' weights."""
    same: Tensor
    """(..., B) one over the number of label-1 pairs, at those; 0 elsewhere."""
    other: Tensor
    """(..., B) one over the number of label-0 pairs, at those; 0 elsewhere."""
    anchors: Tensor
    """(...,) number of anchors: rows and columns of the score matrix that have a positive."""
    chance: Tensor
    """(...,) the contrastive loss when all scores are equal, ln B; 0 where there is no anchor."""

    @classmethod
    def of(
        cls, labels: Tensor, front_identity: Tensor, angle_identity: Tensor, dtype: torch.dtype = torch.float32
    ) -> Targets:
        """Those of pairs with these labels and identities.

        labels: (..., B) of 0 and 1; identities: (..., B) whole numbers, negative where unknown; dtype: of the embeddings.
        The positives of front i are angle i if its label is 1, and every other angle view of its identity; all else is a
        negative, angle i included when its label is 0. Raises ValueError for shapes that differ.
        """
        if not labels.shape == front_identity.shape == angle_identity.shape:  # a column (B, 1) would broadcast silently
            shapes = [tuple(column.shape) for column in (labels, front_identity, angle_identity)]
            raise ValueError(f"labels and identities have shapes {shapes}; valid is one shape for all.")
        cells = (front_identity[..., :, None] == angle_identity[..., None, :]) & (front_identity >= 0)[..., :, None]
        cells.diagonal(dim1=-2, dim2=-1).copy_(labels == 1)  # the label alone decides about a pair's own cell
        positive = torch.stack([cells, cells.mT], dim=-3)  # (..., 2, B, B)
        count = positive.sum(dim=-1, keepdim=True)
        is_anchor = (count > 0).to(dtype)
        number = is_anchor.sum(dim=-2, keepdim=True)  # in each direction
        weight = is_anchor / (2 * number.clamp(min=1))
        target = positive * (weight / count.clamp(min=1))
        anchors = number.sum(dim=(-3, -2, -1))
        return cls(
            positive.flatten(-3, -2),
            target.flatten(-3, -2),
            weight.flatten(-3, -2),
            _shares((labels == 1).to(dtype)),
            _shares((labels == 0).to(dtype)),
            anchors,
            (anchors > 0).to(dtype) * math.log(labels.shape[-1]),
        )

    def batch(self, number: int) -> Targets:
        """The targets of one of many batches."""
        return Targets(*(column[number] for column in self))


def _shares(chosen: Tensor) -> Tensor:
    return chosen / chosen.sum(dim=-1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class Term:
    """A term that is added to the contrastive loss."""

    name: str
    """Of the field of `trainable.config.Losses` that reports it."""
    weight: str
    """Of the field of TrialConfig that it is multiplied by."""
    add: Callable[[Tensor, Tensor, Targets, TrialConfig, float], Tensor]
    """(own, slope, targets, config, weight) -> the term's value (...), before it is weighted. own: (..., B) each pair's own
    score, the diagonal of the score matrix; slope: (..., B, B), to which weight · the term's gradient in the scores
    is added."""


def _add_consistency(own: Tensor, slope: Tensor, targets: Targets, config: TrialConfig, weight: float) -> Tensor:
    """Mean over label-1 pairs of 1 - cosine, in [0, 2]. A constant encoder has 0 too: read it beside a measure of spread."""
    _diagonal(slope).sub_(targets.same, alpha=weight)
    return _dot(1 - own, targets.same)


def _add_negative_pairs(own: Tensor, slope: Tensor, targets: Targets, config: TrialConfig, weight: float) -> Tensor:
    """Mean over label-0 pairs of relu(cosine - margin)².

    InfoNCE gives the own cell of a negative pair that anchors nothing no gradient: this is what uses such a pair.
    """
    above = (own - config.negative_margin).relu_()
    counted = above * targets.other
    _diagonal(slope).add_(counted, alpha=2 * weight)
    return _dot(above, counted)


def _diagonal(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(..., B) times (..., B), summed; torch.dot where it can, whose rounding earlier results have."""
    return torch.dot(a, b) if a.ndim == 1 else torch.linalg.vecdot(a, b)


def _total(matrices: Tensor) -> Tensor:
    """The sum over the last two dimensions; of one matrix as earlier results have it rounded."""
    return matrices.sum() if matrices.ndim == 2 else matrices.sum(dim=(-2, -1))


TERMS = (
    Term("consistency_loss", "consistency_weight", _add_consistency),
    Term("negative_loss", "negative_weight", _add_negative_pairs),
)
"""All terms beside the contrastive loss."""


class BatchLoss(NamedTuple):
    """The losses of one batch, all scalars, or (...) of several; only `total` carries a gradient."""

    total: Tensor
    parts: dict[str, Tensor]
    """By the names of `trainable.config.Losses`; a loss that no pair of the batch contributes to is 0."""


def measured(targets: Targets, stepped: Tensor, parts: dict[str, Tensor], grad_norm: Tensor) -> Tensor:
    """The MEASURED of a step (..., len(MEASURED)), float64; stepped: 1, or 0 where the optimiser left the step out."""
    found = {"anchors": targets.anchors, "stepped": stepped, **parts, "grad_norm": grad_norm}
    found |= {name: parts[name] * targets.anchors for name in PER_ANCHOR}
    return torch.stack([found[name] for name in MEASURED], dim=-1).double()


def epoch_means(sums: Sequence[float], steps: int) -> dict[str, float]:
    """Means over an epoch's batches of the sums of MEASURED; a mean over anchors is weighted by their number, which may be
    0 in a batch."""
    summed = dict(zip(MEASURED, sums, strict=True))
    anchors, stepped = (max(1.0, summed.pop(name)) for name in ("anchors", "stepped"))
    weights = dict.fromkeys(PER_ANCHOR, anchors) | {"grad_norm": stepped}
    return {name: value / weights.get(name, steps) for name, value in summed.items()}


def batch_loss(
    front: Tensor, angle: Tensor, targets: Targets, config: TrialConfig, log_temperature: Tensor | None = None
) -> BatchLoss:
    """The contrastive loss, plus each of TERMS times its weight.

    front, angle: (B, D) float32, L2-normalised; targets: of this batch; log_temperature: () the logarithm of a temperature
    that is learnt, in place of the configuration's. With a leading dimension in all three, each batch's
    own losses, as they are without it to rounding. The contrastive loss is InfoNCE with labelled
    pairs: each anchor costs -1/|P| Σ_p log softmax_p over its positives P, averaged over the anchors of each direction, then
    over both directions. It is never below 0, and ln B when all scores are equal. Always computed in the precision of the
    embeddings: under autocast, bf16 would round every cosine above 0.998 to 1. Raises ValueError for shapes that do not
    fit. Source: van den Oord 2018 (InfoNCE), Khosla 2020 (several positives, outside the logarithm).

    >>> import torch
    >>> perfect, unknown = torch.eye(4), torch.full((4,), -1)
    >>> targets = Targets.of(torch.tensor([1, 1, 1, 1]), unknown, unknown)
    >>> loss = batch_loss(perfect, perfect, targets, TrialConfig(temperature=0.5))
    >>> {name: round(float(value), 3) for name, value in loss.parts.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'contrastive_loss': 0.341, 'chance_loss': 1.386, 'consistency_loss': 0.0, 'negative_loss': 0.0,
     'total_loss': 0.341, 'loss_temperature': 0.5}
    """
    if front.shape != angle.shape or targets.same.shape != front.shape[:-1]:
        raise ValueError(
            f"front {tuple(front.shape)}, angle {tuple(angle.shape)} and targets of {tuple(targets.same.shape)} pairs do "
            "not fit; valid is (B, D), (B, D) and (B,)."
        )
    with torch.autocast(device_type=front.device.type, enabled=False):
        total, contrastive, *terms = _Sum.apply(front, angle, targets, config, log_temperature)
    parts = {"contrastive_loss": contrastive, "chance_loss": targets.chance}
    parts |= {term.name: value for term, value in zip(TERMS, terms, strict=True)}
    used = torch.full_like(targets.chance, config.temperature) if log_temperature is None else log_temperature.exp()
    return BatchLoss(total, parts | {"total_loss": total.detach(), "loss_temperature": used.detach()})


class _Sum(torch.autograd.Function):
    """The weighted sum, then its parts; the backward pass only multiplies by gradients that the forward pass computed."""

    @staticmethod
    def forward(
        ctx: Any, front: Tensor, angle: Tensor, targets: Targets, config: TrialConfig, learnt: Tensor | None
    ) -> tuple[Tensor, ...]:
        scores = front @ angle.mT
        temperature = config.temperature if learnt is None else learnt.exp()
        logits = scores / temperature
        contrastive, slope = _info_nce(logits, targets, config.label_smoothing)
        ctx.of_learnt = None if learnt is None else -_total(slope * logits)  # logits are scores times exp(-learnt)
        slope /= temperature
        own = _diagonal(scores).clamp(-1, 1)  # rounding takes the cosine of a unit vector with itself a little past 1
        total, terms = contrastive, []
        for term in TERMS:
            weight = getattr(config, term.weight)
            terms.append(term.add(own, slope, targets, config, weight))
            total = total + weight * terms[-1]
        ctx.save_for_backward(slope @ angle, slope.mT @ front)
        ctx.mark_non_differentiable(contrastive, *terms)
        return total, contrastive, *terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, None, None, Tensor | None]:
        (of_front, of_angle), of_learnt = ctx.saved_tensors, ctx.of_learnt
        scale = of_total[..., None, None] if of_total.ndim else of_total
        return scale * of_front, scale * of_angle, None, None, None if of_learnt is None else of_total * of_learnt


def _info_nce(logits: Tensor, targets: Targets, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """InfoNCE in both directions (...), and its slope (..., B, B) in the logits (..., B, B).

    smoothing: this share of each anchor's target is spread evenly over its row, as torch's cross_entropy has it (Szegedy 2016).
    """
    log_softmax = torch.cat([logits, logits.mT], dim=-2).log_softmax(dim=-1)
    if smoothing:
        target = (1 - smoothing) * targets.target + smoothing * targets.weight / logits.shape[-1]
        loss = -_total(log_softmax * target)
        of_fronts, of_angles = log_softmax.exp_().mul_(targets.weight).sub_(target).chunk(2, dim=-2)
        return loss, of_fronts + of_angles.mT
    # where() and not a product alone: a cell that is no positive may be -inf in log_softmax.
    loss = -_total(torch.where(targets.positive, log_softmax, 0) * targets.target)
    slope = log_softmax.exp_().mul_(targets.weight).sub_(targets.target)
    of_fronts, of_angles = slope.chunk(2, dim=-2)
    return loss, of_fronts + of_angles.mT
