"""A folder of identities, each with front and angle views, turned into the rows of a pair table."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trainable.data.splits import SPLITS, deal
from trainable.errors import InputError

POSITIVES_PER_IDENTITY = 4
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx",
    ".tga", ".icb", ".vda", ".vst", ".sgi", ".rgb", ".rgba", ".bw", ".pcx", ".psd", ".qoi", ".dds", ".ico", ".icns",
    ".im", ".msp", ".xbm", ".xpm", ".blp",
)  # fmt: skip
"""What Pillow reads: a table may name any file, a folder is searched for these."""
_LAYOUTS = (
    "valid is a pair table (.csv, .parquet or .jsonl), or a folder with one folder for each identity, holding images in "
    "front*/ and angle*/ or named front* and angle*"
)


@dataclass(frozen=True)
class _Views:
    """The image files of one identity, as paths relative to the folder."""

    identity: str
    front: list[str]
    angle: list[str]
    unread: list[str]
    """Files that are named as a view and end in a suffix that is not read."""


def read_folder(root: Path, seed: int, fractions: tuple[float, ...]) -> tuple[pd.DataFrame, tuple[str, ...]] | None:
    """The rows of a folder `identity/{front,angle}*/…` or `identity/front*.jpg`, `identity/angle*.jpg`, and notes; None
    for a folder in which no identity has both.

    Positive pairs: each front with each angle of an identity, POSITIVES_PER_IDENTITY at most. Identities are dealt to
    splits by seed; then as many negative pairs as positive ones are drawn by seed within each split. The rows have the
    columns of the readers in `tables`, identities and split included.
    """
    found = _identities(root)
    complete = [views for views in found if views.front and views.angle]
    if not complete:
        return None
    _check_count(root, found, complete)
    positives = [(i, f, a) for i, views in enumerate(complete) for f, a in _combinations(views)]
    identity = np.array([i for i, _, _ in positives])
    front, angle = (np.array([row[side] for row in positives], dtype=object) for side in (1, 2))
    rng = np.random.default_rng([seed, 1])
    weights = np.bincount(identity)[:, None]
    split = deal(weights, fractions, rng, at_least=2)[identity]
    pairs = [_frame(front, angle, 1, identity, identity, split)]
    for code in range(len(SPLITS)):
        mine = np.flatnonzero(split == code)
        first, second = _draw_negatives(identity[mine], front[mine], angle[mine], rng)
        f, a = mine[first], mine[second]
        pairs.append(_frame(front[f], angle[a], 0, identity[f], identity[a], split[f]))
    frame = pd.concat(pairs, ignore_index=True)
    names = np.array([views.identity for views in complete], dtype=object)
    for column in ("front_identity", "angle_identity"):
        frame[column] = names[frame[column].to_numpy()]
    return frame.rename_axis("row"), _notes(found, complete, frame)


def _identities(root: Path) -> list[_Views]:
    return [_views(root, folder) for folder in _entries(root) if folder.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _views(root: Path, folder: os.DirEntry[str]) -> _Views:
    sides: dict[str, list[str]] = {"front": [], "angle": []}
    unread: list[str] = []
    for entry in _entries(Path(folder.path)):
        side = next((side for side in sides if entry.name.lower().startswith(side)), None)
        if side is not None:
            files = _entries(Path(entry.path)) if entry.is_dir() else [entry]
            for file in (file for file in files if file.is_file()):
                read = file.name.lower().endswith(IMAGE_SUFFIXES)
                (sides[side] if read else unread).append(os.path.relpath(file.path, root))
    return _Views(folder.name, **sides, unread=unread)


def no_identities(root: Path) -> InputError:
    """What to say of a folder in which no identity has both views."""
    found = _identities(root)
    names = ", ".join(views.identity for views in found[:5]) or "none"
    return InputError(
        f"{root} has no identity with both a front and an angle image (folders in it: {names}"
        f"{', …' if len(found) > 5 else ''}){_unread(found)}; {_LAYOUTS}. Rearrange the folder, or write a pair table."
    )


def _check_count(root: Path, found: list[_Views], complete: list[_Views]) -> None:
    needed = 2 * len(SPLITS)
    if len(complete) < needed:
        raise InputError(
            f"{root} has {len(complete)} identities with both a front and an angle image{_unread(found)}; valid is at least "
            f"{needed}: a negative pair in each of {', '.join(SPLITS)} takes two. Add identities."
        )


def _unread(found: list[_Views]) -> str:
    """What was passed over, by suffix, with an example of each."""
    files = [file for views in found for file in views.unread]
    if not files:
        return ""
    suffixes = Counter(Path(file).suffix.lower() or "no suffix" for file in files)
    example = {Path(file).suffix.lower() or "no suffix": file for file in reversed(files)}
    listed = ", ".join(f"{count} {suffix} ({example[suffix]})" for suffix, count in suffixes.most_common(5))
    return f"; not read were: {listed}, of formats that Pillow does not read: convert them, to JPEG or PNG"


def _combinations(views: _Views) -> list[tuple[str, str]]:
    """Front x angle, the combinations that share no image first, POSITIVES_PER_IDENTITY at most."""
    front, angle = _spread(views.front), _spread(views.angle)
    size = max(len(front), len(angle))
    every = [((a - f) % size, f, a) for f in range(len(front)) for a in range(len(angle))]
    return [(front[f], angle[a]) for _, f, a in sorted(every)[:POSITIVES_PER_IDENTITY]]


def _spread(files: list[str]) -> list[str]:
    """At most POSITIVES_PER_IDENTITY of the files, evenly spaced."""
    count = min(len(files), POSITIVES_PER_IDENTITY)
    return [files[at * len(files) // count] for at in range(count)]


def _draw_negatives(
    identity: np.ndarray, front: np.ndarray, angle: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of positions among the (p,) positive pairs: whose front and whose angle make each negative pair.

    As many as there are positive pairs, or as many as exist; the same two images are never drawn twice.
    """
    wanted = len(identity)
    front_code, angle_code = pd.factorize(front)[0], pd.factorize(angle)[0]
    first = second = np.empty(0, dtype=np.int64)
    for _ in range(20):  # a draw keeps most of its pairs; only a split of two or three identities needs several
        drawn = rng.integers(0, wanted, size=(2, max(64, 2 * wanted)))
        drawn = drawn[:, identity[drawn[0]] != identity[drawn[1]]]
        first, second = np.r_[first, drawn[0]], np.r_[second, drawn[1]]
        _, kept = np.unique(front_code[first] * (angle_code.max() + 1) + angle_code[second], return_index=True)
        kept = np.sort(kept)[:wanted]
        first, second = first[kept], second[kept]
        if len(first) == wanted:
            break
    return first, second


