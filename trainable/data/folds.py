"""Identity-disjoint folds over train and validation pairs, for data too small to spare a validation split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainable.data.pairs import PairData
from trainable.data.splits import deal_identities
from trainable.errors import InputError


def with_folds(data: PairData, count: int, seed: int) -> PairData:
    """The data with `count` folds that share no identity, each with pairs of both labels; test pairs stay apart.

    A pair whose identities are in two folds is validated in neither, and trained on where its identities are not held out.
    Raises InputError where the pairs cannot be dealt so.
    """
    kept = np.concatenate([data.rows("train"), data.rows("val")])
    codes, ends = np.unique(np.stack([data.front_identity[kept], data.angle_identity[kept]]), return_inverse=True)
    front, angle = ends.reshape(2, -1)
    of_identity = deal_identities(front, angle, data.pair_label[kept], seed, (1 / count,) * count)
    if of_identity is None:
        raise InputError(
            f"--folds is {count}, but the {len(kept)} train and val pairs of {len(codes)} identities cannot be dealt to "
            f"{count} folds so that each has pairs of both labels and none shares an identity; valid is a smaller number "
            "from 2, or 0 for the table's own val split. Give fewer folds, or add pairs of other identities."
        )
    folds = np.full((len(data.split), 2), -1, dtype=np.int8)
    folds[kept] = np.stack([of_identity[front], of_identity[angle]], axis=1)
    return replace(data, folds=folds)
