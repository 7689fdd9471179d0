"""Vital signs of an epoch: what diagnoses look at beside its losses and metrics, cheap enough for every epoch.

Each number is measured once an epoch, on a sample of fixed size, and draws nothing from any random state that training
uses. The slow and exact forms of the spread measures are in `trainable.spread`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

ROWS = 96
"""Embeddings that the spread is measured on; enough for a rank up to 96, and a millisecond of work."""
_WATCHED = 16  # numbers of every frozen tensor that are compared: whatever moves a tensor moves all of it
_PARTS = ("head", "backbone")
PROBED = (*(f"{part}_{what}" for part in _PARTS for what in ("grad_norm", "update_ratio")), "frozen_moved")
"""The fields of Vitals that come from a training step, not from validation."""


@dataclass(frozen=True)
class Vitals:
    """What an epoch's report holds for the diagnoses. None: there is no such part, or its step was skipped."""

    mean_cosine: float
    """Mean cosine of validation embeddings of different identities: about 0 when healthy, 1 when collapsed."""
    uniformity: float
    """log mean exp(-2 ‖x - x'‖²): about -3.9 when even, 0 when collapsed."""
    rank_raw: float
    """RankMe of the embeddings: how many dimensions are in use; 1 when all point one way."""
    rank_centred: float
    """RankMe of the embeddings less their mean."""
    rank_limit: int
    """The most that either can be: the smaller of the sample and the embedding's width."""
    score_low: float
    """The lowest validation score."""
    score_high: float
    """The highest validation score."""
    scores_tied: float
    """Share of the validation scores that another one equals exactly."""
    scores_tied_exact: float
    """The same share when those scores are computed anew from the embeddings, in float64 and rounded to float32."""
    head_grad_norm: float | None
    """Norm of the head's gradient at the epoch's middle step."""
    backbone_grad_norm: float | None
    """The same of the trained blocks."""
    head_update_ratio: float | None
    """Norm of that step over the norm of the head's weights; 0 when no weight moved."""
    backbone_update_ratio: float | None
    """The same of the trained blocks."""
    frozen_moved: int
    """Frozen tensors, buffers included, that are no longer what they were when the trial began; healthy is 0."""


@torch.no_grad()
def of_embeddings(scores: np.ndarray, embeddings: Tensor, ends: np.ndarray, identities: np.ndarray) -> dict[str, Any]:
    """The vital signs of validation.

    scores: (n,) as they are reported; embeddings: (m, E) of the distinct images, L2-normalised; ends: (2n,) image
    numbers of the fronts, then the angles, the distinct ones in order being the rows of `embeddings`; identities: (2n,).
    """
    _, first, place = np.unique(ends, return_index=True, return_inverse=True)
    rows = embeddings.detach().cpu()
    tied = _tied(scores)  # few or none: only these are computed anew
    pairs = [nn.functional.normalize(rows[side[tied]].double(), dim=1) for side in torch.from_numpy(place).chunk(2)]
    exact = (pairs[0] * pairs[1]).sum(dim=1).float().numpy()
    return _spread(rows, identities[first]) | {
        "score_low": float(scores.min()),
        "score_high": float(scores.max()),
        "scores_tied": len(tied) / len(scores),
        "scores_tied_exact": len(_tied(exact)) / len(scores),
    }


def _tied(scores: np.ndarray) -> np.ndarray:
    """The numbers of the scores (n,) that another one equals exactly."""
    order = np.argsort(scores)
    same = np.concatenate([[False], np.diff(scores[order]) == 0, [False]])
    return order[same[1:] | same[:-1]] if len(scores) else order


def _spread(rows: Tensor, identities: np.ndarray) -> dict[str, Any]:
    """mean_cosine, uniformity and both ranks of (m, E) embeddings: of ROWS of them, always the same ones."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:ROWS])
    sample, codes = rows[torch.from_numpy(chosen)].double(), identities[chosen]
    strangers = torch.from_numpy(codes[:, None] != codes)
    count, width = sample.shape
    cosines, about_mean = sample @ sample.T, sample - sample.mean(dim=0)
    near = (4 * (cosines.clamp(max=1) - 1)).exp()  # a row's nearness to itself is 1
    # Either product has the squares of the singular values for eigenvalues; the smaller one is the faster.
    raw, centred = (m @ m.T if count <= width else m.T @ m for m in (sample, about_mean))
    noise = max(sample.shape) * torch.finfo(torch.float32).eps * count**0.5
    ranks = [_rank(values, noise) for values in torch.linalg.eigvalsh(torch.stack([raw, centred]))]
    return {
        "mean_cosine": float(cosines[strangers].mean()),
        "uniformity": math.log((float(near.sum()) - count) / (count * (count - 1))),
        "rank_raw": ranks[0],
        "rank_centred": ranks[1],
        "rank_limit": min(sample.shape),
    }


def _rank(squares: Tensor, noise: float) -> float:
    """RankMe from the squares of the singular values; those within `noise` of 0 do not count."""
    values = squares.clamp(min=0).sqrt()
    values = values[values > noise]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float((-(shares * shares.log()).sum()).exp())


class StepProbe:
    """Looks at one step of the optimiser, as a context around it, and at what must not move.

    trained, frozen: named tensors of the encoder; names begin with the part, `head.` or `backbone.`.
    """

    def __init__(self, trained: dict[str, Tensor], frozen: dict[str, Tensor]) -> None:
        self._parts = {part: [p for name, p in trained.items() if name.startswith(f"{part}.")] for part in _PARTS}
        self._frozen = [_few(tensor) for tensor in frozen.values() if tensor.numel()]
        sizes = torch.tensor([len(few) for few in self._frozen], dtype=torch.int64)
        self._owner = torch.arange(len(sizes)).repeat_interleave(sizes)
        self._frozen_before = self._frozen_now()
        self.found: dict[str, Any] = {}

    @torch.no_grad()
    def __enter__(self) -> StepProbe:
        self._before = {part: [p.clone() for p in parameters] for part, parameters in self._parts.items()}
        return self

    @torch.no_grad()
    def __exit__(self, *error: Any) -> None:
        self.found = {"frozen_moved": self._frozen_moved()}
        for part, parameters in self._parts.items():
            gradient, ratio = self._norms(parameters, self._before.pop(part)) if parameters else (None, None)
            self.found |= {f"{part}_grad_norm": gradient, f"{part}_update_ratio": ratio}

    def _norms(self, parameters: list[Tensor], before: list[Tensor]) -> tuple[float | None, float | None]:
        """Norm of the gradient, and that of the step over that of the weights."""
        gradient = float(get_total_norm([p.grad for p in parameters if p.grad is not None]))
        weights = float(get_total_norm(before))
        if not math.isfinite(gradient):  # in fp16, while the loss scale comes down, such a step is skipped
            return None, None
        return gradient, float(get_total_norm(torch._foreach_sub(parameters, before))) / weights if weights else None

    def _frozen_moved(self) -> int:
        return len(self._owner[(self._frozen_now() != self._frozen_before).cpu()].unique())

    def _frozen_now(self) -> Tensor:
        """What is watched of all frozen tensors, one after the other: one comparison is faster than hundreds."""
        return torch.cat(self._frozen).nan_to_num() if self._frozen else torch.empty(0)


def _few(tensor: Tensor) -> Tensor:
    """A view of up to _WATCHED numbers, evenly spaced in the tensor's memory."""
    count = min(_WATCHED, tensor.numel())
    return torch.as_strided(tensor.detach(), (count,), (tensor.numel() // count,), tensor.storage_offset())
