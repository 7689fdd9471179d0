"""The pair table of a file or folder: read, checked, split by identity."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd

from trainable.data import rules as checks
from trainable.data import sources
from trainable.data.missing import why_missing
from trainable.data.pairs import PairTable
from trainable.data.splits import SPLITS, connected, make_splits
from trainable.data.tables import SIDES
from trainable.errors import InputError
from trainable.findings import DataError


def read_pairs(
    path: str | Path,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    tolerated: list[DataError] | None = None,
) -> PairTable:
    """The pair table of a file or folder that `sources` can read; every mistake in it is an InputError.

    tolerated: a list that takes the mistakes that a training could run with (labels that contradict each other or the
    identities, identities in two splits), in place of raising them.

    Identities. `front_identity` and `angle_identity` name them. A single `identity` names that of the front image, and
    of the angle image too in a positive pair; the angle image of a negative pair has the identity that other rows give
    that image, else one of its own. Without any, images that positive pairs join are one identity.

    Splits. Without a column `split` they are made by `seed`, train, val and test in proportion to `fractions`; see
    `splits.make_splits`. Negative pairs that this tears apart are counted in `dropped`.

    >>> from trainable.data import turntable
    >>> spec = turntable.TurntableSpec(train_identities=4, val_identities=4, test_identities=4, image_size_px=16)
    >>> table = read_pairs(turntable.write("turntable", spec))
    >>> len(table.pair_label), len(table.images), len(table.rows("train"))
    (24, 24, 8)
    """
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise InputError(
            f"fractions are {fractions!r}; valid are three numbers above 0 that sum to 1, for {', '.join(SPLITS)}. "
            "Change them."
        )
    source, (rows, base, notes) = str(path), sources.read(Path(path), sources.Dealing(seed, fractions))
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
    spelling_of = np.unique(of_key, return_index=True)[1]
    index = of_key[spelt]
    names = names[np.unique(index, return_index=True)[1]]
    missing = [k for k, image in enumerate(images) if isinstance(image, str) and not os.path.isfile(image)]  # noqa: PTH113
    if missing:
        told = [
            _told(names[k], str(spelt), base) for k in missing[: checks.LISTED] for spelt in [distinct[spelling_of[k]]]
        ]
        raise DataError(
            "readable images",
            f"{source}: {len(missing)} of {len(images)} images are missing:{checks.listing(told, len(missing))}",
            f"Valid are paths of files, absolute or relative to {base}. Restore the files, or correct or remove their "
            "rows.",
        )
    paths = tuple(image if isinstance(image, bytes) else Path(image) for image in images)
    front, angle = np.split(index.astype(np.int64), 2)
    return paths, tuple(map(str, names)), front, angle


def _told(name: str, spelt: str, base: Path) -> str:
    """An image that is missing, and why, where that shows."""
    why = why_missing(spelt, base)
    return f"{name} ({why})" if why else name


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
    codes, known = pd.factorize(_spelt(given).to_numpy(dtype=object))
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


def _spelt(identities: pd.Series) -> pd.Series:
    """Identities as text; numbers of two columns alike, one of which pandas has made floats of as it had a gap."""
    text = identities.astype(str).str.strip()
    numbers = text.str.fullmatch(r"[+-]?\d+(\.0)?")
    return text.str.removesuffix(".0") if bool(numbers.all()) else text


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
    made = make_splits(*identities, pair_label, seed, fractions)
    if made is None:
        raise DataError(
            "splits",
            f"{source}: its {len(identity_names)} identities in {len(rows)} pairs cannot be dealt to "
            f"{', '.join(SPLITS)} so that each has pairs of both labels and none shares an identity",
            "valid is at least two identities, with a positive and a negative pair among them, for each split. Add "
            "pairs of more identities, or a column `split`.",
        )
    lost = int(np.sum(made < 0))
    note = f"the table has no column `split`: identities were dealt to {', '.join(SPLITS)} by seed {seed}"
    if lost:
        negatives = int(np.sum(pair_label == 0))
        note += f", and {lost} of {negatives} negative pairs, whose identities came apart, were left out"
    return made, (note,)


def _without(table: PairTable, left_out: np.ndarray) -> PairTable:
    """The table without the pairs of the mask (n,), nor the images and identities that only they have."""
    if not left_out.any():
        return table
    keep = ~left_out
    images, sides = np.unique(np.stack([table.front[keep], table.angle[keep]]), return_inverse=True)
    ids, identities = np.unique(np.stack([table.front_identity[keep], table.angle_identity[keep]]), return_inverse=True)
    (front, angle), (front_identity, angle_identity) = sides.reshape(2, -1), identities.reshape(2, -1)
    return dataclasses.replace(
        table,
        images=tuple(table.images[i] for i in images),
        image_names=tuple(table.image_names[i] for i in images),
        front=front,
        angle=angle,
        pair_label=table.pair_label[keep],
        front_identity=front_identity,
        angle_identity=angle_identity,
        identity_names=tuple(table.identity_names[i] for i in ids),
        split=table.split[keep],
    )
