"""Identities over splits: who is connected to whom, and how identities are dealt so that no two splits share one."""

from __future__ import annotations

from typing import Any

import numpy as np

SPLITS = ("train", "val", "test")
_ATTEMPTS = 16  # seeds tried for a small table; a large one comes out balanced at the first
_GOOD_SHARE = 0.5  # of its due: a split with at least so much of both classes needs no further attempt


def connected(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """(count,) group of each of `count` nodes, when `first[i]` and `second[i]` ((n,) node numbers) are joined."""
    from scipy.sparse.csgraph import connected_components

    groups: np.ndarray = connected_components(_graph(first, second, count), directed=False)[1].astype(np.int64)
    return groups


def _graph(first: np.ndarray, second: np.ndarray, count: int) -> Any:
    """The (count, count) sparse matrix of the edges; scipy has no types."""
    from scipy.sparse import coo_matrix

    ones = np.ones(len(first), dtype=np.int8)
    return coo_matrix((ones, (first, second)), shape=(count, count)).tocsr()


def deal(weights: np.ndarray, fractions: tuple[float, ...], rng: np.random.Generator, at_least: int = 1) -> np.ndarray:
    """(u,) split code of each unit, so that every split gets its fraction of each column of `weights`, (u, classes).

    Heaviest unit first, in random order among equals, each to the split that lacks most of it (Sechidis et al. 2011).
    Every split gets at least `at_least` units where there are enough.
    """
    share = weights / np.maximum(weights.sum(axis=0), 1)
    shuffled = rng.permutation(len(share))
    order = shuffled[np.argsort(-share[shuffled].sum(axis=1), kind="stable")]
    lacking = [[fraction] * share.shape[1] for fraction in fractions]
    owed = [at_least] * len(fractions)
    rows, codes, left = share.tolist(), np.empty(len(share), dtype=np.int8), len(share)
    for unit in order.tolist():
        row = rows[unit]
        open_to = [s for s in range(len(fractions)) if owed[s] > 0] if sum(owed) >= left else range(len(fractions))
        choice = max(open_to, key=lambda s: sum(w * d for w, d in zip(row, lacking[s], strict=True)))
        lacking[choice] = [d - w for d, w in zip(lacking[choice], row, strict=True)]
        owed[choice] = max(0, owed[choice] - 1)
        codes[unit] = choice
        left -= 1
    return codes


def make_splits(
    front_identity: np.ndarray,
    angle_identity: np.ndarray,
    pair_label: np.ndarray,
    seed: int,
    fractions: tuple[float, ...],
) -> np.ndarray | None:
    """(n,) split code of each pair, -1 where its two identities fell to different splits; None if there is no way.

    Arguments are (n,) each; how identities are dealt: `deal_identities`.
    """
    of_identity = deal_identities(front_identity, angle_identity, pair_label, seed, fractions)
    return None if of_identity is None else _split_of(of_identity, front_identity, angle_identity)


def _split_of(of_identity: np.ndarray, front: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(n,) the split of both identities of each pair, -1 where they differ."""
    return np.where(of_identity[front] == of_identity[angle], of_identity[front], np.int8(-1))


def deal_identities(
    front_identity: np.ndarray,
    angle_identity: np.ndarray,
    pair_label: np.ndarray,
    seed: int,
    fractions: tuple[float, ...],
) -> np.ndarray | None:
    """(identities,) the part that each identity is dealt to; None if some part would lack a class.

    Arguments are (n,) each. Groups of identities that pairs join are dealt whole. Where that leaves a part short of
    either class, because one group is too big, that group is cut into blocks of neighbouring identities, so that few
    pairs join two parts. The best of a few seeded attempts is taken.
    """
    count = int(max(front_identity.max(), angle_identity.max())) + 1
    groups = connected(front_identity, angle_identity, count)
    best: np.ndarray | None = None
    best_share = 0.0
    for whole in (True, False):
        units = len(np.unique(groups)) if whole else count
        for attempt in range(max(1, min(_ATTEMPTS, 20_000 // units))):
            rng = np.random.default_rng([seed, attempt])
            unit = groups if whole else _cut_up(front_identity, angle_identity, groups, fractions, rng)
            of_identity: np.ndarray = deal(
                _class_weights(unit, front_identity, angle_identity, pair_label), fractions, rng
            )[unit]
            split = _split_of(of_identity, front_identity, angle_identity)
            share = _smallest_share(split, pair_label, fractions)
            if share > best_share:
                best, best_share = of_identity, share
            if share >= _GOOD_SHARE:
                return of_identity
    return best


def _class_weights(unit: np.ndarray, front: np.ndarray, angle: np.ndarray, pair_label: np.ndarray) -> np.ndarray:
    """(units, 2): the negative and positive pairs of each unit, half for either end. `unit`: (identities,)."""
    units = int(unit.max()) + 1
    columns = []
    for label in (0, 1):
        mine = pair_label == label
        ends = np.concatenate([unit[front[mine]], unit[angle[mine]]])
        columns.append(np.bincount(ends, minlength=units) / 2)
    return np.stack(columns, axis=1)


def _cut_up(
    front: np.ndarray, angle: np.ndarray, groups: np.ndarray, fractions: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """(identities,) unit of each identity: its group, or its block where the group is too big to be dealt whole.

    Consecutive identities of a depth-first walk are mostly neighbours, so that few pairs join two blocks.
    """
    from scipy.sparse.csgraph import depth_first_order

    unit = groups.copy()
    size = np.bincount(groups)
    block = max(1, int(len(groups) * min(fractions) / 4))
    graph = _graph(np.r_[front, angle], np.r_[angle, front], len(groups))
    for group in np.flatnonzero(size > max(1, len(groups) * min(fractions) / 2)):
        start = int(rng.choice(np.flatnonzero(groups == group)))
        walk = depth_first_order(graph, start, directed=False, return_predecessors=False)
        unit[walk] = unit.max() + 1 + np.arange(len(walk)) // block
    return np.unique(unit, return_inverse=True)[1]


def _smallest_share(split: np.ndarray, pair_label: np.ndarray, fractions: tuple[float, ...]) -> float:
    """The least that any split has of any class, as a share of its due; 0 when a split lacks one altogether."""
    shares = []
    for label in (0, 1):
        held = np.bincount(split[(pair_label == label) & (split >= 0)], minlength=len(fractions))
        shares.append(held / (np.array(fractions) * max(1, int(np.sum(pair_label == label)))))
    return float(np.min(shares))
