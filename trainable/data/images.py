"""Images of a pair table decoded to one array of pixels: every file is read once, and none is ever replaced."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from trainable.data import levels
from trainable.data.decoder import BadImageError, Decoded, decoded, how, strict_pillow
from trainable.data.levels import Range, Scale
from trainable.data.pairs import PairTable
from trainable.data.rules import listing
from trainable.errors import InputError
from trainable.findings import DataError

_CHUNK = 16  # images a task: few enough for a smooth progress bar, many enough that tasks cost nothing
Elsewhere = Callable[
    [Sequence[Path | bytes], int, str, Mapping[str, Scale]], Generator[Mapping[int, Decoded], None, None]
]
"""Decodes what it can of images, in files or encoded, to squares of so many pixels, by such a fit and such levels. It yields
some at a time, by their places among those that were given; who asks decodes what is left out."""


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images, and what was decided to decode them."""

    pixels: np.ndarray
    """(m, S, S, 3) uint8 RGB."""
    fingerprint: str
    """Of their content, and of how they were decoded."""
    scales: Mapping[str, Scale] = field(default_factory=dict)
    """The levels of black and white of each kind of image with more than 8 bits; see `levels`."""
    note: str = ""
    """What to say of that, once; empty where every image has 8 bits."""


def decode(
    table: PairTable,
    image_size_px: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, str]:
    """(m, S, S, 3) uint8 RGB pixels of the table's images, S = `image_size_px`, squashed; and their fingerprint.

    The short form of `read_images`.
    """
    images = read_images(table, image_size_px, workers=workers, progress=progress)
    return images.pixels, images.fingerprint


def read_images(
    table: PairTable,
    image_size_px: int,
    fit: str = "squash",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    into: np.ndarray | None = None,
    elsewhere: Elsewhere | None = None,
) -> Images:
    """The table's images, decoded to squares of `image_size_px`, and a fingerprint of their content.

    Each image is decoded in full by one of `workers` threads (None: one for each core), turned upright as its EXIF says, and
    put on white where it is transparent. What is no square is squashed to one (`fit`: a crop could cut off what tells two
    things apart, and padding spends pixels on nothing), cropped about its centre, or padded. Images with more than 8 bits are
    looked at twice: all must be seen before the levels of black and white are known. `progress(done, total)` is called from
    this thread. into: (m, S, S, 3) uint8 to decode into, as a mapped file's; None: a new array. elsewhere: decodes what it can
    before, with the same result. Raises one InputError that lists every image that cannot be used.
    """
    if image_size_px < 1:
        raise InputError(f"image_size_px is {image_size_px}; valid is a whole number from 1. Change --image-size-px.")
    if into is None:
        into = np.empty((len(table.images), image_size_px, image_size_px, 3), dtype=np.uint8)
    reading = _Reading(table, into, fit, workers, progress, elsewhere)
    reading.read(range(len(table.images)))
    ranges = {table.image_names[at]: found for at, found in sorted(reading.ranges.items())}
    scales = reading.scales = levels.scales_of(table.source, ranges)
    reading.read(sorted(reading.ranges))
    levels.check_colour(table.source, {table.image_names[at]: high for at, high in sorted(reading.colours.items())})
    as_before = levels.as_before(scales, ranges)
    head = f"{image_size_px} px; {how(fit)}; {'' if as_before else f'levels {sorted(scales.items())}; '}"
    fingerprint = hashlib.sha256(head.encode() + b"".join(reading.digests)).hexdigest()
    return Images(reading.pixels, fingerprint, scales, levels.note(scales, ranges))


class _Reading:
    """Images on their way to pixels."""

    def __init__(
        self,
        table: PairTable,
        pixels: np.ndarray,
        fit: str,
        workers: int | None,
        progress: Callable[[int, int], None] | None,
        elsewhere: Elsewhere | None,
    ) -> None:
        total = len(table.images)
        self.pixels = pixels
        self.digests = [b""] * total
        self.ranges: dict[int, Range] = {}
        """Of the images that wait for a scale."""
        self.colours: dict[int, int] = {}
        """The largest upper byte of images with 16 bits a channel."""
        self.scales: Mapping[str, Scale] = {}
        self._table, self._size_px, self._fit = table, pixels.shape[1], fit
        self._workers, self._progress, self._done = workers or os.cpu_count(), progress, 0
        self._elsewhere = elsewhere

    def read(self, images: Iterable[int]) -> None:
        """Read these; those with more than 8 bits get their range only, as long as there is no scale for them."""
        which, bad = self._left_by_others(list(images)), dict[int, BadImageError]()
        chunks = [which[start : start + _CHUNK] for start in range(0, len(which), _CHUNK)]
        with strict_pillow(), ThreadPoolExecutor(self._workers) as pool:
            try:
                for future in as_completed([pool.submit(self._read_some, chunk, bad) for chunk in chunks]):
                    self._tell(future.result())
            except BaseException:  # Ctrl-C too: do not decode the rest before it is heard
                pool.shutdown(cancel_futures=True)
                raise
        if bad:
            raise _complaint(self._table, bad)

    def _left_by_others(self, which: list[int]) -> list[int]:
        """Those of the images that nobody else decoded: what is wrong with one is always found out, and said, here."""
        if self._elsewhere is None:
            return which
        left, images = dict(enumerate(which)), [self._table.images[at] for at in which]
        with closing(self._elsewhere(images, self._size_px, self._fit, self.scales)) as parts:
            for part in parts:
                self._tell(sum(self._take(left.pop(place), found) for place, found in part.items()))
        return list(left.values())

    def _read_some(self, chunk: list[int], bad: dict[int, BadImageError]) -> int:
        """How many of them are done, be it for bad."""
        done = 0
        for at in chunk:
            try:
                done += self._take(at, decoded(self._table.images[at], self._size_px, self._fit, self.scales))
            except BadImageError as reason:
                bad[at] = reason
                done += 1
        return done

    def _take(self, at: int, found: Decoded) -> bool:
        """Whether the image is done: else its scale is not known yet."""
        self.digests[at] = found.digest
        if found.range is not None:
            self.ranges[at] = found.range
        if found.colour is not None:
            self.colours[at] = found.colour
        if found.square is not None:
            self.pixels[at] = found.square
        return found.square is not None

    def _tell(self, done: int) -> None:
        self._done += done
        if self._progress is not None:
            self._progress(self._done, len(self.digests))


def _complaint(table: PairTable, bad: dict[int, BadImageError]) -> DataError:
    bad = dict(sorted(bad.items()))  # threads find them in any order
    kinds = Counter(reason.kind for reason in bad.values())
    found = []
    for at in bad:
        detail = f" ({bad[at].detail})" if bad[at].detail else ""
        found.append(f"{table.image_names[at]}: {bad[at].kind}{detail}")
    return DataError(
        "readable images",
        f"{table.source}: {len(bad)} of {len(table.images)} images cannot be used: "
        f"{', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}:{listing(found)}",
        "Valid are complete images of a format that Pillow reads (JPEG, PNG, WebP, BMP, TIFF, …), of at most "
        f"{Image.MAX_IMAGE_PIXELS or 0:,} pixels. Restore these files, convert them to JPEG or PNG, or remove their rows.",
    )
