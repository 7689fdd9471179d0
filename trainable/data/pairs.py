"""The pair table: read, validated and split by identity; and the arrays of it that a trial needs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainable.data.splits import SPLITS, deal_identities
from trainable.errors import InputError
from trainable.findings import DataError
from trainable.mapped import ByName


@dataclass(frozen=True, eq=False)
class PairTable:
    """n pairs over m distinct images and k identities; no identity is in two splits, unless that was tolerated."""

    source: str
    """The table or folder, as it was given."""
    images: tuple[Path | bytes, ...]
    """(m,) absolute paths, or encoded images."""
    image_names: tuple[str, ...]
    """(m,) what messages call each image: its path as the table spells it, or its row."""
    front: np.ndarray
    """(n,) int64 index into `images`."""
    angle: np.ndarray
    """(n,) int64 index into `images`."""
    pair_label: np.ndarray
    """(n,) int8, 1 (same) or 0 (different)."""
    front_identity: np.ndarray
    """(n,) int64 index into `identity_names`."""
    angle_identity: np.ndarray
    """(n,) int64 index into `identity_names`."""
    identity_names: tuple[str, ...]
    """(k,) as the table names them; a derived identity has the name of its first image."""
    split: np.ndarray
    """(n,) text, each of SPLITS."""
    dropped: int = 0
    """Negative pairs that were left out because their identities fell to different splits."""
    notes: tuple[str, ...] = ()
    """What was decided for the user, in sentences to show once."""

    def rows(self, split: str) -> np.ndarray:
        """(rows,) indices of the pairs of a split."""
        return np.flatnonzero(self.split == SPLITS[split_code(split)])

    def fingerprint(self) -> str:
        """Hash of pairs, labels, identities, splits and image names; `images.decode` gives that of what images show."""
        digest = hashlib.sha256()
        for array in (self.front, self.angle, self.pair_label, self.front_identity, self.angle_identity):
            digest.update(np.ascontiguousarray(array).tobytes())
        for words in (self.split.tolist(), self.image_names, self.identity_names):
            digest.update("\0".join((str(len(words)), *words, "")).encode(errors="surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PairData:
    """What a trial needs of a pair table, in plain arrays. They may be read-only: never write into them."""

    pixels: np.ndarray
    """(views · m, S, S, 3) uint8 RGB: view v of image i in row v · m + i, the plain images first."""
    front: np.ndarray
    """(n,) int64 index of an image, and of its plain view in `pixels`."""
    angle: np.ndarray
    """(n,) int64 index of an image, and of its plain view in `pixels`."""
    pair_label: np.ndarray
    """(n,) int8, 1 (same) or 0 (different)."""
    front_identity: np.ndarray
    """(n,) int64 codes."""
    angle_identity: np.ndarray
    """(n,) int64 codes."""
    split: np.ndarray
    """(n,) int8 index into SPLITS."""
    fingerprint: str
    """Of the plain images: equal fingerprints mean equal images, at the same size, in the same order."""
    features: Mapping[int, np.ndarray] = field(default_factory=dict)
    """By `trainable_blocks`: (views · m, ...) activations at that cut, row for row, where they were computed."""
    views: int = 1
    """How many views there are of each image; the first is the plain one."""
    view_strength: float = 1.0
    """How strong they are: as `augmentation.with_views` was told."""
    folds: np.ndarray | None = None
    """(n, 2) int8 folds of the front and of the angle identity of each pair, -1 for test pairs; None where trials train
    on the train split and are validated on the val split. See `with_folds`."""

    @classmethod
    def of(cls, table: PairTable, pixels: np.ndarray, fingerprint: str, views: int = 1) -> PairData:
        """The arrays of `table`, with pixels (m, S, S, 3) and their fingerprint as `images.decode` gives them, or
        with what `augmentation.with_views` made of them."""
        rows = views * len(table.images)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != rows or pixels.shape[3] != 3:
            raise ValueError(f"pixels must be ({rows}, S, S, 3) uint8, got {pixels.shape} {pixels.dtype}")
        codes = np.array([table.split == name for name in SPLITS]).argmax(axis=0).astype(np.int8)
        identities = table.front_identity, table.angle_identity
        columns = table.front, table.angle, table.pair_label, *identities, codes
        return cls(pixels, *columns, fingerprint, views=views)

    def __getstate__(self) -> dict[str, Any]:
        """For other processes: arrays that are files go by the files' names."""
        features = {cut: ByName(array) for cut, array in self.features.items()}
        return vars(self) | {"pixels": ByName(self.pixels), "features": features}

    def without_pixels(self) -> PairData:
        """For trials that start from stored features: on a node that does not see the driver's files none are fetched."""
        return replace(self, pixels=np.empty((len(self.pixels), 0, 0, 3), dtype=np.uint8))

    @property
    def images(self) -> int:
        """How many images there are, m, whatever the number of views."""
        return len(self.pixels) // self.views

    def rows(self, split: str) -> np.ndarray:
        """(rows,) indices of the pairs of a split.

        With folds the train split is all pairs but the test ones, as for a model that is trained on all, and the val split
        those that are validated out of fold: both of their identities are in one fold.
        """
        code = split_code(split)
        if self.folds is None or split == "test":
            return np.flatnonzero(self.split == code)
        together = (self.folds[:, 0] == self.folds[:, 1]) & (self.folds[:, 0] >= 0)
        return np.flatnonzero(together if split == "val" else self.folds[:, 0] >= 0)

    @property
    def fold_count(self) -> int:
        """How many folds there are; 0 without folds."""
        return 0 if self.folds is None else int(self.folds.max()) + 1

    def fold(self, number: int) -> PairData:
        """The data of one fold: validated on its pairs, trained on those that share no identity with it."""
        if self.folds is None:
            raise ValueError("these data have no folds; `with_folds` makes them")
        inside = self.folds == number
        split = np.full(len(self.split), -1, dtype=np.int8)  # a pair with one identity inside is in neither split
        split[inside.all(axis=1)] = split_code("val")
        split[~inside.any(axis=1)] = split_code("train")
        split[self.split == split_code("test")] = split_code("test")
        return replace(self, split=split, folds=None)


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


def split_code(split: str) -> int:
    """The split's index into SPLITS; ValueError if there is no such split."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; valid are {', '.join(SPLITS)}")
    return SPLITS.index(split)


def check_batch(table: PairTable | PairData, batch_size: int) -> None:
    """InputError unless the training split can fill a batch of different things: it needs at least `batch_size` pairs
    and a quarter as many identities, two at least."""
    rows = table.rows("train")
    identities = len(np.union1d(table.front_identity[rows], table.angle_identity[rows]))
    needed = max(2, math.ceil(batch_size / 4))
    if len(rows) >= batch_size and identities >= needed:
        return
    largest = min(len(rows), 4 * identities) if identities >= 2 else 0
    remedy = f"Use --batch-size {largest} or less, or add data" if largest >= 2 else "Add pairs of other identities"
    raise DataError(
        "enough for a batch",
        f"the train split has {len(rows)} pairs of {identities} identities",
        f"valid for a batch of {batch_size} is at least {batch_size} pairs of {needed} identities. {remedy}.",
    )
