"""The optimiser that does without PyTorch's compiler is PyTorch's own, number by number."""

from __future__ import annotations

import copy

import pytest
import torch

from trainable.training.optimizer import AdamW


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.GELU(), torch.nn.Linear(5, 3))


def trained(kind: type[torch.optim.AdamW], steps: int, fused: bool, again_at: int | None = None) -> list[torch.Tensor]:
    """Parameters after so many steps, with a rate that changes; again_at: the step at which it goes on from its state."""
    model, random = net(), torch.Generator().manual_seed(1)
    groups = [{"params": [model[0].weight, model[2].weight], "weight_decay": 0.1}, {"params": [model[0].bias], "lr": 0.3}]
    optimizer = kind(groups, lr=0.01, fused=fused)
    for step in range(steps):
        if step == again_at:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = kind(groups, lr=0.5, fused=fused)
            optimizer.load_state_dict(state)
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
        optimizer.zero_grad()
        model(torch.randn(4, 7, generator=random)).square().sum().backward()
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("fused", [True, False])
def test_it_steps_as_pytorchs_own(fused: bool) -> None:
    """To the bit, with groups of their own rates, and from a saved state."""
    expected = trained(torch.optim.AdamW, 6, fused)
    for again_at in (None, 3):
        for found, wanted in zip(trained(AdamW, 6, fused, again_at), expected, strict=True):
            assert torch.equal(found, wanted)


def test_steps_leave_no_trace_of_gradients() -> None:
    """What was computed is no part of the next step's graph, and gradients are computed after it as before."""
    model = net()
    optimizer = AdamW(model.parameters(), lr=0.1, fused=True)
    model(torch.ones(1, 7)).sum().backward()
    optimizer.step()
    assert torch.is_grad_enabled()
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in model.parameters())
