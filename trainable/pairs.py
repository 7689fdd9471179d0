"""The pair table: read, validated and split by identity; and the arrays of it that a trial needs."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from trainable import pair_checks as checks
from trainable.config import InputError, nearest
from trainable.findings import DataError
from trainable.identities import SPLITS, connected, make_splits
from trainable.pair_file import SIDES, SUFFIXES, read_file
from trainable.pair_folder import read_folder

__all__ = ["SPLITS", "PairData", "PairTable", "check_batch", "read_pairs"]
_TABLES_IN_A_FOLDER = ("pairs.csv", "pairs.parquet", "metadata.csv", "metadata.parquet")


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
        return np.flatnonzero(self.split == SPLITS[_split_code(split)])

    def fingerprint(self) -> str:
        """Hash of pairs, labels, identities, splits and image names; `pixels.decode` gives that of what images show."""
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

    @classmethod
    def of(cls, table: PairTable, pixels: np.ndarray, fingerprint: str, views: int = 1) -> PairData:
        """The arrays of `table`, with pixels (m, S, S, 3) and their fingerprint as `pixels.decode` gives them, or
        with what `views.with_views` made of them."""
        rows = views * len(table.images)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != rows or pixels.shape[3] != 3:
            raise ValueError(f"pixels must be ({rows}, S, S, 3) uint8, got {pixels.shape} {pixels.dtype}")
        codes = np.array([table.split == name for name in SPLITS]).argmax(axis=0).astype(np.int8)
        identities = table.front_identity, table.angle_identity
        columns = table.front, table.angle, table.pair_label, *identities, codes
        return cls(pixels, *columns, fingerprint, views=views)

    @property
    def images(self) -> int:
        """How many images there are, m, whatever the number of views."""
        return len(self.pixels) // self.views

    def rows(self, split: str) -> np.ndarray:
        """(rows,) indices of the pairs of a split."""
        return np.flatnonzero(self.split == _split_code(split))


def _split_code(split: str) -> int:
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; valid are {', '.join(SPLITS)}")
    return SPLITS.index(split)


def read_pairs(
    path: str | Path,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    tolerated: list[DataError] | None = None,
) -> PairTable:
    """The pair table in a CSV or Parquet file, or of a folder of identities; every mistake in it is an InputError.

    tolerated: a list that takes the mistakes that a training could run with (labels that contradict each other or the
    identities, identities in two splits), in place of raising them.

    Identities. `front_identity` and `angle_identity` name them. A single `identity` names that of the front image, and
    of the angle image too in a positive pair; the angle image of a negative pair has the identity that other rows give
    that image, else one of its own. Without any, images that positive pairs join are one identity.

    Splits. Without a column `split` they are made by `seed`, train, val and test in proportion to `fractions`; see
    `identities.make_splits`. Negative pairs that this tears apart are counted in `dropped`.
    """
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise InputError(
            f"fractions are {fractions!r}; valid are three numbers above 0 that sum to 1, for {', '.join(SPLITS)}. "
            "Change them."
        )
    source, (rows, base, notes) = str(path), _rows(Path(path), seed, fractions)
    checks.check_cells(source, rows)
    pair_label = checks.labels_of(source, rows)
    images, names, front, angle = _images(source, rows, base)
    repeated = checks.held(tolerated, checks.check_one_label, source, rows.index, front, angle, pair_label, names)
    if repeated:
        notes += (f"rows that repeat the pair of another row: {repeated}; each counts as a pair",)
    of_image, identity_names = _identities(source, rows, front, angle, pair_label, names, tolerated)
    identities = of_image[front], of_image[angle]
    derived = not {"identity", "front_identity"} & set(rows.columns)
    if not any(fault.finding.check == checks.LABELS_FIT for fault in tolerated or ()):
        fit = source, rows.index, pair_label, identities, identity_names, derived
        checks.held(tolerated, checks.check_labels_fit, *fit)
    split, made = _splits(source, rows, identities, pair_label, identity_names, seed, fractions, tolerated)
    table = PairTable(
        source, images, names, front, angle, pair_label, *identities, identity_names,
        np.array(SPLITS)[split], int(np.sum(split < 0)), notes + made,
    )  # fmt: skip
    return _without(table, split < 0)


def _rows(path: Path, seed: int, fractions: tuple[float, float, float]) -> tuple[pd.DataFrame, Path, tuple[str, ...]]:
    """The rows of a table or a folder, the folder that their paths are relative to, and notes."""
    if path.is_dir():
        tables = [path / name for name in _TABLES_IN_A_FOLDER if (path / name).is_file()]
        if not tables:
            rows, notes = read_folder(path, seed, fractions)
            return rows, path.absolute(), notes
        return read_file(tables[0]), path.absolute(), (f"of the folder {path} the table {tables[0].name} is read",)
    if not path.exists():
        raise InputError(_no_such_file(path))
    return read_file(path), path.absolute().parent, ()


def _no_such_file(path: Path) -> str:
    folder = path.absolute().parent
    valid = f"valid is a pair table ({' or '.join(SUFFIXES)}) or a folder of identities"
    if not folder.is_dir():
        return f"there is no {path}, nor the folder {folder}; {valid}. Correct the path."
    there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() or entry.suffix.lower() in SUFFIXES)
    near = nearest(path.name, there) or ", ".join(there[:5]) or "no table and no folder"
    return f"there is no {path}; {valid}. In {folder} there is: {near}. Correct the path."


def _images(
    source: str, rows: pd.DataFrame, base: Path
) -> tuple[tuple[Path | bytes, ...], tuple[str, ...], np.ndarray, np.ndarray]:
    """The m distinct images, their names, and the (n,) indices of the front and angle images; every file exists."""
    cells = np.concatenate([rows[side].to_numpy() for side in SIDES])
    names = np.concatenate([rows[f"{side}_name"].to_numpy() for side in SIDES])
    spelt, distinct = pd.factorize(cells)  # each spelling once: a table repeats its images
    folder = str(base)
    keys = np.empty(len(distinct), dtype=object)
    keys[:] = [v if isinstance(v, bytes) else os.path.normpath(os.path.join(folder, v)) for v in distinct]  # noqa: PTH118
    of_key, images = pd.factorize(keys)
    index = of_key[spelt]
    names = names[np.unique(index, return_index=True)[1]]
    missing = [k for k, image in enumerate(images) if isinstance(image, str) and not os.path.isfile(image)]  # noqa: PTH113
    if missing:
        raise DataError(
            "readable images",
            f"{source}: {len(missing)} of {len(images)} images are missing:"
            f"{checks.listing([names[k] for k in missing])}",
            f"Valid are paths of files, absolute or relative to {base}. Restore the files, or correct or remove their "
            "rows.",
        )
    paths = tuple(image if isinstance(image, bytes) else Path(image) for image in images)
    front, angle = np.split(index.astype(np.int64), 2)
    return paths, tuple(map(str, names)), front, angle


def _identities(
    source: str,
    rows: pd.DataFrame,
    front: np.ndarray,
    angle: np.ndarray,
    pair_label: np.ndarray,
    names: tuple[str, ...],
    tolerated: list[DataError] | None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(m,) identity code of each image, and the names of the identities."""
    positive = pair_label == 1
    if "front_identity" in rows:
        shown = np.concatenate([front, angle])
        given = pd.concat([rows["front_identity"], rows["angle_identity"]])
    elif "identity" in rows:
        shown = np.concatenate([front, angle[positive]])
        given = pd.concat([rows["identity"], rows["identity"][positive]])
    else:
        of_image = connected(front[positive], angle[positive], len(names))
        first = np.unique(of_image, return_index=True)[1]
        return of_image, tuple(names[k] for k in first)
    codes, known = pd.factorize(given.astype(str).str.strip().to_numpy(dtype=object))
    if "front_identity" in rows:
        halves = codes[: len(front)], codes[len(front) :]
        checks.held(tolerated, checks.check_labels_fit, source, rows.index, pair_label, halves, known, False)
    of_image = np.full(len(names), -1, dtype=np.int64)
    of_image[shown] = codes
    torn = np.unique(shown[of_image[shown] != codes])
    if len(torn):
        found = [f"{names[k]}: {', '.join(known[np.unique(codes[shown == k])][:5])}" for k in torn[: checks.LISTED]]
        raise DataError(
            "one identity for an image",
            f"{source}: {len(torn)} of {len(names)} images are given more than one identity:"
            f"{checks.listing(found, len(torn))}",
            "Valid is one identity for an image, wherever it appears. Correct or remove these rows.",
        )
    unknown = np.flatnonzero(of_image < 0)
    of_image[unknown] = len(known) + np.arange(len(unknown))
    return of_image, (*known, *(names[k] for k in unknown))


