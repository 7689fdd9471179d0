"""The probe of one step sees which parts moved, by how much, and which way the loss pulls."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.trainable.metrics.test_spread import embeddings
from trainable import columns
from trainable.measures import Step
from trainable.metrics import step_probe


class Net(nn.Module):
    """A head, a backbone and something frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.backbone = nn.Linear(4, 2), nn.Linear(4, 4)


def probed(step) -> dict[str, float | None]:
    """What a probe finds around `step(net)`, of a net whose bias of the backbone is frozen."""
    torch.manual_seed(0)
    net = Net()
    tensors = dict(net.named_parameters())
    frozen = {"backbone.bias": tensors.pop("backbone.bias")}
    probe = step_probe.StepProbe(tensors, frozen)
    with probe:
        step(net)
    assert set(probe.found) == set(columns.of(Step))
    return probe.found


def descend(net: Net, *parts: str, lr: float = 0.5) -> None:
    """A gradient for all, and a step of plain descent for the weights of these parts."""
    net.head(net.backbone(torch.ones(3, 4))).sum().backward()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(parts) and name != "backbone.bias":
                parameter -= lr * parameter.grad


def test_a_probe_measures_gradients_and_steps_of_each_part():
    """Plain descent moves a part by its gradient times the rate; a part that is left out has a ratio of 0."""
    found = probed(lambda net: descend(net, "head"))
    torch.manual_seed(0)
    before = Net()
    descend(before)
    gradient = torch.cat([p.grad.ravel() for p in before.head.parameters()]).norm()
    torch.manual_seed(0)
    weights = torch.cat([p.detach().ravel() for p in Net().head.parameters()]).norm()
    assert found["head_grad_norm"] == pytest.approx(float(gradient), rel=1e-5)
    assert found["head_update_ratio"] == pytest.approx(float(0.5 * gradient / weights), rel=1e-4)
    assert found["backbone_update_ratio"] == 0 and found["backbone_grad_norm"] > 0
    assert found["frozen_moved"] == 0 and found["head_growth"] == 1


def test_a_probe_measures_how_much_weights_have_grown_since_the_trial_began():
    """Over the norm that they had when the probe was made, not that of the step before."""
    net = Net()
    probe = step_probe.StepProbe(dict(net.named_parameters()), {})
    net.head.weight.data *= 3
    net.head.bias.data *= 3
    with probe:
        descend(net)
    assert probe.found["head_growth"] == pytest.approx(3) and probe.found["backbone_growth"] == pytest.approx(1)


@pytest.mark.parametrize(("own_cell_is_positive", "pull"), [(True, 1.0), (False, -1.0)])
def test_a_probe_sees_which_way_pairs_of_label_0_are_pulled(own_cell_is_positive, pull):
    """Together, as much as those of label 1, by a loss that takes them for positives; apart by one that does not."""
    net = Net()
    rows = embeddings(40, 16)
    front, angle = rows[:20].clone().requires_grad_(), rows[20:]
    labels = torch.arange(20) % 2
    sign = torch.where(labels == 1, 1, 1 if own_cell_is_positive else -1)
    probe = step_probe.StepProbe(dict(net.named_parameters()), {})
    with probe:
        probe.watch(front, angle, labels)
        descend(net)
        towards = angle - (front.detach() * angle).sum(dim=1, keepdim=True) * front.detach()
        (-(sign[:, None] * front * towards / towards.square().sum(dim=1, keepdim=True)).sum()).backward()
    assert probe.found["negative_pull"] == pytest.approx(pull, rel=1e-4)


def test_a_probe_sees_a_part_without_gradient_and_a_frozen_tensor_that_moves():
    """No backward pass: norms of 0; one number in a frozen tensor is enough."""

    def nudge(net: Net) -> None:
        net.backbone.bias.data += 1e-6

    found = probed(nudge)
    assert found["head_grad_norm"] == found["backbone_grad_norm"] == 0
    assert found["frozen_moved"] == 1


def test_a_probe_takes_a_skipped_step_for_unknown():
    """A half-precision step whose gradient overflows moves nothing and is no symptom."""

    def overflow(net: Net) -> None:
        descend(net)
        net.head.weight.grad.fill_(float("inf"))

    found = probed(overflow)
    assert found["head_update_ratio"] is None and found["head_grad_norm"] is None
    assert found["backbone_grad_norm"] > 0
