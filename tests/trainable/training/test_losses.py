"""The losses, in value and in gradient, against tests/reference.py; and the numerical traps of objective.md."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that torch's own documentation uses
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import reference
from trainable.errors import InputError
from trainable.training import losses


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
        "identity_positives": draw(st.booleans()),
    }


def gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, leaves))


@settings(max_examples=50, deadline=None)
@given(batches())
def test_info_nce_is_the_loop_reference(batch):
    """Loss, gradient, anchors and chance are those of the loops, whatever the labels and identities."""
    found = losses.info_nce(**batch)
    loss, anchors, chance = reference.info_nce(**batch)
    torch.testing.assert_close(found.loss, loss)
    assert int(found.anchors) == anchors
    assert float(found.chance) == pytest.approx(chance)
    leaves = batch["front"], batch["angle"]
    torch.testing.assert_close(gradients(found.loss, *leaves), gradients(loss, *leaves))


@settings(max_examples=80, deadline=None)
@given(batches())
def test_info_nce_is_never_negative_nor_nan(batch):
    """In fp32 too the loss is at least 0, and loss and gradients are finite, with or without anchors."""
    leaves = [batch[name].detach().float().requires_grad_() for name in ("front", "angle")]
    found = losses.info_nce(*leaves, *list(batch.values())[2:])
    assert found.loss >= 0
    assert all(torch.isfinite(value) for value in found)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(found.loss, *leaves))


@settings(max_examples=40, deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_info_nce_does_not_depend_on_the_order_of_the_pairs(batch, random):
    """A shuffled batch has the same loss and the same companions."""
    order = list(range(len(batch["labels"])))
    random.shuffle(order)
    shuffled = {k: v[order] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    torch.testing.assert_close(losses.info_nce(**batch), losses.info_nce(**shuffled))


def test_info_nce_equals_two_way_cross_entropy_when_all_pairs_match():
    """With all labels 1 and distinct identities it is cross_entropy(S / tau, arange(B)) in both directions."""
    front, angle = unit(12)
    logits, target = front @ angle.T / 0.07, torch.arange(12)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    slope = gradients(expected, front)
    for codes in (None, torch.arange(12)):
        found = losses.info_nce(front, angle, torch.ones(12), 0.07, codes, codes)
        torch.testing.assert_close(found.loss, expected)
        torch.testing.assert_close(gradients(found.loss, front), slope)
        assert int(found.anchors) == 24


@pytest.mark.parametrize("identity_positives", [True, False])
def test_info_nce_passes_gradcheck(identity_positives):
    """The gradient agrees with finite differences, duplicates and a label 0 included."""
    front, angle = unit(5, width=3)
    labels, codes = torch.tensor([1, 0, 1, 1, 0]), torch.tensor([0, 1, 0, 2, 3])
    others = torch.tensor([0, 2, 0, 2, 1])
    assert torch.autograd.gradcheck(
        lambda f, a: losses.info_nce(f, a, labels, 0.2, codes, others, identity_positives).loss, (front, angle)
    )


def test_chance_is_ln_b_and_a_constant_encoder_sits_exactly_there():
    """All scores equal: the loss is its chance, ln B with all labels 1; entropy too; and no anchor is a top-1 hit."""
    constant = F.normalize(torch.ones(32, 8), dim=1)
    found = losses.info_nce(constant, constant, torch.ones(32), 0.07)
    assert float(found.loss) == pytest.approx(math.log(32), abs=1e-5)
    assert float(found.chance) == pytest.approx(math.log(32), abs=1e-5)
    assert float(found.entropy) == pytest.approx(math.log(32), abs=1e-5)
    assert found.top1_accuracy == 0
    labels, codes = torch.arange(32) % 2, torch.arange(32) // 4
    masked = losses.info_nce(constant, constant, labels, 0.07, codes, codes.flip(0), identity_positives=False)
    assert float(masked.loss) == pytest.approx(float(masked.chance), abs=1e-5)
    assert masked.chance < math.log(32), "what is left out of the denominator is not counted in chance"


def test_in_batch_accuracy_and_entropy_describe_the_softmax():
    """A perfect embedding hits every anchor with little entropy; a higher temperature has more of it."""
    identity = torch.eye(8)
    sharp, soft = (losses.info_nce(identity, identity, torch.ones(8), tau) for tau in (0.07, 1.0))
    assert sharp.top1_accuracy == soft.top1_accuracy == 1
    assert sharp.entropy < 0.01 < 1 < soft.entropy < math.log(8)
    shifted = losses.info_nce(identity, identity.roll(1, 0), torch.ones(8), 0.07)
    assert shifted.top1_accuracy == 0


def test_own_pair_with_label_0_is_pushed_apart():
    """Where the pair is an anchor through its identity, its own cell is a negative and its gradient pushes."""
    front, angle = unit(3)
    codes, others = torch.tensor([0, 1, 2]), torch.tensor([5, 0, 2])
    found = losses.info_nce(front, angle, torch.tensor([0, 0, 1]), 0.5, codes, others)
    assert int(found.anchors) == 4, "front 0 with angle 1, and pair 2, from both sides"
    scores = (front @ angle.T).detach().requires_grad_()
    eye = torch.eye(3, dtype=torch.float64)
    (slope,) = gradients(losses.info_nce(scores, eye, torch.tensor([0, 0, 1]), 0.5, codes, others).loss, scores)
    assert slope[0, 0] > 0 > slope[0, 1], "descent lowers the own cell and raises the identity's"


def test_labelled_negative_that_anchors_nothing_needs_the_negative_pair_term():
    """Its own cell gets exactly zero gradient from masked InfoNCE, and some from the negative-pair term."""
    labels, eye = torch.tensor([1, 1, 0]), torch.eye(3, dtype=torch.float64)
    scores = torch.full((3, 3), 0.5, dtype=torch.float64, requires_grad=True)
    (slope,) = gradients(losses.info_nce(scores, eye, labels, 0.07).loss, scores)
    assert slope[2, 2] == 0
    (slope,) = gradients(losses.negative_pair_term(scores, eye, labels), scores)
    assert slope[2, 2] == 1.0 and slope[0, 0] == 0


def test_known_duplicate_is_left_out_when_it_is_no_positive():
    """With identity_positives False a same-identity cell has no influence; without identities it repels."""
    eye = torch.eye(3, dtype=torch.float64)
    scores = torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    codes = torch.tensor([0, 0, 1])
    left_out = losses.info_nce(scores, eye, torch.ones(3), 0.5, codes, codes, identity_positives=False)
    (slope,) = gradients(left_out.loss, scores)
    assert slope[0, 1] == slope[1, 0] == 0 and slope[0, 2] > 0
    (slope,) = gradients(losses.info_nce(scores, eye, torch.ones(3), 0.5).loss, scores)
    assert slope[0, 1] > 0


def test_without_an_anchor_the_loss_is_a_zero_that_can_be_trained_on():
    """All labels 0: loss 0, anchors 0, zero gradients, and nothing is NaN (SupContrast issues 50 and 141)."""
    front, angle = unit(4, dtype=torch.float32)
    found = losses.info_nce(front, angle, torch.zeros(4), 0.07)
    assert found.loss == 0 and found.anchors == 0 and found.loss.requires_grad
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients(found.loss, front, angle))


def test_an_anchor_without_a_positive_is_skipped_where_supcontrast_is_nan():
    """SupConLoss divides 0 by 0 for such an anchor; here the other anchors alone are averaged."""
    front, angle = unit(4, dtype=torch.float32)
    labels = torch.tensor([1, 1, 1, 0])
    log_softmax = (front @ angle.T / 0.07).log_softmax(dim=1)
    mask = torch.diag(labels.float())
    assert torch.isnan(-((mask * log_softmax).sum(1) / mask.sum(1)).mean()), "the formula that gives NaN"
    found = losses.info_nce(front, angle, labels, 0.07)
    assert torch.isfinite(found.loss) and found.anchors == 6


@pytest.mark.parametrize("temperature", [0.01, 0.001])
def test_a_low_temperature_does_not_overflow(temperature):
    """exp(1 / 0.01) is infinite in fp32; the loss and its gradient are finite, at the best and the worst embedding."""
    assert torch.isinf(torch.exp(torch.tensor(1 / 0.01)))
    eye = torch.eye(6).requires_grad_()
    labels, codes = torch.tensor([1, 1, 1, 1, 0, 0]), torch.tensor([0, 0, 1, 2, 3, 4])
    for angle in (torch.eye(6), -torch.eye(6), torch.eye(6).roll(1, 0)):
        for positives in (True, False):
            found = losses.info_nce(eye, angle, labels, temperature, codes, codes, positives)
            assert torch.isfinite(found.loss) and found.loss >= 0
            assert torch.isfinite(gradients(found.loss, eye)[0]).all()


@pytest.mark.parametrize("temperature", [0, 0.0, -0.07, math.nan, math.inf])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    """The message names the value and what is valid."""
    with pytest.raises(InputError, match=r"temperature is .*valid is a finite number above 0"):
        losses.info_nce(*unit(3), torch.ones(3), temperature)


def test_under_autocast_everything_is_still_fp32():
    """bf16 would round a cosine of 0.999 to 1.0; the three losses are bit for bit those without autocast."""
    front = unit(16, dtype=torch.float32)[0].detach()
    angle = F.normalize(front + 0.01 * unit(16, seed=3, dtype=torch.float32)[1].detach(), dim=1)
    labels = torch.arange(16) % 2

    def all_three() -> list[torch.Tensor]:
        found = losses.info_nce(front, angle, labels, 0.07)
        return [found.loss, losses.negative_pair_term(front, angle, labels), losses.consistency(front, angle, labels)]

    plain = all_three()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (front @ angle.T).dtype == torch.bfloat16
        cast = all_three()
    assert all(torch.equal(a, b) and b.dtype == torch.float32 for a, b in zip(plain, cast, strict=True))
    assert 0 < float(cast[2]) < 0.001
    half = losses.consistency(front.bfloat16(), angle.bfloat16(), labels)
    assert half.dtype == torch.float32, "half-precision embeddings are widened before the product"


@settings(max_examples=40, deadline=None)
@given(batches(), st.sampled_from([-0.5, 0.0, 0.3]))
def test_negative_pair_term_and_consistency_are_the_loop_reference(batch, margin):
    """Values and gradients, for batches with and without pairs of the label that each averages over."""
    front, angle, labels = batch["front"], batch["angle"], batch["labels"]
    views = front, angle
    for found, expected in (
        (losses.negative_pair_term(*views, labels, margin), reference.negative_pair_term(*views, labels, margin)),
        (losses.consistency(*views, labels), reference.consistency(*views, labels)),
    ):
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradients(found, front, angle), gradients(expected, front, angle))


def test_consistency_stays_in_0_to_2():
    """0 for equal views, never below by rounding; 2 for opposite ones; a connected zero without positives."""
    front, _ = unit(200, width=50, dtype=torch.float32)
    ones = torch.ones(200)
    assert 0 <= losses.consistency(front, front, ones) < 1e-6
    assert 2 - 1e-6 < losses.consistency(front, -front, ones) <= 2
    assert losses.consistency(front, front, 0 * ones).requires_grad


def test_shapes_that_would_broadcast_are_refused():
    """A (B, 1) label column, views of different size, or one identity column alone is an error, not a wrong loss."""
    front, angle = unit(4)
    for loss in (losses.negative_pair_term, losses.consistency, lambda *views: losses.info_nce(*views, 0.07)):
        with pytest.raises(ValueError, match=r"valid is \(B, D\), \(B, D\) and \(B,\)"):
            loss(front, angle, torch.ones(4, 1))
    with pytest.raises(ValueError, match="do not fit"):
        losses.consistency(front, angle[:3], torch.ones(4))
    with pytest.raises(ValueError, match="both or neither"):
        losses.info_nce(front, angle, torch.ones(4), 0.07, torch.arange(4))
    with pytest.raises(ValueError, match="identities have shapes"):
        losses.info_nce(front, angle, torch.ones(4), 0.07, torch.arange(3), torch.arange(4))
