"""One image: an encoded file decoded to a square of 8-bit RGB, or why it cannot be used."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from trainable.data import levels
from trainable.data.levels import Range, Scale

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


class BadImageError(Exception):
    """An image that cannot be used: of which kind, and what the decoder said."""

    def __init__(self, kind: str, detail: object = "") -> None:
        self.kind, self.detail = kind, str(detail).strip()
        super().__init__(kind)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What an encoded image holds."""

    digest: bytes
    """SHA-256 of the encoded image."""
    square: np.ndarray | None
    """(S, S, 3) uint8 RGB; None where it has more than 8 bits and the levels of black and white are not known."""
    range: Range | None = None
    """Then, what levels it holds."""
    colour: int | None = None
    """The largest upper byte, where it has 16 bits a channel."""


def decoded(image: Path | bytes, size_px: int, fit: str, scales: Mapping[str, Scale]) -> Decoded:
    """An encoded image, or one in a file, as a square of `size_px`; scales: as far as they are known. Raises BadImageError.

    To be called within `strict_pillow`.
    """
    content = image if isinstance(image, bytes) else _read(image)
    digest = hashlib.sha256(content).digest()
    with _opened(content, size_px) as (opened, is_cut_colour):
        kind = levels.kind_of(opened)
        if kind is not None and kind not in scales:
            return Decoded(digest, None, levels.range_of(opened))
        colour = int(np.asarray(opened.convert("RGB")).max()) if is_cut_colour else None
        square = _FITTED[fit](_rgb(_upright(opened), scales), (size_px, size_px))
        return Decoded(digest, np.asarray(square), colour=colour)


class Seen(NamedTuple):
    """A file as a process sees it: another that sees the same has the same image at this path."""

    path: Path
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Seen | None:
        """The file there, or None if it cannot be seen."""
        try:
            about = path.stat()
        except OSError:
            return None
        return cls(path, about.st_size, about.st_mtime_ns)

    @property
    def is_seen(self) -> bool:
        """Whether this process sees the same file."""
        return Seen.of(self.path) == self


def decoded_if_seen(
    images: Sequence[Seen | bytes | None], size_px: int, fit: str, scales: Mapping[str, Scale]
) -> list[Decoded | None]:
    """Each of the images, decoded; None for those that are not seen here, or cannot be used, for whatever reason."""
    return [_if_seen(image, size_px, fit, scales) for image in images]


def _if_seen(image: Seen | bytes | None, size_px: int, fit: str, scales: Mapping[str, Scale]) -> Decoded | None:
    if image is None or (isinstance(image, Seen) and not image.is_seen):
        return None
    with strict_pillow(), suppress(BadImageError):
        return decoded(image.path if isinstance(image, Seen) else image, size_px, fit, scales)
    return None


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Warnings do not become errors here, and a truncated file stays an error whatever another library has set."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


@contextmanager
def _opened(content: bytes, size_px: int) -> Iterator[tuple[Image.Image, bool]]:
    """The image in an encoded file, loaded, and whether it is colour of which Pillow has cut the lower bytes off."""
    if not content:
        raise BadImageError(_EMPTY)
    try:
        with Image.open(BytesIO(content), formats=_formats()) as opened:
            is_cut_colour = levels.is_cut_colour(opened)
            opened.draft(None, (2 * size_px, 2 * size_px))  # reads a much larger JPEG smaller, several times faster
            if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow lets through twice as many
                raise BadImageError(_TOO_LARGE, f"{opened.width:,} × {opened.height:,} pixels")
            opened.load()
            yield opened, is_cut_colour
    except BadImageError:
        raise
    except UnidentifiedImageError:
        raise BadImageError(_NO_IMAGE, _format_of(content)) from None
    except Image.DecompressionBombError as error:
        raise BadImageError(_TOO_LARGE, error) from error
    except MemoryError as error:
        raise BadImageError(_TOO_LARGE, "out of memory") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others on damaged data
        raise BadImageError(_DAMAGED, error) from error


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
        raise BadImageError(_MISSING) from None
    except OSError as error:
        raise BadImageError(_UNREADABLE, error.strerror) from error


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
