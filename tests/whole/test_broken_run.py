"""The broken run, re-enacted: each symptom follows from its broken formula, and the repaired code is free of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that torch's own documentation uses
from torch import Tensor, nn

from tests.tools import reference
from trainable.config import TrialConfig
from trainable.metrics import spread, thresholds, verification
from trainable.training.losses import BatchLoss, Targets, batch_loss

TEMPERATURE = 0.07


@dataclass
class Outcome:
    """A tiny training: losses step by step, and what the encoder does to pairs it has not seen."""

    contrastive: list[float]
    consistency: list[float]
    front: Tensor
    angle: Tensor
    labels: Tensor

    @property
    def scores(self) -> Tensor:
        return (self.front * self.angle).sum(dim=1)

    def mean_score(self, label: int) -> float:
        return float(self.scores[self.labels == label].mean())


def views(pairs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two noisy (n, 24) views of 16 hidden traits; every other pair shows two different things."""
    mixing = torch.randn(16, 24, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(pairs) % 2
    traits, strangers = torch.randn(2, pairs, 16, generator=generator)
    noise = 2 * torch.randn(2, pairs, 24, generator=generator)
    others = torch.where(labels[:, None] == 1, traits, strangers)
    return traits @ mixing + noise[0], others @ mixing + noise[1], labels


def repaired_loss(front: Tensor, angle: Tensor, labels: Tensor, **weights: float) -> BatchLoss:
    """The losses that training minimises, of pairs whose identities are not known."""
    unknown = torch.full(labels.shape, -1)
    targets = Targets.of(labels, unknown, unknown, dtype=front.dtype)
    return batch_loss(front, angle, targets, TrialConfig(temperature=TEMPERATURE, **weights))


def trained(broken: bool, steps: int = 250) -> Outcome:
    """The same encoder, data and optimiser, under the broken or the repaired losses."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 16))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)

    def embedded(*images: Tensor) -> list[Tensor]:
        return [F.normalize(encoder(image), dim=1) for image in images]

    contrastive, consistency = [], []
    for step in range(steps):
        *images, labels = views(32, seed=step)
        front, angle = embedded(*images)
        alignment = reference.consistency(front, angle, labels)
        if broken:
            first = reference.broken_contrastive(front, angle, TEMPERATURE)
            loss = first + 0.1 * alignment
        else:
            found = repaired_loss(front, angle, labels)
            loss, first = found.total, found.parts["contrastive_loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        contrastive.append(first.item())
        consistency.append(alignment.item())
    *images, labels = views(256, seed=12345)
    with torch.no_grad():
        return Outcome(contrastive, consistency, *embedded(*images), labels)


@pytest.fixture(scope="module")
def broken() -> Outcome:
    return trained(broken=True)


@pytest.fixture(scope="module")
def repaired() -> Outcome:
    return trained(broken=False)


def constant(pairs: int = 16) -> Tensor:
    """What a collapsed encoder gives: the same unit vector for every image."""
    return F.normalize(torch.ones(pairs, 8, dtype=torch.float64), dim=1)


def test_broken_contrastive_loss_is_minus_14_286_under_a_constant_encoder():
    """-log(exp(1 / 0.07) + 1e-8) = -1 / 0.07, where the last run had arrived; a loss below 0 is the alarm."""
    found = reference.broken_contrastive(constant(), constant(), TEMPERATURE)
    assert float(found) == pytest.approx(-14.286, abs=5e-4)
    assert float(found) == pytest.approx(-1 / TEMPERATURE, abs=1e-8)


def test_a_constant_encoder_is_the_broken_loss_s_global_minimum():
    """No embedding is below it, however well it tells things apart; it is linear in the score, without repulsion."""
    floor = reference.broken_contrastive(constant(), constant(), TEMPERATURE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        front, angle = F.normalize(torch.randn(2, 16, 8, generator=generator, dtype=torch.float64), dim=2)
        assert reference.broken_contrastive(front, angle, TEMPERATURE) > floor
    scores = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None].requires_grad_()
    ones = torch.ones_like(scores)
    (slope,) = torch.autograd.grad(reference.broken_contrastive(scores, ones, TEMPERATURE), scores)
    torch.testing.assert_close(slope, torch.full_like(slope, -1 / TEMPERATURE / 11), atol=1e-7, rtol=1e-7)


def test_the_repaired_loss_puts_a_constant_encoder_at_chance():
    """ln 16, far above what an embedding that separates has: collapse is no longer a minimum."""
    collapsed, perfect = (
        float(repaired_loss(views, views, torch.ones(16)).parts["contrastive_loss"])
        for views in (constant(), torch.eye(16, dtype=torch.float64))
    )
    assert collapsed == pytest.approx(2.7726, abs=1e-4)
    assert 0 <= perfect < 0.001


def test_consistency_0_and_similarity_1_say_constant_not_consistent():
    """Under a constant encoder both are perfect, for strangers too; the spread measures and the accuracy tell."""
    for views in (constant(), torch.eye(16, dtype=torch.float64)):  # a perfect encoder has it too
        found = repaired_loss(views, views, torch.ones(16)).parts["consistency_loss"]
        assert float(found) == pytest.approx(0, abs=1e-12)
    scores = (constant().float() * constant().float()).sum(dim=1).numpy()
    assert scores == pytest.approx(1.0, abs=1e-6)
    assert spread.feature_std(constant().numpy()) < 0.01
    assert reference.mean_off_diagonal_cosine(constant().numpy(), range(16)) > 0.99
    labels = torch.arange(16).numpy() < 8
    assert thresholds.best_threshold(scores, labels).accuracy == 0.5, "positives first does not help"
    assert verification.verify(scores, labels).auc == 0.5


@pytest.mark.parametrize("class_count", [10, 50])
def test_argmax_accuracy_is_0_to_012_even_for_a_perfect_encoder(class_count):
    """The index of the best match equals a class id by accident only; pair labels and a threshold give 1.0."""
    generator = torch.Generator().manual_seed(class_count)
    found = [
        reference.broken_accuracy(torch.eye(64), torch.eye(64), torch.randint(class_count, (64,), generator=generator))
        for _ in range(100)
    ]
    assert min(found) >= 0 and max(found) <= 0.12 and sum(found) / 100 < 0.03
    scores = torch.cat([torch.eye(64).diag(), torch.eye(64).roll(1, 0).diag()]).numpy()
    assert thresholds.best_threshold(scores, torch.arange(128).numpy() < 64).accuracy == 1.0


def test_training_with_the_broken_loss_collapses(broken):
    """The last run's log: loss from about -7 to -14.2, consistency to 0, every similarity 1.0, strangers included."""
    assert broken.contrastive[0] > -8
    assert -1 / TEMPERATURE <= broken.contrastive[-1] < -14.2
    assert broken.consistency[-1] < 0.005
    assert broken.mean_score(1) > 0.99 and broken.mean_score(0) > 0.99
    assert float((broken.front @ broken.angle.T).mean()) > 0.99
    assert spread.feature_std(broken.front.numpy()) < 0.2


def test_training_with_the_repaired_losses_is_healthy(repaired):
    """Contrastive positive and falling, consistency above 0 and falling, positives high, negatives low, accuracy up."""
    early, late = slice(0, 20), slice(-20, None)
    assert min(repaired.contrastive) >= 0
    assert sum(repaired.contrastive[late]) < 0.5 * sum(repaired.contrastive[early])
    assert 0 < sum(repaired.consistency[late]) < 0.8 * sum(repaired.consistency[early])
    assert repaired.mean_score(1) > 0.75 and repaired.mean_score(0) < 0.1
    assert spread.feature_std(repaired.front.numpy()) > 0.9
    pairs = torch.arange(256).numpy()
    labels = repaired.labels.numpy()
    strangers = pairs + 256 * (1 - labels)
    assert thresholds.cross_fitted(repaired.scores.numpy(), labels, pairs, strangers).accuracy > 0.9


def free_embeddings(diagonal: bool, negative_weight: float, steps: int = 120) -> tuple[float, float]:
    """Mean own-pair cosines (label 1, label 0) after optimising 32 free pairs, every other one of label 0."""
    start = torch.randn(2, 32, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.arange(32) % 2
    optimizer = torch.optim.Adam([start], lr=0.05)
    for _ in range(steps):
        front, angle = F.normalize(start, dim=2)
        targets = torch.ones(32) if diagonal else labels
        loss = repaired_loss(front, angle, targets, consistency_weight=0.0, negative_weight=negative_weight).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = F.cosine_similarity(*start.detach(), dim=1)
    return float(scores[labels == 1].mean()), float(scores[labels == 0].mean())


def test_diagonal_targets_pull_negative_pairs_together_and_the_mask_and_the_term_do_not():
    """Free embeddings, half the pairs label 0: negatives as close as positives, then free, then pushed apart."""
    positive, negative = free_embeddings(diagonal=True, negative_weight=0)
    assert positive > 0.9 and negative > 0.9
    masked_positive, masked_negative = free_embeddings(diagonal=False, negative_weight=0)
    assert masked_positive > 0.9 and abs(masked_negative) < 0.3
    positive, negative = free_embeddings(diagonal=False, negative_weight=1)
    assert positive > 0.9 and negative < 0.0 and negative < masked_negative
