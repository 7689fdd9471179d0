"""The losses, in value and in gradient, against tests/tools/reference.py; and the numerical traps of objective.md."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that torch's own documentation uses
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import reference
from trainable.config import Losses, TrialConfig
from trainable.training.losses import PER_ANCHOR, TERMS, BatchLoss, Targets, batch_loss

CONTRASTIVE = {"consistency_weight": 0.0, "negative_weight": 0.0}
"""Nothing but InfoNCE is minimised."""


def unit(size: int, width: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """Two (B, D) leaves of unit rows."""
    generator = torch.Generator().manual_seed(seed)
    both = F.normalize(torch.randn(2, size, width, generator=generator, dtype=torch.float64), dim=2).to(dtype)
    return both[0].clone().requires_grad_(), both[1].clone().requires_grad_()


@st.composite
def batches(draw: st.DrawFn) -> dict:
    """A small labelled batch with identities that repeat, some unknown, or with none."""
    size = draw(st.integers(1, 7))
    labels = torch.tensor(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    codes = st.lists(st.integers(-1, 3), min_size=size, max_size=size)
    known = draw(st.booleans())
    identities = [torch.tensor(draw(codes)) if known else None for _ in range(2)]
    front, angle = unit(size, seed=draw(st.integers(0, 1000)))
    return {
        "front": front,
        "angle": angle,
        "labels": labels,
        "temperature": draw(st.sampled_from([0.01, 0.07, 0.5, 1.0])),
        "front_identity": identities[0],
        "angle_identity": identities[1],
    }


def targets_of(labels, front_identity=None, angle_identity=None, dtype: torch.dtype = torch.float64) -> Targets:
    """Of pairs whose identities may be unknown."""
    labels = torch.as_tensor(labels).long()
    codes = (torch.full_like(labels, -1) if code is None else code for code in (front_identity, angle_identity))
    return Targets.of(labels, *codes, dtype=dtype)


def of_batch(batch: dict, **parameters: float) -> tuple[BatchLoss, Targets]:
    config = TrialConfig(temperature=batch["temperature"], **parameters)
    targets = targets_of(batch["labels"], batch["front_identity"], batch["angle_identity"], batch["front"].dtype)
    return batch_loss(batch["front"], batch["angle"], targets, config), targets


def info_nce(front, angle, labels, temperature, front_identity=None, angle_identity=None) -> tuple[BatchLoss, Targets]:
    """The loss of a batch where nothing but InfoNCE is minimised."""
    targets = targets_of(labels, front_identity, angle_identity, front.dtype)
    return batch_loss(front, angle, targets, TrialConfig(temperature=temperature, **CONTRASTIVE)), targets


def alone(name: str, front, angle, labels, **parameters: float) -> torch.Tensor:
    """One term, with the gradient that it has in the sum."""
    weights = {term.weight: 0.0 for term in TERMS}
    both, without = (
        batch_loss(front, angle, targets_of(labels, dtype=front.dtype), TrialConfig(**parameters, **weights | changed))
        for changed in ({term.weight: 1.0 for term in TERMS if term.name == name}, {})
    )
    assert torch.equal(both.total - without.total, both.total.detach() - without.total.detach())
    return both.total - without.total


def gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, leaves))


@settings(max_examples=80, deadline=None)
@given(batches())
def test_the_closed_form_is_the_sum_of_the_loop_references(batch):
    """Every number, and the gradient in both views, whatever the labels, the identities and the temperature."""
    views, labels = (batch["front"], batch["angle"]), batch["labels"]
    found, targets = of_batch(batch, consistency_weight=0.3, negative_weight=0.7, negative_margin=0.1)
    contrastive, anchors, _ = reference.info_nce(**batch)
    consistency = reference.consistency(*views, labels)
    negative = reference.negative_pair_term(*views, labels, 0.1)
    total = contrastive + 0.3 * consistency + 0.7 * negative
    assert targets.anchors == anchors
    wanted = {"contrastive_loss": contrastive, "consistency_loss": consistency, "negative_loss": negative}
    for name, value in (wanted | {"total_loss": total}).items():
        torch.testing.assert_close(found.parts[name], value.detach(), msg=name)
    torch.testing.assert_close(gradients(2 * found.total, *views), gradients(2 * total, *views))


@settings(max_examples=50, deadline=None)
@given(batches())
def test_chance_and_anchors_are_those_of_the_loop_reference(batch):
    """What equal scores would come to, and how many rows and columns have a positive."""
    found, targets = of_batch(batch)
    _, anchors, chance = reference.info_nce(**batch)
    assert targets.anchors == anchors
    assert float(found.parts["chance_loss"]) == pytest.approx(chance)


@settings(max_examples=40, deadline=None)
@given(batches(), st.sampled_from([-0.5, 0.0, 0.3]))
def test_each_term_by_itself_is_its_loop_reference(batch, margin):
    """Values and gradients, for batches with and without pairs of the label that each averages over."""
    views, labels = (batch["front"], batch["angle"]), batch["labels"]
    for name, expected in (
        ("negative_loss", reference.negative_pair_term(*views, labels, margin)),
        ("consistency_loss", reference.consistency(*views, labels)),
    ):
        found = alone(name, *views, labels, negative_margin=margin)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(gradients(found, *views), gradients(expected, *views), atol=1e-6, rtol=1e-5)


def test_every_loss_is_declared_reported_and_weighted():
    """A term has a field in Losses and a weight in TrialConfig, and the loss of a batch has exactly the declared parts."""
    front, angle = unit(4)
    found = batch_loss(front, angle, targets_of([1, 0, 1, 1]), TrialConfig())
    assert set(found.parts) == set(Losses.names()) and set(PER_ANCHOR) < set(found.parts)
    assert all(term.weight in TrialConfig.names() and term.name in Losses.names() for term in TERMS)


@given(st.integers(1, 4), st.integers(1, 6), st.randoms(use_true_random=False))
def test_targets_of_many_batches_are_those_of_each(count, size, random):
    """What is computed for an epoch's batches at once is what each of them has by itself."""
    labels, *identities = (torch.tensor([[random.randint(low, 2) for _ in range(size)] for _ in range(count)])
                           for low in (0, -1, -1))  # fmt: skip
    labels = labels.clamp(max=1)
    many = Targets.of(labels, *identities)
    for number in range(count):
        one = Targets.of(labels[number], *(codes[number] for codes in identities))
        assert all(map(torch.equal, many.batch(number), one))


