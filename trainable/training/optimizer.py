"""torch's fused AdamW without its bookkeeping, which takes as long as its arithmetic where a small head is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_Lists = tuple[dict[str, Any], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class StraightAdamW(torch.optim.AdamW):
    """AdamW whose steps, from the second on, go straight to the kernel: the same numbers, to the bit, and the same state.

    A step that a GradScaler scales, or in which a parameter has no gradient, is torch's own.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        self._lists: list[_Lists] = []
        super().__init__(groups, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step of every group, at its own learning rate."""
        complete = all(p.grad is not None for _, parameters, *_ in self._lists for p in parameters)
        if not self._lists or not complete or getattr(self, "found_inf", None) is not None:
            super().step(closure)
            known = all(p in self.state for group in self.param_groups for p in group["params"])
            self._lists = [self._lists_of(group) for group in self.param_groups] if known else []
            return
        for group, parameters, averages, squares, steps in self._lists:
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                parameters,
                [p.grad for p in parameters],
                averages,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; its tensors take the place of those that steps went to so far."""
        super().load_state_dict(state_dict)
        self._lists = []

    def _lists_of(self, group: dict[str, Any]) -> _Lists:
        states = [self.state[p] for p in group["params"]]
        return (group, group["params"], *([state[n] for state in states] for n in ("exp_avg", "exp_avg_sq", "step")))
