"""Retrieval as re-identification reports it: does the front of a thing find its angle views among those of all others?

Query: each front image of a split; gallery: its angle images. A match has the same identity; an image is never its own
match, nor anything else to itself. A front without a match in the gallery is no query. The loop form is in
tests/tools/reference.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainable.data.pairs import PairData

RANKS = (1, 5, 10)
"""Recall is reported among so many nearest; None in a gallery that has no more images than that."""
CURVE = 20
"""The CMC curve is kept up to this rank."""
TIED = 1e-6
"""Cosines that are no further apart are tied: products of matrices round equal vectors differently from place to place."""
MOST_WORK = 5_000_000
"""Comparisons an epoch, a few hundredths of a second; beyond that queries are sampled, always the same ones, and the gallery
stays whole: 2,000 queries of 2,500 images with a match each are not yet sampled."""


class Gallery:
    """The queries and the gallery of some pairs, and which of them match: the same in every epoch, so found once.

    images: (m,) the distinct images that embeddings are given of, ascending; front, angle: (n,) image of each pair's view;
    identities: (n,) of the fronts and (n,) of the angles, codes of any kind.
    """

    def __init__(
        self, images: np.ndarray, front: np.ndarray, angle: np.ndarray, identities: tuple[np.ndarray, np.ndarray]
    ) -> None:
        queries, first = np.unique(front, return_index=True)
        query_identity = np.asarray(identities[0])[first]
        gallery, first = np.unique(angle, return_index=True)
        gallery_identity = np.asarray(identities[1])[first]
        matches = _matches(queries, query_identity, gallery, gallery_identity)
        able = np.flatnonzero(matches > 0)
        self.without_match = len(queries) - len(able)
        """Fronts of which the gallery has no match."""
        self.queries = len(able)
        """Fronts that have one, whether sampled or not."""
        work = int(matches.max(initial=1)) * len(gallery)
        if len(able) * work > MOST_WORK:
            able = np.sort(np.random.default_rng(0).permutation(able)[: max(1, MOST_WORK // work)])
        self.size = len(gallery)
        """Images of the gallery."""
        self._query_rows, self._gallery_rows = np.searchsorted(images, queries[able]), np.searchsorted(images, gallery)
        itself = queries[able][:, None] == gallery
        match = (query_identity[able][:, None] == gallery_identity) & ~itself
        query, near = np.nonzero(match)
        self._left_out = np.nonzero(match | itself)
        self._matches = matches[able]
        self._cells = np.zeros((len(able), int(self._matches.max(initial=0))), dtype=np.int64)
        self._has = np.arange(self._cells.shape[1]) < self._matches[:, None]
        self._cells[self._has] = query * len(gallery) + near

    @classmethod
    def of(cls, data: PairData, rows: np.ndarray) -> Gallery:
        """Those of these pairs, (n,) rows of the data."""
        front, angle = data.front[rows], data.angle[rows]
        identities = data.front_identity[rows], data.angle_identity[rows]
        return cls(np.unique(np.concatenate([front, angle])), front, angle, identities)

    def ranks(self, embeddings: np.ndarray) -> np.ndarray:
        """(q, most matches) rank of each query's matches, the nearest first, counted from 1; inf beyond the last.

        embeddings: (m, E) of the distinct images in order, L2-normalised and finite. Whatever is tied with a match comes
        before it: a constant encoder finds nothing.
        """
        scores = embeddings[self._query_rows] @ embeddings[self._gallery_rows].T
        nearest = -np.sort(-np.where(self._has, scores.take(self._cells), -np.inf), axis=1)
        scores[self._left_out] = -np.inf
        ranks = np.full(nearest.shape, np.inf)
        for place, has in enumerate(self._has.T):
            before = np.count_nonzero(scores >= nearest[:, place, None] - np.float32(TIED), axis=1)
            ranks[has, place] = before[has] + place + 1
        return ranks

    def measures(self, embeddings: np.ndarray) -> dict[str, Any]:
        """Recall, mAP and the CMC curve, by the names of `trainable.measures`; None without a query.

        >>> front, angle = np.array([0, 1]), np.array([2, 3])
        >>> gallery = Gallery(np.arange(4), front, angle, (np.array([7, 8]), np.array([7, 8])))
        >>> found = gallery.measures(np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]]))
        >>> found["val_recall_at_1"], found["val_map"], found["val_recall_at_5"]
        (1.0, 1.0, None)
        """
        if not self.queries:
            return {f"val_recall_at_{k}": None for k in RANKS} | {"val_map": None, "val_cmc": [], "val_queries": 0}
        ranks = self.ranks(embeddings)
        curve = cmc(ranks, min(CURVE, self.size))
        recalls = {f"val_recall_at_{k}": float(curve[k - 1]) if self.size > k else None for k in RANKS}
        return recalls | {
            "val_map": mean_average_precision(ranks),
            "val_cmc": curve.tolist(),
            "val_queries": len(ranks),
        }


def cmc(ranks: np.ndarray, most: int) -> np.ndarray:
    """(most,) share of the queries that have a match among the k nearest, k from 1.

    >>> cmc(np.array([[1.0, 3.0], [3.0, np.inf]]), 4).tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    first = ranks[:, 0]
    share: np.ndarray = (first[:, None] <= np.arange(1, most + 1)).mean(axis=0)
    return share


def mean_average_precision(ranks: np.ndarray) -> float:
    """Mean over queries of the mean precision at their matches: the i-th match at rank r has precision i / r.

    >>> round(mean_average_precision(np.array([[1.0, 3.0], [2.0, np.inf]])), 4)
    0.6667
    """
    precision = np.arange(1, ranks.shape[1] + 1) / ranks
    return float((precision.sum(axis=1) / np.isfinite(ranks).sum(axis=1)).mean())


def _matches(
    queries: np.ndarray, query_identity: np.ndarray, gallery: np.ndarray, gallery_identity: np.ndarray
) -> np.ndarray:
    """(q,) how many images of the gallery match each query, itself left out."""
    names, counts = np.unique(gallery_identity, return_counts=True)
    at = np.searchsorted(names, query_identity).clip(max=len(names) - 1)
    found = np.where(names[at] == query_identity, counts[at], 0)
    place = np.searchsorted(gallery, queries).clip(max=len(gallery) - 1)
    itself = (gallery[place] == queries) & (gallery_identity[place] == query_identity)
    matches: np.ndarray = found - itself
    return matches