def _frame(
    front: np.ndarray,
    angle: np.ndarray,
    pair_label: int,
    front_identity: np.ndarray,
    angle_identity: np.ndarray,
    split: np.ndarray,
) -> pd.DataFrame:
    """Rows of one class; the arguments are (p,) arrays, `split` of codes."""
    columns = {
        "front": front, "front_name": front, "angle": angle, "angle_name": angle,
        "pair_label": np.full(len(front), pair_label), "front_identity": front_identity,
        "angle_identity": angle_identity, "split": np.array(SPLITS, dtype=object)[split],
    }  # fmt: skip
    return pd.DataFrame(columns)


def _notes(found: list[_Views], complete: list[_Views], frame: pd.DataFrame) -> tuple[str, ...]:
    positive = int(frame["pair_label"].sum())
    notes = [
        f"the folder's {len(complete)} identities were dealt to splits by seed: {positive} positive pairs, at most "
        f"{POSITIVES_PER_IDENTITY} an identity, and {len(frame) - positive} negative pairs drawn within the splits"
    ]
    partial = [views.identity for views in found if not (views.front and views.angle)]
    if partial:
        more = ", …" if len(partial) > 5 else ""
        notes.append(
            f"{len(partial)} folders lack a front or an angle image and were left out: {', '.join(partial[:5])}{more}"
        )
    if unread := _unread(found):
        notes.append(unread.removeprefix("; "))
    unused = sum(len(v.front) + len(v.angle) for v in complete) - frame["front"].nunique() - frame["angle"].nunique()
    if unused:
        notes.append(f"{unused} images are in no pair; write a pair table to choose the pairs yourself")
    return tuple(notes)