@settings(max_examples=80, deadline=None)
@given(batches())
def test_the_losses_are_never_negative_nor_nan(batch):
    """In fp32 too every loss is at least 0, and loss and gradients are finite, with or without anchors."""
    leaves = [batch[name].detach().float().requires_grad_() for name in ("front", "angle")]
    found, _ = of_batch(batch | dict(zip(("front", "angle"), leaves, strict=True)))
    assert all(value >= 0 and torch.isfinite(value) for value in found.parts.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients(found.total, *leaves))


@settings(max_examples=40, deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_the_losses_do_not_depend_on_the_order_of_the_pairs(batch, random):
    """A shuffled batch has the same losses."""
    order = list(range(len(batch["labels"])))
    random.shuffle(order)
    shuffled = {k: v[order] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    torch.testing.assert_close(of_batch(batch)[0].parts, of_batch(shuffled)[0].parts)


def test_info_nce_equals_two_way_cross_entropy_when_all_pairs_match():
    """With all labels 1 and distinct identities it is cross_entropy(S / tau, arange(B)) in both directions."""
    front, angle = unit(12)
    logits, target = front @ angle.T / 0.07, torch.arange(12)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    slope = gradients(expected, front)
    for codes in (None, torch.arange(12)):
        found, targets = info_nce(front, angle, torch.ones(12), 0.07, codes, codes)
        torch.testing.assert_close(found.total, expected)
        torch.testing.assert_close(gradients(found.total, front), slope)
        assert int(targets.anchors) == 24


def test_the_sum_passes_gradcheck():
    """The gradient agrees with finite differences, duplicates and labels 0 included."""
    front, angle = unit(5, width=3)
    targets = targets_of([1, 0, 1, 1, 0], torch.tensor([0, 1, 0, 2, 3]), torch.tensor([0, 2, 0, 2, 1]))
    config = TrialConfig(temperature=0.2, negative_margin=-0.3)
    assert torch.autograd.gradcheck(lambda f, a: batch_loss(f, a, targets, config).total, (front, angle))


def test_chance_is_ln_b_and_a_constant_encoder_sits_exactly_there():
    """All scores equal: the loss is its chance, ln B, whatever the labels and identities."""
    constant = F.normalize(torch.ones(32, 8), dim=1)
    labels, codes = torch.arange(32) % 2, torch.arange(32) // 4
    for arguments in ((torch.ones(32), 0.07), (labels, 0.07, codes, codes.flip(0))):
        found, _ = info_nce(constant, constant, *arguments)
        assert float(found.parts["contrastive_loss"]) == pytest.approx(math.log(32), abs=1e-5)
        assert float(found.parts["chance_loss"]) == pytest.approx(math.log(32), abs=1e-5)


def test_own_pair_with_label_0_is_pushed_apart():
    """Where the pair is an anchor through its identity, its own cell is a negative and its gradient pushes."""
    codes, others = torch.tensor([0, 1, 2]), torch.tensor([5, 0, 2])
    front, angle = unit(3)
    scores, eye = (front @ angle.T).detach().requires_grad_(), torch.eye(3, dtype=torch.float64)
    found, targets = info_nce(scores, eye, [0, 0, 1], 0.5, codes, others)
    assert int(targets.anchors) == 4, "front 0 with angle 1, and pair 2, from both sides"
    (slope,) = gradients(found.total, scores)
    assert slope[0, 0] > 0 > slope[0, 1], "descent lowers the own cell and raises the identity's"


def test_labelled_negative_that_anchors_nothing_needs_the_negative_pair_term():
    """Its own cell gets exactly zero gradient from masked InfoNCE, and some from the negative-pair term."""
    labels, eye = [1, 1, 0], torch.eye(3, dtype=torch.float64)
    scores = torch.full((3, 3), 0.5, dtype=torch.float64, requires_grad=True)
    (slope,) = gradients(info_nce(scores, eye, labels, 0.07)[0].total, scores)
    assert slope[2, 2] == 0
    (slope,) = gradients(alone("negative_loss", scores, eye, labels), scores)
    assert slope[2, 2] == 1.0 and slope[0, 0] == 0


def test_without_an_anchor_the_loss_is_a_zero_that_can_be_trained_on():
    """All labels 0: loss 0, anchors 0, zero gradients, and nothing is NaN (SupContrast issues 50 and 141)."""
    front, angle = unit(4, dtype=torch.float32)
    found, targets = info_nce(front, angle, torch.zeros(4), 0.07)
    assert found.total == 0 and targets.anchors == 0 and found.total.requires_grad
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients(found.total, front, angle))


def test_an_anchor_without_a_positive_is_skipped_where_supcontrast_is_nan():
    """SupConLoss divides 0 by 0 for such an anchor; here the other anchors alone are averaged."""
    front, angle = unit(4, dtype=torch.float32)
    labels = torch.tensor([1, 1, 1, 0])
    log_softmax = (front @ angle.T / 0.07).log_softmax(dim=1)
    mask = torch.diag(labels.float())
    assert torch.isnan(-((mask * log_softmax).sum(1) / mask.sum(1)).mean()), "the formula that gives NaN"
    found, targets = info_nce(front, angle, labels, 0.07)
    assert torch.isfinite(found.total) and targets.anchors == 6


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 0.001, 100.0])
def test_an_extreme_temperature_does_not_overflow(temperature):
    """exp(1 / 0.01) is infinite in fp32; loss and gradient are finite, at the best, the worst and a constant embedding."""
    assert torch.isinf(torch.exp(torch.tensor(1 / 0.01)))
    eye, constant = torch.eye(6).requires_grad_(), torch.eye(6)[:1].repeat(6, 1).requires_grad_()
    labels, codes = torch.tensor([1, 1, 1, 1, 0, 0]), torch.tensor([0, 0, 1, 2, 3, 4])
    config = dataclasses.replace(TrialConfig(), temperature=temperature)
    for identities in ((codes, codes), (None, None)):
        targets = targets_of(labels, *identities, dtype=torch.float32)
        for front, angle in ((eye, eye), (eye, -eye), (eye, eye.roll(1, 0)), (constant, constant)):
            found = batch_loss(front, angle, targets, config)
            assert torch.isfinite(found.total) and found.parts["contrastive_loss"] >= 0
            assert torch.isfinite(gradients(found.total, front)[0]).all()


