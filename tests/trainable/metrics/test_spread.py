"""The spread measures against tests/tools/reference.py, and their healthy and collapsed levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.tools import reference
from trainable.metrics import spread


def even(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """(N, D) unit vectors in all directions alike."""
    drawn = np.random.default_rng(seed).normal(size=(rows, width))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def cone(rows: int, width: int, cosine: float) -> np.ndarray:
    """(N, D) unit vectors whose mean cosine with each other is about `cosine`."""
    axis = np.zeros(width)
    axis[0] = math.sqrt(cosine)
    around = even(rows, width - 1) * math.sqrt(1 - cosine)
    return axis + np.pad(around, ((0, 0), (1, 0)))


def embeddings(images: int, width: int, cone: float = 0.0) -> torch.Tensor:
    """(m, E) unit vectors, drawn towards one direction by `cone`."""
    drawn = torch.randn(images, width, generator=torch.Generator().manual_seed(0))
    drawn[:, 0] += cone
    return nn.functional.normalize(drawn, dim=1)


def measured(rows: torch.Tensor, per_identity: int = 4) -> dict[str, float]:
    """The measures of pairs (0, 1), (2, 3), …; so many images in a row show the same identity."""
    ends = np.arange(len(rows)).reshape(-1, 2).T.ravel()
    scores = (rows[ends[: len(ends) // 2]] * rows[ends[len(ends) // 2 :]]).sum(dim=1).clamp(-1, 1).numpy()
    return spread.of_embeddings(scores, rows, spread.Sample(ends, ends // per_identity))


def measures_of(rows: np.ndarray) -> dict[str, float]:
    """What an epoch reports of (N, D) embeddings of different things."""
    return measured(torch.from_numpy(rows), per_identity=1) | {"feature_std": spread.feature_std(rows)}


@pytest.mark.parametrize("rows", [even(40, 6), cone(30, 5, 0.9), even(4, 12)])
def test_the_standard_deviation_is_the_loop_reference(rows):
    """Evenly spread, in a cone, and with fewer rows than dimensions; in either precision."""
    assert spread.feature_std(rows) == pytest.approx(reference.feature_std(rows))
    assert spread.feature_std(rows.astype(np.float32)) == pytest.approx(reference.feature_std(rows), rel=1e-5)


@pytest.mark.parametrize("cone", [0.0, 5.0, 40.0])
@pytest.mark.parametrize(("images", "width"), [(spread.ROWS, 24), (30, 8), (24, 64)])
def test_the_spread_of_the_sample_is_that_of_the_loop_reference(images, width, cone):
    """Even and in a cone, with more rows than dimensions and fewer."""
    rows = embeddings(images, width, cone)
    found = measured(rows)
    exact = rows.numpy()
    assert found["mean_cosine"] == pytest.approx(
        reference.mean_off_diagonal_cosine(exact, np.arange(images) // 4), abs=1e-5
    )
    assert found["uniformity"] == pytest.approx(reference.uniformity(exact), abs=1e-4)
    assert found["rank_raw"] == pytest.approx(reference.rank_me(exact), rel=1e-3)
    assert found["rank_centred"] == pytest.approx(reference.rank_me(exact, centred=True), rel=1e-3)
    assert found["rank_limit"] == min(images, width)


def test_a_constant_embedding_is_collapsed_and_not_rounded_away():
    """All rows the same: cosine 1, uniformity 0, rank 1, and 0 when centred; every score is 1 in any precision."""
    found = measured(embeddings(1, 16).repeat(60, 1))
    assert found["mean_cosine"] == pytest.approx(1, abs=1e-5) and found["uniformity"] == pytest.approx(0, abs=1e-5)
    assert found["rank_raw"] == pytest.approx(1, abs=1e-3) and found["rank_centred"] == 0
    assert found["scores_tied_exact"] == 1


def test_a_large_set_is_sampled_always_in_the_same_way():
    """The measures of hundreds of images are near those of all, the same every time, and no global state is drawn."""
    rows = embeddings(600, 16, cone=2.0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = measured(rows)
    assert found == measured(rows)
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])
    exact = reference.mean_off_diagonal_cosine(rows.numpy(), np.arange(600) // 4)
    assert found["mean_cosine"] == pytest.approx(exact, abs=0.05)
    assert found["uniformity"] == pytest.approx(reference.uniformity(rows.numpy()), abs=0.1)


def test_scores_that_half_precision_rounds_to_one_are_told_from_true_ones():
    """In bf16 a cosine of 0.999 is 1; computed anew it is not, and few others are the same to five digits."""
    rows = embeddings(40, 16, cone=100.0)
    ends = np.arange(40).reshape(-1, 2).T.ravel()
    front, angle = rows[ends[:20]], rows[ends[20:]]
    rounded = (front * angle).sum(dim=1).bfloat16().float().clamp(-1, 1).numpy()
    found = spread.of_embeddings(rounded, rows, spread.Sample(ends, ends // 2))
    assert found["scores_tied"] > 0.9 and found["scores_tied_exact"] < 0.2
    assert (found["score_low"], found["score_high"]) == (rounded.min(), rounded.max())


def test_levels_of_a_healthy_embedding():
    """Evenly spread in 128 dimensions: std 1, cosine 0, uniformity -3.94, rank near the most that a sample can have."""
    found = measures_of(even(1200, 128))
    assert found["feature_std"] == pytest.approx(1, abs=0.01)
    assert found["mean_cosine"] == pytest.approx(0, abs=0.01)
    assert found["uniformity"] == pytest.approx(-3.94, abs=0.01)
    assert found["rank_raw"] > 0.95 * found["rank_limit"] and found["rank_centred"] > 0.9 * found["rank_limit"]


def test_levels_of_a_nearly_collapsed_embedding():
    """Mean cosine 0.99: uniformity -0.04, std 0.1; raw rank sees the cone, centred rank still sees all dimensions."""
    found = measures_of(cone(600, 128, 0.99))
    assert found["mean_cosine"] == pytest.approx(0.99, abs=0.001)
    assert found["uniformity"] == pytest.approx(-0.04, abs=0.001)
    assert found["feature_std"] == pytest.approx(0.1, abs=0.01)
    assert found["rank_raw"] < 0.5 * found["rank_centred"]


def test_levels_of_a_constant_embedding():
    """All rows the same, in fp32: nothing is NaN, and rounding errors do not pass for dimensions."""
    found = measures_of(np.repeat(even(1, 128), 50, axis=0).astype(np.float32))
    assert found["feature_std"] == pytest.approx(0, abs=1e-6)
    assert found["mean_cosine"] == pytest.approx(1, abs=1e-6)
    assert found["uniformity"] == pytest.approx(0, abs=1e-6)
    assert found["rank_raw"] == pytest.approx(1, abs=1e-3)
    assert found["rank_centred"] == 0


def test_lost_dimensions_are_seen():
    """Embeddings that live in 4 of 64 dimensions have rank 4 at most."""
    found = measures_of(np.pad(even(300, 4), ((0, 0), (0, 60))))
    assert 3.3 < found["rank_raw"] <= 4 and 3.3 < found["rank_centred"] <= 4


def test_bad_input_is_refused():
    """One row, a wrong shape, or NaN."""
    for bad in (even(1, 4), even(3, 4)[0], np.array([[1.0, np.nan], [0.0, 1.0]])):
        with pytest.raises(ValueError, match="valid"):
            spread.feature_std(bad)
