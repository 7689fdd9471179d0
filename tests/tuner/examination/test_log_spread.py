"""Collapse as embeddings show it: spread in either convention, cosines of strangers, uniformity, consistency of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.examination.logs import as_csv, falling, noise, said

AT = np.arange(30)
STUCK, LEARNS = 3.4657 + noise(30, 1e-3), falling(30, 3.4657, 1)


@pytest.mark.parametrize("even", [1.0, 128**-0.5, 2048**-0.5])
def test_a_spread_is_even_in_either_convention_and_lost_in_both(tmp_path, even):
    """1, or 1/sqrt(d): what holds is healthy, what falls to a hundredth of it is collapse."""
    assert not said(as_csv(tmp_path, epoch=AT, loss=LEARNS, feature_std=even * falling(30, 0.6, 0.9)))
    found = said(as_csv(tmp_path, epoch=AT, loss=STUCK, feature_std=even * np.exp(-AT / 6)))
    assert found["total-collapse"] == found["low-feature-std"] == "fail"


SICK = {
    "strangers": ("total-collapse", {"loss": STUCK, "neg_sim": 0.995 + noise(30, 1e-3)}),
    "drifting together": ("total-collapse", {"loss": STUCK, "mean_cosine": np.linspace(0.2, 0.995, 30)}),
    "everything": ("total-collapse", {"loss": STUCK, "similarity": np.ones(30)}),
    "uniformity": ("low-uniformity", {"loss": STUCK, "uniformity": -0.02 + noise(30, 1e-3)}),
    "consistency": ("consistency-without-spread", {"contrastive": -14 - AT / 100, "consistency": np.zeros(30)}),
    "dimensions lost": ("dimensional-collapse", {"loss": LEARNS, "rankme": falling(30, 60, 2.5), "embedding_dim": [128] * 30}),
    "one dimension": ("dimensional-collapse", {"loss": LEARNS, "effective_rank": np.full(30, 1.2)}),
    "no gradient": ("no-gradient", {"loss": STUCK, "grad_norm": np.zeros(30)}),
}
HEALTHY = {
    "a cone": {"loss": LEARNS, "mean_cosine": 0.8 + noise(30, 3e-3)},
    "positive pairs": {"loss": LEARNS, "similarity": falling(30, 0.7, 0.995)},
    "uniformity": {"loss": LEARNS, "uniformity": falling(30, -1.2, -3)},
    "consistency": {"loss": LEARNS, "consistency": falling(30, 0.01, 3e-4)},
    "a rank that falls to half": {"loss": LEARNS, "rankme": falling(30, 60, 30), "embedding_dim": [128] * 30},
    "margins and scales": {"loss": LEARNS, "cosine_margin": np.ones(30), "similarity_scale": np.ones(30), "rank": AT % 4},
    "a spread that shrinks while it learns": {"loss": LEARNS, "feat_std": falling(30, 0.9, 0.3)},
}


@pytest.mark.parametrize("name", SICK)
def test_collapse_is_named(tmp_path, name):
    """By any of its measures."""
    right, columns = SICK[name]
    assert right in said(as_csv(tmp_path, epoch=AT, **columns))


@pytest.mark.parametrize("name", HEALTHY)
def test_what_learns_is_left_alone(tmp_path, name):
    """Whatever a single measure looks like."""
    assert not said(as_csv(tmp_path, epoch=AT, **HEALTHY[name]))
