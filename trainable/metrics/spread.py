"""How far embeddings are spread: what tells a consistent encoder from a collapsed one.

Everywhere: embeddings (N, D), L2-normalised; computed in float64, `feature_std` of float32 in float32. ValueError for
another shape, fewer than two rows, or values that are not finite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainable.data.pairs import PairData

_BLOCK_ROWS = 512


def feature_std(embeddings: np.ndarray) -> float:
    """mean_d std(z_d) · sqrt(D): 1 when the unit vectors are spread evenly, 0 when all are the same.

    The standard deviation is the population's, so 1 is never exceeded. Source: Chen and He 2021 (SimSiam).
    """
    given = np.asarray(embeddings)
    rows = _shaped(given, given.dtype if given.dtype == np.float32 else np.float64)
    of_each = np.full(len(rows), 1 / len(rows), dtype=rows.dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # told below
        variance = of_each @ np.square(rows - of_each @ rows)  # products of matrices: a third of the time of std()
    _check_finite(variance)
    return float(np.sqrt(variance).mean() * np.sqrt(rows.shape[1]))


def mean_off_diagonal_cosine(embeddings: np.ndarray, identities: np.ndarray | None = None) -> float:
    """Mean cosine of two embeddings of different identities: about 0 when healthy, 1 when collapsed.

    identities: (N,) codes of any kind, or None when every row is another identity. ValueError when there are not two.
    O(N·D): the sum over all pairs less those within an identity.
    """
    rows = _checked(embeddings)
    identities = np.arange(len(rows)) if identities is None else np.asarray(identities)
    _, codes, counts = np.unique(identities, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise ValueError("the mean cosine of different identities needs at least two of them; got one.")
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, codes, rows)
    total = np.square(sums.sum(axis=0)).sum() - np.square(sums).sum()
    return float(total / (len(rows) ** 2 - np.square(counts).sum()))


def uniformity(embeddings: np.ndarray) -> float:
    """log mean exp(-2 ‖x - x'‖²) over all pairs of different rows: about -4 + 8/D when even, 0 when collapsed.

    Source: Wang and Isola 2020, with t = 2.
    """
    rows = _checked(embeddings)
    squares = np.square(rows).sum(axis=1)
    total = -float(len(rows))  # a row's distance to itself is 0, and contributes exp(0) below
    for start in range(0, len(rows), _BLOCK_ROWS):  # in blocks: N² distances of a large split need not fit in memory
        block = slice(start, start + _BLOCK_ROWS)
        distances = squares[block, None] + squares - 2 * rows[block] @ rows.T
        total += np.exp(-2 * np.maximum(distances, 0)).sum()
    return float(np.log(total / (len(rows) * (len(rows) - 1))))


def rank_me(embeddings: np.ndarray, centred: bool = False) -> float:
    """exp(entropy of the normalised singular values), up to min(N, D): how many dimensions are in use.

    Raw it sees the cone into which all vectors fell; centred it sees lost dimensions, and is 0 when all rows are the
    same. Singular values within the input's rounding error count as 0. Source: Garrido 2023 (RankMe).
    """
    rows = _checked(embeddings)
    # Else the rounding errors of a centred constant would look like a matrix of full rank.
    noise = max(rows.shape) * np.finfo(np.asarray(embeddings).dtype).eps * np.linalg.norm(rows)
    values = np.linalg.svd(rows - rows.mean(axis=0) if centred else rows, compute_uv=False)
    values = values[values > noise]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _checked(embeddings: np.ndarray) -> np.ndarray:
    """The embeddings in float64."""
    rows = _shaped(embeddings)
    _check_finite(rows)
    return rows


def _shaped(embeddings: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    rows = np.asarray(embeddings, dtype=dtype)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"embeddings have shape {rows.shape}; valid is (N, D) with N at least 2.")
    return rows


def _check_finite(numbers: np.ndarray) -> None:
    if not np.isfinite(numbers).all():
        raise ValueError("embeddings hold NaN or infinite values; valid are finite numbers.")


ROWS = 32
"""Embeddings that the spread is measured on; enough for a rank up to 32, and a fifth of a millisecond of work."""


class Sample:
    """Which images of a validation are looked at: always the same ones, so that all that hangs on them is computed once.

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
        """That of these pairs (n,) of the data."""
        ends, identities = (data.front, data.angle), (data.front_identity, data.angle_identity)
        return cls(*(np.concatenate([side[rows] for side in both]) for both in (ends, identities)))


@torch.no_grad()
def of_embeddings(scores: np.ndarray, embeddings: Tensor, sample: Sample) -> dict[str, Any]:
    """The vital signs of validation.

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
    return order[same[1:] | same[:-1]]


def _spread(rows: Tensor, weights: np.ndarray) -> dict[str, Any]:
    """mean_cosine, uniformity and both ranks of (k, E) embeddings; weights: (k, k), of strangers, in sum 1."""
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