def test_under_autocast_everything_is_still_fp32():
    """bf16 would round a cosine of 0.999 to 1.0; all losses are bit for bit those without autocast."""
    front = unit(16, dtype=torch.float32)[0].detach()
    angle = F.normalize(front + 0.01 * unit(16, seed=3, dtype=torch.float32)[1].detach(), dim=1)
    targets = targets_of(torch.arange(16) % 2, dtype=torch.float32)
    plain = batch_loss(front, angle, targets, TrialConfig()).parts
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (front @ angle.T).dtype == torch.bfloat16
        cast = batch_loss(front, angle, targets, TrialConfig()).parts
    assert all(torch.equal(value, cast[name]) and cast[name].dtype == torch.float32 for name, value in plain.items())
    assert 0 < float(cast["consistency_loss"]) < 0.001


def test_consistency_stays_in_0_to_2():
    """0 for equal views, never below by rounding; 2 for opposite ones; 0 without positives."""
    front, _ = unit(200, width=50, dtype=torch.float32)
    ones = torch.ones(200)

    def consistency(angle: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return info_nce(front, angle, labels, 0.07)[0].parts["consistency_loss"]

    assert 0 <= consistency(front, ones) < 1e-6
    assert 2 - 1e-6 < consistency(-front, ones) < 2 + 1e-6
    assert consistency(-front, 0 * ones) == 0


def test_only_the_sum_carries_a_gradient():
    """The parts are there to be reported."""
    front, angle = unit(4)
    loss = batch_loss(front, angle, targets_of([1, 0, 1, 1]), TrialConfig())
    assert loss.total.requires_grad and not any(value.requires_grad for value in loss.parts.values())


def test_shapes_that_would_broadcast_are_refused():
    """A (B, 1) label column, views of different size, or identities of another length: an error, not a wrong loss."""
    front, angle = unit(4)
    ones, codes = torch.ones(4).long(), torch.arange(4)
    for shapes in ((ones[:, None], codes, codes), (ones, codes[:3], codes), (ones, codes, codes[:, None])):
        with pytest.raises(ValueError, match="valid is one shape for all"):
            Targets.of(*shapes)
    for views in ((front, angle[:3]), (front[:3], angle[:3])):
        with pytest.raises(ValueError, match=r"valid is \(B, D\), \(B, D\) and \(B,\)"):
            batch_loss(*views, targets_of(ones), TrialConfig())


@settings(max_examples=40, deadline=None)
@given(batches(), st.sampled_from([0.05, 0.3]))
def test_label_smoothing_is_the_loop_reference(batch, smoothing):
    """In value and gradient: that share of each anchor's target is spread over its row."""
    views = (batch["front"], batch["angle"])
    found, _ = of_batch(batch, label_smoothing=smoothing, **CONTRASTIVE)
    contrastive, *_ = reference.info_nce(**batch, smoothing=smoothing)
    torch.testing.assert_close(found.parts["contrastive_loss"], contrastive.detach())
    torch.testing.assert_close(gradients(found.total, *views), gradients(contrastive, *views))


def test_label_smoothing_is_torch_s_where_all_pairs_match():
    """Cross-entropy of both directions, smoothed."""
    front, angle = unit(9)
    found, _ = of_batch(
        {"front": front, "angle": angle, "labels": torch.ones(9), "temperature": 0.2, "front_identity": None,
         "angle_identity": None}, label_smoothing=0.1, **CONTRASTIVE,
    )  # fmt: skip
    logits, own = front @ angle.T / 0.2, torch.arange(9)
    both = [F.cross_entropy(rows, own, label_smoothing=0.1) for rows in (logits, logits.T)]
    torch.testing.assert_close(found.parts["contrastive_loss"], (sum(both) / 2).detach())
