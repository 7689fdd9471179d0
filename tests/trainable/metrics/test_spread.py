"""The spread measures against tests/reference.py, and their healthy and collapsed levels."""

from __future__ import annotations

import math

import numpy as np
import pytest

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


@pytest.mark.parametrize("rows", [even(40, 6), cone(30, 5, 0.9), even(4, 12)])
def test_every_measure_is_the_loop_reference(rows):
    """Evenly spread, in a cone, and with fewer rows than dimensions."""
    identities = np.arange(len(rows)) // 3
    assert spread.feature_std(rows) == pytest.approx(reference.feature_std(rows))
    assert spread.uniformity(rows) == pytest.approx(reference.uniformity(rows))
    assert spread.mean_off_diagonal_cosine(rows, identities) == pytest.approx(
        reference.mean_off_diagonal_cosine(rows, identities)
    )
    assert spread.mean_off_diagonal_cosine(rows) == pytest.approx(
        reference.mean_off_diagonal_cosine(rows, range(len(rows)))
    )
    for centred in (False, True):
        assert spread.rank_me(rows, centred) == pytest.approx(reference.rank_me(rows, centred), rel=1e-5)


def test_levels_of_a_healthy_embedding():
    """Evenly spread in 128 dimensions: std 1, cosine 0, uniformity -3.94, rank near 128."""
    rows = even(1200, 128)
    assert spread.feature_std(rows) == pytest.approx(1, abs=0.01)
    assert spread.mean_off_diagonal_cosine(rows) == pytest.approx(0, abs=0.01)
    assert spread.uniformity(rows) == pytest.approx(-3.94, abs=0.01)
    assert spread.rank_me(rows) > 120 and spread.rank_me(rows, centred=True) > 120


def test_levels_of_a_nearly_collapsed_embedding():
    """Mean cosine 0.99: uniformity -0.04, std 0.1; raw rank sees the cone, centred rank still sees all dimensions."""
    rows = cone(600, 128, 0.99)
    assert spread.mean_off_diagonal_cosine(rows) == pytest.approx(0.99, abs=0.001)
    assert spread.uniformity(rows) == pytest.approx(-0.04, abs=0.001)
    assert spread.feature_std(rows) == pytest.approx(0.1, abs=0.01)
    assert spread.rank_me(rows) < 0.5 * spread.rank_me(rows, centred=True)


def test_levels_of_a_constant_embedding():
    """All rows the same, in fp32: nothing is NaN, and rounding errors do not pass for dimensions."""
    rows = np.repeat(even(1, 128), 50, axis=0).astype(np.float32)
    assert spread.feature_std(rows) == pytest.approx(0, abs=1e-6)
    assert spread.mean_off_diagonal_cosine(rows) == pytest.approx(1, abs=1e-6)
    assert spread.uniformity(rows) == pytest.approx(0, abs=1e-6)
    assert spread.rank_me(rows) == pytest.approx(1, abs=1e-3)
    assert spread.rank_me(rows, centred=True) == 0


def test_lost_dimensions_are_seen():
    """Embeddings that live in 4 of 64 dimensions have rank 4 at most."""
    rows = np.pad(even(300, 4), ((0, 0), (0, 60)))
    assert 3.5 < spread.rank_me(rows) <= 4 and 3.5 < spread.rank_me(rows, centred=True) <= 4


def test_bad_input_is_refused():
    """One row, a wrong shape, NaN, or a single identity."""
    for bad in (even(1, 4), even(3, 4)[0], np.array([[1.0, np.nan], [0.0, 1.0]])):
        with pytest.raises(ValueError, match="valid"):
            spread.feature_std(bad)
    with pytest.raises(ValueError, match="at least two"):
        spread.mean_off_diagonal_cosine(even(3, 4), np.zeros(3))
