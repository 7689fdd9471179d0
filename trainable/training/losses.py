"""The repaired losses: pure functions of (B, D) L2-normalised embeddings, in fp32 also under autocast."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from trainable.errors import InputError


class Contrastive(NamedTuple):
    """InfoNCE of one batch; all are scalar tensors, and only `loss` carries a gradient.

    Without an anchor all five are 0: weigh them by `anchors` when batches are averaged.
    """

    loss: Tensor
    """Nats, never below 0."""
    anchors: Tensor
    """Rows and columns of the score matrix that have a positive, both directions together."""
    chance: Tensor
    """The loss when all scores are equal: mean over anchors of ln(|P_i| + |N_i|), averaged over the directions."""
    top1_accuracy: Tensor
    """Share of anchors whose best positive scores above every negative; a tie is a miss."""
    entropy: Tensor
    """Mean entropy of the anchors' softmax in nats; equals `chance` when all scores are equal."""


def info_nce(
    front: Tensor,
    angle: Tensor,
    labels: Tensor,
    temperature: float,
    front_identity: Tensor | None = None,
    angle_identity: Tensor | None = None,
    identity_positives: bool = True,
) -> Contrastive:
    """InfoNCE with labelled pairs, in both directions: never below 0, ln B at chance when every label is 1.

    front, angle: (B, D), L2-normalised; labels: (B,) of 0 and 1; identities: (B,) whole numbers, negative where
    unknown, or None for both. The positives of front i are angle i if its label is 1, and every other angle view of its
    identity; with `identity_positives` False those others are left out of the denominator instead. All else is a
    negative, angle i included when its label is 0. Each anchor costs -1/|P_i| Σ_p log softmax_p; that is averaged over
    the anchors of one direction, then over the two directions. A positive cell gives both its row and its column an
    anchor, so either both directions have one or none has, and then the loss is a zero connected to the graph. Raises
    InputError for a temperature not above 0, ValueError for shapes that do not fit. Source: van den Oord 2018
    (InfoNCE), Khosla 2020 (several positives, outside the logarithm).
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InputError(f"temperature is {temperature!r}; valid is a finite number above 0.")
    _check_shapes(front, angle, labels)
    positive, kept = _cells(labels, front_identity, angle_identity, identity_positives)
    with _full_precision(front):
        logits = _wide(front) @ _wide(angle).T / temperature
        rows = _one_direction(logits, positive, kept)
        columns = _one_direction(logits.T, positive.T, kept.T)
    loss, anchors, chance, top1_accuracy, entropy = (row + column for row, column in zip(rows, columns, strict=True))
    return Contrastive(loss / 2, anchors, chance / 2, top1_accuracy / 2, entropy / 2)


def negative_pair_term(front: Tensor, angle: Tensor, labels: Tensor, margin: float = 0.0) -> Tensor:
    """Mean over label-0 pairs of relu(cosine - margin)²; a zero connected to the graph when there is none.

    front, angle: (B, D), L2-normalised; labels: (B,) of 0 and 1. Masked InfoNCE gives the own cell of a negative pair
    that anchors nothing no gradient at all; this term is what uses a labelled hard negative.
    """
    _check_shapes(front, angle, labels)
    with _full_precision(front):
        return _mean_where(torch.relu(_own_scores(front, angle) - margin).square(), labels == 0)


def consistency(front: Tensor, angle: Tensor, labels: Tensor) -> Tensor:
    """Mean over label-1 pairs of 1 - cosine, in [0, 2]; a zero connected to the graph when there is none.

    front, angle: (B, D), L2-normalised; labels: (B,) of 0 and 1. A constant encoder has 0 too: report it beside a
    measure of `trainable.metrics.spread`.
    """
    _check_shapes(front, angle, labels)
    with _full_precision(front):
        # Rounding takes the cosine of a unit vector with itself a little past 1.
        return _mean_where(1 - _own_scores(front, angle).clamp(-1, 1), labels == 1)


def _cells(
    labels: Tensor, front_identity: Tensor | None, angle_identity: Tensor | None, identity_positives: bool
) -> tuple[Tensor, Tensor]:
    """Which cells of the (B, B) score matrix are positives, and which take part at all (own cells always do)."""
    positive = torch.diag(labels == 1)
    kept = torch.ones_like(positive)
    if (front_identity is None) != (angle_identity is None):
        raise ValueError("only one of front_identity and angle_identity was given; valid is both or neither.")
    if front_identity is None or angle_identity is None:
        return positive, kept
    if front_identity.shape != labels.shape or angle_identity.shape != labels.shape:
        raise ValueError(
            f"identities have shapes {tuple(front_identity.shape)} and {tuple(angle_identity.shape)}; "
            f"valid is that of the labels, {tuple(labels.shape)}."
        )
    same = (front_identity[:, None] == angle_identity[None, :]) & (front_identity >= 0)[:, None]
    same = same.fill_diagonal_(False)  # the label alone decides about a pair's own cell
    return (positive | same, kept) if identity_positives else (positive, ~same)


def _one_direction(logits: Tensor, positive: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """loss, anchors, chance, top-1 accuracy and entropy with the rows of (B, B) logits as anchors."""
    # finfo.min, not -inf: gradients stay finite. Not -1e9: at a small temperature a logit may lie below it.
    log_softmax = torch.where(kept, logits, torch.finfo(logits.dtype).min).log_softmax(dim=1)
    positives = positive.sum(dim=1)
    is_anchor = positives > 0
    # where() before the sum: no masked cell and no row without a positive (0 / 0 in SupContrast) enters the gradient.
    per_anchor = -torch.where(positive, log_softmax, 0).sum(dim=1) / positives.clamp(min=1)
    with torch.no_grad():
        chance = kept.sum(dim=1).to(logits.dtype).log()
        best_positive = logits.masked_fill(~positive, -math.inf).amax(dim=1)
        best_negative = logits.masked_fill(positive | ~kept, -math.inf).amax(dim=1)
        hit = (best_positive > best_negative).to(logits.dtype)
        entropy = -torch.where(kept, log_softmax.exp() * log_softmax, 0).sum(dim=1)
    means = (_mean_where(values, is_anchor) for values in (per_anchor, chance, hit, entropy))
    loss, chance, top1_accuracy, entropy = means
    return loss, is_anchor.sum(), chance, top1_accuracy, entropy


def _own_scores(front: Tensor, angle: Tensor) -> Tensor:
    """(B,) cosine of each pair's own two views: the diagonal of the score matrix."""
    return (_wide(front) * _wide(angle)).sum(dim=1)


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values; a zero that is still connected to the graph when none is chosen."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp(min=1)


def _full_precision(like: Tensor) -> torch.autocast:
    """Autocast switched off: in bf16 every cosine above 0.998 would become 1.0."""
    return torch.autocast(device_type=like.device.type, enabled=False)


def _wide(embeddings: Tensor) -> Tensor:
    """At least fp32; fp64 stays what it is, for gradient checks."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def _check_shapes(front: Tensor, angle: Tensor, labels: Tensor) -> None:
    """A label column of shape (B, 1) would broadcast silently to a wrong loss."""
    if front.ndim != 2 or front.shape != angle.shape or labels.shape != front.shape[:1]:
        raise ValueError(
            f"front {tuple(front.shape)}, angle {tuple(angle.shape)} and labels {tuple(labels.shape)} do not fit; "
            "valid is (B, D), (B, D) and (B,)."
        )
