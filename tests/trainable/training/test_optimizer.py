"""The optimiser beside torch's own, whose numbers and state it must have."""

from __future__ import annotations

import copy

import pytest
import torch

from trainable.training.optimizer import StraightAdamW

RATES = (1e-2, 3e-3, 1e-3, 3e-4)


def parameters() -> list[torch.nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, generator=random)) for size in ((5, 3), (5,), (2, 5))]


def groups(members: list[torch.nn.Parameter]) -> list[dict]:
    return [
        {"params": members[::2], "lr": 1e-2, "weight_decay": 0.1},
        {"params": members[1:2], "lr": 1e-3, "weight_decay": 0.0},
    ]


def train(optimizer: torch.optim.Optimizer, members: list[torch.nn.Parameter], without: int | None = None) -> None:
    """A step at each of the learning rates; in the second one, a parameter may have no gradient."""
    for step, rate in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = rate
        for number, parameter in enumerate(members):
            absent = step == 1 and number == without
            parameter.grad = None if absent else torch.sin(parameter.detach() + step)
        optimizer.step()


def same(found: torch.optim.Optimizer, wanted: torch.optim.Optimizer) -> bool:
    """Both have the same state, to the bit."""
    states = found.state_dict()["state"], wanted.state_dict()["state"]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][number][name]) for number, own in states[0].items() for name, value in own.items()
    )


@pytest.mark.parametrize("without", [None, 0, 1])
def test_steps_are_torch_s_own_to_the_bit(without):
    """Parameters and moments, in groups of different rates and decays, also after a step without some gradient."""
    ours, theirs = parameters(), parameters()
    straight = StraightAdamW(groups(ours), lr=1.0)
    plain = torch.optim.AdamW(groups(theirs), lr=1.0, fused=True)
    train(straight, ours, without)
    train(plain, theirs, without)
    assert all(map(torch.equal, ours, theirs)) and same(straight, plain)


def test_a_state_that_was_loaded_is_gone_on_with():
    """Steps after it go to the loaded moments, not to those from before."""
    ours, theirs = parameters(), parameters()
    straight = StraightAdamW(groups(ours), lr=1.0)
    plain = torch.optim.AdamW(groups(theirs), lr=1.0, fused=True)
    train(plain, theirs)
    train(straight, ours)
    train(straight, ours)  # further than where it is to go on
    straight.load_state_dict(copy.deepcopy(plain.state_dict()))
    with torch.no_grad():
        for own, other in zip(ours, theirs, strict=True):
            own.copy_(other)
    train(straight, ours)
    train(plain, theirs)
    assert all(map(torch.equal, ours, theirs)) and same(straight, plain)


def test_a_step_that_a_scaler_scales_is_torch_s_own():
    """Gradients are scaled back, and an overflow skips the step."""
    ours, theirs = parameters(), parameters()
    pairs = (
        (StraightAdamW(groups(ours), lr=1.0), ours),
        (torch.optim.AdamW(groups(theirs), lr=1.0, fused=True), theirs),
    )
    for optimizer, members in pairs:
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for step in range(4):
            optimizer.zero_grad()
            total = sum((p * p).sum() for p in members) * (torch.inf if step == 2 else 1)
            scaler.scale(total).backward()
            scaler.step(optimizer)
            scaler.update()
    assert all(map(torch.equal, ours, theirs)) and same(pairs[0][0], pairs[1][0])
