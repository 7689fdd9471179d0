"""A look at one training step an epoch, for the diagnoses: gradients, updates, and whether what is frozen stays as it was.

It draws nothing from any random state that training uses. What each number means is said in `trainable.measures.Step`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_WATCHED = 16  # numbers of every frozen tensor that are compared: whatever moves a tensor moves all of it
_PARTS = ("head", "backbone")
_OF_A_PART = ("grad_norm", "update_ratio", "growth")


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
        self._norms_before = {part: _norm([p.detach() for p in parameters]) for part, parameters in self._parts.items()}
        self._before: dict[str, list[Tensor]] = {}
        self.found: dict[str, Any] = {}

    @torch.no_grad()
    def __enter__(self) -> StepProbe:
        self._before = {part: [p.clone() for p in parameters] for part, parameters in self._parts.items()}
        self._pull: float | None = None
        return self

    @torch.no_grad()
    def __exit__(self, *error: Any) -> None:
        before, self._before = self._before, {}
        self.found = {"frozen_moved": self._frozen_moved(), "negative_pull": self._pull}
        for part, parameters in self._parts.items():
            found = self._of(part, parameters, before[part]) if parameters else (None,) * len(_OF_A_PART)
            self.found |= {f"{part}_{what}": value for what, value in zip(_OF_A_PART, found, strict=True)}

    def watch(self, front: Tensor, angle: Tensor, labels: Tensor) -> None:
        """In the step looked at: note which way its loss pulls the (B, E) embeddings of pairs with (B,) labels."""
        if self._before:
            front.register_hook(lambda gradient: self._note(gradient, front.detach(), angle.detach(), labels))

    @torch.no_grad()
    def _note(self, gradient: Tensor, front: Tensor, angle: Tensor, labels: Tensor) -> None:
        own = torch.linalg.vecdot(front, angle)[:, None]
        towards = torch.addcmul(angle, own, front, value=-1)  # the way on the sphere, of a front to its angle
        pull = torch.linalg.vecdot(gradient, towards)  # of a step against the gradient, the other way
        of_label = torch.stack([labels == 1, labels == 0]).to(pull.dtype)
        same, different = (of_label @ pull / -of_label.sum(dim=1)).tolist()
        collapsed = float(towards.norm()) < 1e-5 * towards.numel() ** 0.5  # then it is noise
        if not collapsed and same > 0 and math.isfinite(different / same):  # a batch may lack a label
            self._pull = different / same

    def _of(self, part: str, parameters: list[Tensor], before: list[Tensor]) -> tuple[float | None, ...]:
        """Norm of the gradient, that of the step over that of the weights, and that over what it was at first."""
        gradient = _norm([p.grad for p in parameters if p.grad is not None])
        weights, at_first = _norm(before), self._norms_before[part]
        growth = weights / at_first if at_first else None
        if not math.isfinite(gradient):  # in fp16, while the loss scale comes down, such a step is skipped
            return None, None, growth
        step = _norm(torch._foreach_sub(parameters, before))
        return gradient, step / weights if weights else None, growth

    def _frozen_moved(self) -> int:
        now = self._frozen_now()
        return (
            0
            if torch.equal(now, self._frozen_before)
            else len(self._owner[(now != self._frozen_before).cpu()].unique())
        )

    def _frozen_now(self) -> Tensor:
        """What is watched of all frozen tensors, one after the other: one comparison is faster than hundreds."""
        return torch.cat(self._frozen).nan_to_num() if self._frozen else torch.empty(0)


def norm(tensors: list[Tensor]) -> Tensor:
    """The norm of all their numbers together, one or more tensors."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def _norm(tensors: list[Tensor]) -> float:
    return float(norm(tensors)) if tensors else 0.0


def _few(tensor: Tensor) -> Tensor:
    """A view of up to _WATCHED numbers, evenly spaced in the tensor's memory."""
    count = min(_WATCHED, tensor.numel())
    return torch.as_strided(tensor.detach(), (count,), (tensor.numel() // count,), tensor.storage_offset())