def _splits(
    source: str,
    rows: pd.DataFrame,
    identities: tuple[np.ndarray, np.ndarray],
    pair_label: np.ndarray,
    identity_names: tuple[str, ...],
    seed: int,
    fractions: tuple[float, float, float],
    tolerated: list[DataError] | None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n,) split codes, -1 for a pair to leave out, and notes."""
    if "split" in rows:
        split = checks.splits_of(source, rows)
        checks.check_splits(source, split, pair_label)
        checks.held(tolerated, checks.check_disjoint, source, split, *identities, identity_names)
        return split, ()
    split = make_splits(*identities, pair_label, seed, fractions)
    if split is None:
        raise DataError(
            "splits",
            f"{source}: its {len(identity_names)} identities in {len(rows)} pairs cannot be dealt to "
            f"{', '.join(SPLITS)} so that each has pairs of both labels and none shares an identity",
            "valid is at least two identities, with a positive and a negative pair among them, for each split. Add "
            "pairs of more identities, or a column `split`.",
        )
    lost = int(np.sum(split < 0))
    note = f"the table has no column `split`: identities were dealt to {', '.join(SPLITS)} by seed {seed}"
    if lost:
        negatives = int(np.sum(pair_label == 0))
        note += f", and {lost} of {negatives} negative pairs, whose identities came apart, were left out"
    return split, (note,)


def _without(table: PairTable, left_out: np.ndarray) -> PairTable:
    """The table without the pairs of the mask (n,), nor the images and identities that only they have."""
    if not left_out.any():
        return table
    keep = ~left_out
    images, sides = np.unique(np.stack([table.front[keep], table.angle[keep]]), return_inverse=True)
    ids, identities = np.unique(np.stack([table.front_identity[keep], table.angle_identity[keep]]), return_inverse=True)
    return PairTable(
        table.source, tuple(table.images[i] for i in images), tuple(table.image_names[i] for i in images),
        *sides.reshape(2, -1), table.pair_label[keep], *identities.reshape(2, -1),
        tuple(table.identity_names[i] for i in ids), table.split[keep], table.dropped, table.notes,
    )  # fmt: skip


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
