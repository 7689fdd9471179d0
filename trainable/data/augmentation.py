"""Augmented views of every image, drawn once: constants of the search, like the pixels, so that every cut can store them.

A view must still show which thing it is, so it is a mild one: part of the image, turned a little, in another light. There
is no flip (a mirrored thing is another thing: its lettering, its handedness, and which side of it the angle view shows)
and no change of hue (colour tells things apart).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageEnhance

CROP_AREA = (0.7, 1.0)
"""Share of the image's area that a view shows."""
CROP_ASPECT = (0.9, 1.1)
"""Width over height of that part, before it is squashed to a square as all images are."""
TURN_DEG = 8.0
"""Largest rotation, either way."""
LIGHT = (0.8, 1.2)
"""Factors of brightness, contrast and saturation."""
HOW = f"crop {CROP_AREA} {CROP_ASPECT}, turn {TURN_DEG}, light {LIGHT}, bicubic, reflected border"


def how(strength: float = 1.0) -> str:
    """What the numbers of a view depend on besides its image: part of every key they are stored by."""
    return HOW if strength == 1 else f"{HOW}, all {strength:g} times as strong"


_CHUNK = 16  # images a task
_LIGHTS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def with_views(
    pixels: np.ndarray,
    views: int,
    fingerprint: str,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    into: np.ndarray | None = None,
    strength: float = 1.0,
) -> np.ndarray:
    """(views · m, S, S, 3) uint8: view v of image i in row v · m + i; view 0 is the plain image.

    pixels: (m, S, S, 3) uint8; fingerprint: theirs, from which the views are drawn, so that they are the same in every
    run on the same images; view v is the same however many views there are. `workers` threads, None: one a core. into: an array
    to draw into, which may begin with `pixels` themselves; None: a new one. strength: up to 3 times as far from the plain image
    as the constants here say, or less far.
    """
    images = len(pixels)
    if views == 1:
        return pixels
    found = np.empty((views * images, *pixels.shape[1:]), dtype=np.uint8) if into is None else into
    if not np.may_share_memory(found, pixels):
        found[:images] = pixels
    seed = int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8])

    def work(rows: range) -> int:
        for row in rows:
            view, image = divmod(row, images)
            found[row] = augmented(pixels[image], np.random.default_rng([seed, image, view]), strength)
        return len(rows)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        starts = range(images, len(found), _CHUNK)
        done = 0
        for count in pool.map(work, [range(start, min(start + _CHUNK, len(found))) for start in starts]):
            done += count
            if progress is not None:
                progress(done, len(found) - images)
    return found


def augmented(image: np.ndarray, random: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """(S, S, 3) uint8: one view of an image (S, S, 3), as `random` draws it; resampled once."""

    def between(low: float, high: float) -> float:
        """As far from 1, which changes nothing, as the strength says; exactly what is drawn at strength 1."""
        drawn = random.uniform(low, high)
        return drawn if strength == 1 else 1 + strength * (drawn - 1)

    area = between(*CROP_AREA)
    aspect = math.exp(strength * random.uniform(*np.log(CROP_ASPECT)))
    width, height = (min(1.0, math.sqrt(area * ratio)) for ratio in (aspect, 1 / aspect))
    centre = [0.5 + random.uniform(-0.5, 0.5) * (1 - side) for side in (width, height)]
    most_deg = strength * TURN_DEG
    turn = math.radians(random.uniform(-most_deg, most_deg))
    view = _resampled(image, width, height, centre, turn, most_deg)
    for at in random.permutation(len(_LIGHTS)):
        view = _LIGHTS[at](view).enhance(between(*LIGHT))
    return np.asarray(view)


def _resampled(
    image: np.ndarray, width: float, height: float, centre: list[float], turn: float, most_deg: float = TURN_DEG
) -> Image.Image:
    """The part of these sides around `centre`, all in shares of the image, turned by `turn` radians, `most_deg` at most."""
    size = len(image)
    border = (
        math.ceil(size * math.sin(math.radians(most_deg))) + 2
    )  # what turning and bicubic can reach beyond the edge
    reflected = Image.fromarray(np.pad(image, ((border, border), (border, border), (0, 0)), mode="symmetric"))
    (x, y), cos, sin = centre, math.cos(turn), math.sin(turn)
    # Pillow asks where in the source the pixel (u, v) of the result comes from, and adds the half pixels itself.
    a, b, d, e = width * cos, -height * sin, width * sin, height * cos
    c, f = (border + size * at - size / 2 * (one + other) for at, one, other in ((x, a, b), (y, d, e)))
    return reflected.transform((size, size), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC)
