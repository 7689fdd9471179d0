"""The embedded data set: composed 3-D objects on a turntable, seen from the front and from an angle.

Rendered to PNG files and a `pairs.csv`, so that it takes the very same path as a user's own data.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainable.data.turntable_renderer import PAIRS, RENDERER_VERSION, SHOTS, random_object, random_shot, render, stream
from trainable.errors import InputError

_WORTH_PROCESSES = 200
"""Identities from which on several processes render faster than one."""

COLUMNS = ("front", "angle", "pair_label", "front_identity", "angle_identity", "split")


@dataclass(frozen=True)
class TurntableSpec:
    """What to render. Identities come as couples of near-twins, which differ in one part and share a split.

    Each view of an identity is in one positive pair and in one negative pair, so labels are balanced, and no single
    image tells its pair's label. Raises InputError for a value outside its range, on construction.
    """

    train_identities: int = 400
    """Identities of the train split, an even number from 4."""
    val_identities: int = 200
    """Identities of the val split, an even number from 4."""
    test_identities: int = 200
    """Identities of the test split, an even number from 4."""
    positives_per_identity: int = 1
    """Positive pairs of one identity, and as many negative ones; each has its own front and angle image."""
    near_twin_share: float = 0.15
    """Share of the negatives that show the near-twin, from 0 to 1; the others show another object of the split."""
    image_size_px: int = 64
    """Width and height of an image, from 16 to 512."""
    seed: int = 0
    """Seed of all objects, lights and views."""

    def __post_init__(self) -> None:
        for name, kind, low, high, step in _RANGES:
            value = getattr(self, name)
            number = isinstance(value, int | float if step == 0 else int) and not isinstance(value, bool)
            if not (number and low <= value <= high and (step == 0 or value % step == 0)):
                raise InputError(
                    f"{name} is {value!r}; valid is {kind} from {low} to {high}. Change it in TurntableSpec."
                )

    def identities(self) -> dict[str, range]:
        """Split to the numbers of its identities; numbers 2k and 2k + 1 are near-twins."""
        ends = np.cumsum([self.train_identities, self.val_identities, self.test_identities]).tolist()
        return dict(zip(("train", "val", "test"), map(range, [0, *ends[:2]], ends), strict=True))


_RANGES = [  # name, what it is, lowest, highest, multiple of (0: any number)
    ("train_identities", "an even number", 4, 10**6, 2),
    ("val_identities", "an even number", 4, 10**6, 2),
    ("test_identities", "an even number", 4, 10**6, 2),
    ("positives_per_identity", "a whole number", 1, 1000, 1),
    ("near_twin_share", "a number", 0, 1, 0),
    ("image_size_px", "a whole number", 16, 512, 1),
    ("seed", "a whole number", 0, 2**63 - 1, 1),
]


def ensure(cache: Path, spec: TurntableSpec | None = None) -> Path:
    """The pairs.csv of `spec` below the folder `cache`, rendered there unless a run before did.

    The folder appears complete or not at all, also when two processes ask at once or one is killed.
    """
    spec = spec or TurntableSpec()
    text = json.dumps({**dataclasses.asdict(spec), "version": RENDERER_VERSION}, sort_keys=True)
    folder = Path(cache) / f"turntable-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    table = folder / "pairs.csv"
    if table.is_file():
        return table
    draft = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        write(draft, spec)
        draft.rename(folder)
    except OSError as error:
        if not table.is_file():  # else another process was faster, and its images are the same
            raise InputError(
                f"cannot render into {folder} ({error}); remove that folder or choose a cache that is writable."
            ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return table


def write(folder: str | Path, spec: TurntableSpec | None = None) -> Path:
    """Renders all images and pairs of `spec` into `folder`; returns its pairs.csv, which is written last.

    >>> spec = TurntableSpec(train_identities=4, val_identities=4, test_identities=4, image_size_px=16)
    >>> write("turntable", spec).name
    'pairs.csv'
    """
    spec, folder = spec or TurntableSpec(), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; the turntable needs a folder. Name another one.")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    _draw_all(folder, spec)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(_pairs(spec))
    return folder / "pairs.csv"


def _draw_all(folder: Path, spec: TurntableSpec) -> None:
    """Draw every image, over all cores where there are enough to pay for starting processes."""
    identities = [identity for numbers in spec.identities().values() for identity in numbers]
    cores = os.cpu_count() or 1
    if cores == 1 or len(identities) < _WORTH_PROCESSES:
        _draw(folder, spec, identities)
        return
    # Spawned, not forked: the caller may hold threads and locks, of torch for one.
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = [identities[start::cores] for start in range(cores)]
        list(pool.map(_draw, [folder] * cores, [spec] * cores, shares))


def _draw(folder: Path, spec: TurntableSpec, identities: list[int]) -> None:
    for identity in identities:
        parts = random_object(spec.seed, identity)
        for view in range(spec.positives_per_identity):
            for side, name in enumerate(("front", "angle")):
                shot = random_shot(stream(spec.seed, SHOTS, identity, view, side), side)
                pixels = render(parts, shot, spec.image_size_px)
                # Noise does not compress: a higher level only costs time.
                Image.fromarray(pixels).save(folder / _file(identity, name, view), compress_level=1)


def _pairs(spec: TurntableSpec) -> Iterator[tuple[str, str, int, str, str, str]]:
    """The rows of pairs.csv: for every identity and view one positive pair, then one negative."""
    for number, (split, numbers) in enumerate(spec.identities().items()):
        draw, couples = stream(spec.seed, PAIRS, number), len(numbers) // 2
        for view in range(spec.positives_per_identity):
            order = draw.permutation(couples)[: couples - round(spec.near_twin_share * couples)]
            other_couple = np.arange(couples)  # a couple is its own other where the negative shows the near-twin
            other_couple[order] = np.roll(order, 1)
            for i, identity in enumerate(numbers):
                couple = int(other_couple[i // 2])
                other = identity ^ 1 if couple == i // 2 else numbers[2 * couple + i % 2]
                for partner in (identity, other):
                    files = _file(identity, "front", view), _file(partner, "angle", view)
                    yield *files, int(partner == identity), _name(identity), _name(partner), split


def _name(identity: int) -> str:
    return f"object_{identity // 2:04d}{'ab'[identity % 2]}"


def _file(identity: int, side: str, view: int) -> str:
    return f"images/{_name(identity)}_{side}_{view}.png"
