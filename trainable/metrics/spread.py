"""How far embeddings are spread: what tells a consistent encoder from a collapsed one.

Embeddings are (N, D), L2-normalised. The loop forms of all measures are in tests/tools/reference.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainable.data.pairs import PairData

ROWS = 32
"""Embeddings that the spread is measured on; enough for a rank up to 32, and a fifth of a millisecond of work."""


def feature_std(embeddings: np.ndarray) -> float:
    """mean_d std(z_d) · sqrt(D): 1 when the unit vectors are spread evenly, 0 when all are the same.

    embeddings: (N, D), N at least 2; float32 is computed in float32, all else in float64. The standard deviation is the
    population's, so 1 is never exceeded. ValueError for another shape or values that are not finite. Source: Chen and He
    2021 (SimSiam).

    >>> round(feature_std(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    1.0
    """
    given = np.asarray(embeddings)
    rows = given.astype(given.dtype if given.dtype == np.float32 else np.float64, copy=False)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"embeddings have shape {rows.shape}; valid is (N, D) with N at least 2.")
    of_each = np.full(len(rows), 1 / len(rows), dtype=rows.dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # refused below
        variance = of_each @ np.square(rows - of_each @ rows)  # products of matrices: a third of the time of std()
    if not np.isfinite(variance).all():
        raise ValueError("embeddings hold NaN or infinite values; valid are finite numbers.")
    return float(np.sqrt(variance).mean() * np.sqrt(rows.shape[1]))


class Sample:
    """The validation images that the spread is measured on: always the same, so what depends on them is computed once.

    ends: (2n,) image numbers of the fronts, then the angles; identities: (2n,).
    """

    def __init__(self, ends: np.ndarray, identities: np.ndarray) -> None:
        _, first, place = np.unique(ends, return_index=True, return_inverse=True)
        self.front, self.angle = torch.from_numpy(place).chunk(2)
        chosen = np.sort(np.random.default_rng(0).permutation(len(first))[:ROWS])
        codes = identities[first][chosen]
        self.rows = torch.from_numpy(chosen)
        strangers = codes[:, None] != codes
        self.weights = strangers / max(1, strangers.sum())

    @classmethod
    def of(cls, data: PairData, rows: np.ndarray) -> Sample:
        """The sample of these pairs, (n,) rows of the data."""
        ends, identities = (data.front, data.angle), (data.front_identity, data.angle_identity)
        return cls(*(np.concatenate([side[rows] for side in both]) for both in (ends, identities)))


@torch.no_grad()
def of_embeddings(scores: np.ndarray, embeddings: Tensor, sample: Sample) -> dict[str, Any]:
    """Spread of the embeddings and range of the scores, as `trainable.measures.Spread` declares them.

    scores: (n,) as they are reported; embeddings: (m, E) of the distinct images in order, L2-normalised.
    """
    tied = _tied(scores)
    exact = tied
    if len(tied):  # few or none: only these are computed anew
        ends = (embeddings[side[tied].to(embeddings.device)].double() for side in (sample.front, sample.angle))
        front, angle = (nn.functional.normalize(rows, dim=1) for rows in ends)
        exact = _tied((front * angle).sum(dim=1).cpu().numpy().round(5))
    return _spread(embeddings[sample.rows.to(embeddings.device)].cpu(), sample.weights) | {
        "score_low": float(scores.min()),
        "score_high": float(scores.max()),
        "scores_tied": len(tied) / len(scores),
        "scores_tied_exact": len(exact) / len(scores),
    }


def _tied(scores: np.ndarray) -> np.ndarray:
    """The numbers of the scores (n,) that another one equals exactly."""
    order = np.argsort(scores)
    values = scores[order]
    same = np.concatenate([[False], values[1:] == values[:-1], [False]])
    tied: np.ndarray = order[same[1:] | same[:-1]]
    return tied


def _spread(rows: Tensor, weights: np.ndarray) -> dict[str, Any]:
    """The measures that `trainable.measures.Spread` declares, of (k, E) embeddings.

    weights: (k, k), of couples of different identities, in sum 1.
    Sources: Wang and Isola 2020 (uniformity, with t = 2), Garrido 2023 (RankMe).
    """
    wide, count = rows.double(), len(rows)
    products = wide @ wide.T  # its eigenvalues are the squares of the singular values
    cosines = products.numpy()
    means = cosines.mean(axis=0)
    about_mean = cosines - means - means[:, None] + means.mean()
    squares = torch.linalg.eigvalsh(torch.stack([products, torch.from_numpy(about_mean)])).numpy()
    raw, centred = np.sqrt(np.maximum(squares, 0))
    noise = max(rows.shape) * torch.finfo(torch.float32).eps * count**0.5
    near = np.exp(4 * (np.minimum(cosines, 1) - 1))  # a row's nearness to itself is 1
    return {
        "mean_cosine": float(np.vdot(cosines, weights)),
        "uniformity": math.log((float(near.sum()) - count) / (count * (count - 1))),
        "rank_raw": _rank(raw, noise),
        "rank_centred": _rank(centred, noise),
        "rank_limit": min(rows.shape),
    }


def _rank(values: np.ndarray, noise: float) -> float:
    """RankMe of these singular values; those within `noise` of 0 do not count."""
    values = values[values > noise]
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(values) else 0.0
