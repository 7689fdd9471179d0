"""Images of a pair table decoded to one array of pixels: every file is read once, and none is ever replaced."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from trainable.data import levels
from trainable.data.levels import Range, Scale
from trainable.data.pairs import PairTable
from trainable.data.rules import listing
from trainable.errors import InputError
from trainable.findings import DataError

_CHUNK = 16  # images a task: few enough for a smooth progress bar, many enough that tasks cost nothing
_GREY = (128, 128, 128)  # what padding shows: near the mean that is subtracted, so that it excites least
_FITTED: Mapping[str, Callable[[Image.Image, tuple[int, int]], Image.Image]] = {
    "squash": lambda image, size: image.resize(size, Image.Resampling.BICUBIC),
    "crop": lambda image, size: ImageOps.fit(image, size, Image.Resampling.BICUBIC),
    "pad": lambda image, size: ImageOps.pad(image, size, Image.Resampling.BICUBIC, color=_GREY),
}
_PART = {
    "squash": "whole image to a square",
    "crop": "central square of the image",
    "pad": "whole image in a square, padded with grey 128",
}
FITS = tuple(_FITTED)
"""How an image that is no square becomes one."""
_MISSING, _UNREADABLE, _EMPTY = "missing", "not readable", "empty"
_NO_IMAGE, _DAMAGED, _TOO_LARGE = "not an image", "truncated or damaged", "too large"
_FORMATS = (  # what people have that Pillow does not read: where in the file, which bytes, and its name
    (4, b"ftyphei", "HEIC"), (4, b"ftyphev", "HEIC"), (4, b"ftypmif1", "HEIF"), (4, b"ftypcrx", "a raw photograph, CR3"),
    (4, b"ftyp", "a video, MP4 or MOV"), (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"), (0, b"\xff\x0a", "JPEG XL"),
    (0, b"v/1\x01", "OpenEXR"), (0, b"\x93NUMPY", "an array of NumPy"), (0, b"%PDF", "PDF"), (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML, perhaps SVG"), (0, b"II*\0", "a TIFF of a kind, or a raw photograph"),
    (0, b"MM\0*", "a TIFF of a kind, or a raw photograph"), (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a file packed by gzip"), (0, b"\x89HDF", "HDF5"),
)  # fmt: skip


def how(fit: str = "squash") -> str:
    """What pixels depend on besides the image: part of their fingerprint, and of what an export says."""
    return f"RGB, upright, alpha on white, {_PART[fit]}, bicubic with antialiasing, JPEG draft at twice the size"


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


class _BadImageError(Exception):
    """One image that cannot be used: of which kind, and what the decoder said."""

    def __init__(self, kind: str, detail: object = "") -> None:
        self.kind, self.detail = kind, str(detail).strip()
        super().__init__(kind)


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
) -> Images:
    """The table's images, decoded to squares of `image_size_px`, and a fingerprint of their content.

    Each image is decoded in full by one of `workers` threads (None: one for each core), turned upright as its EXIF says, and
    put on white where it is transparent. What is no square is squashed to one (`fit`: a crop could cut off what tells two
    things apart, and padding spends pixels on nothing), cropped about its centre, or padded. Images with more than 8 bits are
    looked at twice: all must be seen before the levels of black and white are known. `progress(done, total)` is called from
    this thread. into: (m, S, S, 3) uint8 to decode into, as a mapped file's; None: a new array. Raises one InputError that
    lists every image that cannot be used.
    """
    if image_size_px < 1:
        raise InputError(f"image_size_px is {image_size_px}; valid is a whole number from 1. Change --image-size-px.")
    if into is None:
        into = np.empty((len(table.images), image_size_px, image_size_px, 3), dtype=np.uint8)
    reading = _Reading(table, into, fit, workers, progress)
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

    def read(self, images: Iterable[int]) -> None:
        """Read these; those with more than 8 bits get their range only, as long as there is no scale for them."""
        which, bad = list(images), dict[int, _BadImageError]()
        chunks = [which[start : start + _CHUNK] for start in range(0, len(which), _CHUNK)]
        with _strict_pillow(), ThreadPoolExecutor(self._workers) as pool:
            try:
                for future in as_completed([pool.submit(self._read_some, chunk, bad) for chunk in chunks]):
                    self._done += future.result()
                    if self._progress is not None:
                        self._progress(self._done, len(self.digests))
            except BaseException:  # Ctrl-C too: do not decode the rest before it is heard
                pool.shutdown(cancel_futures=True)
                raise
        if bad:
            raise _complaint(self._table, bad)

    def _read_some(self, chunk: list[int], bad: dict[int, _BadImageError]) -> int:
        """How many of them are done, be it for bad."""
        done = 0
        for at in chunk:
            try:
                done += self._read_one(at)
            except _BadImageError as reason:
                bad[at] = reason
                done += 1
        return done

    def _read_one(self, at: int) -> bool:
        image = self._table.images[at]
        content = image if isinstance(image, bytes) else _read(image)
        self.digests[at] = hashlib.sha256(content).digest()
        with _opened(content, self._size_px) as (opened, is_cut_colour):
            kind = levels.kind_of(opened)
            if kind is not None and kind not in self.scales:
                self.ranges[at] = levels.range_of(opened)
                return False
            if is_cut_colour:
                self.colours[at] = int(np.asarray(opened.convert("RGB")).max())
            square = _FITTED[self._fit](_rgb(_upright(opened), self.scales), (self._size_px, self._size_px))
            self.pixels[at] = np.asarray(square)
        return True


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Warnings do not become errors here, and a truncated file stays an error whatever another library has set."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _complaint(table: PairTable, bad: dict[int, _BadImageError]) -> DataError:
    kinds = Counter(reason.kind for reason in bad.values())
    found = []
    for at in sorted(bad):
        detail = f" ({bad[at].detail})" if bad[at].detail else ""
        found.append(f"{table.image_names[at]}: {bad[at].kind}{detail}")
    return DataError(
        "readable images",
        f"{table.source}: {len(bad)} of {len(table.images)} images cannot be used: "
        f"{', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}:{listing(found)}",
        "Valid are complete images of a format that Pillow reads (JPEG, PNG, WebP, BMP, TIFF, …), of at most "
        f"{Image.MAX_IMAGE_PIXELS or 0:,} pixels. Restore these files, convert them to JPEG or PNG, or remove their rows.",
    )


@contextmanager
def _opened(content: bytes, size_px: int) -> Iterator[tuple[Image.Image, bool]]:
    """The image in an encoded file, loaded, and whether it is colour of which Pillow has cut the lower bytes off."""
    if not content:
        raise _BadImageError(_EMPTY)
    try:
        with Image.open(BytesIO(content), formats=_formats()) as opened:
            is_cut_colour = levels.is_cut_colour(opened)
            opened.draft(None, (2 * size_px, 2 * size_px))  # reads a much larger JPEG smaller, several times faster
            if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow lets through twice as many
                raise _BadImageError(_TOO_LARGE, f"{opened.width:,} × {opened.height:,} pixels")
            opened.load()
            yield opened, is_cut_colour
    except _BadImageError:
        raise
    except UnidentifiedImageError:
        raise _BadImageError(_NO_IMAGE, _format_of(content)) from None
    except Image.DecompressionBombError as error:
        raise _BadImageError(_TOO_LARGE, error) from error
    except MemoryError as error:
        raise _BadImageError(_TOO_LARGE, "out of memory") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others on damaged data
        raise _BadImageError(_DAMAGED, error) from error


def _format_of(content: bytes) -> str:
    """The format of a file that Pillow does not read, where its first bytes say it."""
    found = next((name for start, mark, name in _FORMATS if content[start:].startswith(mark)), None)
    return f"but {found}, which Pillow does not read" if found else ""


@cache
def _formats() -> list[str]:
    """All that Pillow reads by itself: for EPS it starts Ghostscript, which runs what is in the file."""
    Image.init()
    return [name for name in Image.ID if name not in ("EPS", "WMF")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _BadImageError(_MISSING) from None
    except OSError as error:
        raise _BadImageError(_UNREADABLE, error.strerror) from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF data that cannot be parsed says nothing about the orientation; the pixels are sound
        return image


def _rgb(image: Image.Image, scales: Mapping[str, Scale]) -> Image.Image:
    """The image in 8-bit RGB: transparent parts white, levels of more bits between the black and white of their scale."""
    kind = levels.kind_of(image)
    if kind is not None:
        image = levels.in_8_bits(image, scales[kind])
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
