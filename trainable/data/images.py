"""Images of a pair table decoded to one array of pixels: every file is read once, and none is ever replaced."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from trainable.data.pairs import PairTable
from trainable.data.rules import listing
from trainable.errors import InputError
from trainable.findings import DataError

_CHUNK = 16  # images a task: few enough for a smooth progress bar, many enough that tasks cost nothing
HOW = "RGB, upright, alpha on white, whole image to a square, bicubic with antialiasing, JPEG draft at twice the size"
"""What pixels depend on besides the image: part of their fingerprint."""
_MISSING, _UNREADABLE, _EMPTY = "missing", "not readable", "empty"
_NO_IMAGE, _DAMAGED, _TOO_LARGE = "not an image", "truncated or damaged", "too large"


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
    """(m, S, S, 3) uint8 RGB pixels of the table's images, S = `image_size_px`, and a fingerprint of their content.

    Each image is decoded in full by one of `workers` threads (None: one for each core), turned upright as its EXIF
    says, put on white where it is transparent, and squashed to a square: a crop could cut off what tells two things
    apart, and padding would spend pixels on nothing. `progress(done, total)` is called from this thread. Raises one
    InputError that lists every image that cannot be used.
    """
    if image_size_px < 1:
        raise InputError(f"image_size_px is {image_size_px}; valid is a whole number from 1. Change --image-size-px.")
    total = len(table.images)
    pixels = np.empty((total, image_size_px, image_size_px, 3), dtype=np.uint8)
    digests: list[bytes] = [b""] * total
    bad: dict[int, _BadImageError] = {}

    def work(chunk: range) -> int:
        for at in chunk:
            try:
                pixels[at], digests[at] = _decode_one(table.images[at], image_size_px)
            except _BadImageError as reason:
                bad[at] = reason
        return len(chunk)

    chunks = [range(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]
    with _strict_pillow(), ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            done = 0
            for future in as_completed([pool.submit(work, chunk) for chunk in chunks]):
                done += future.result()
                if progress is not None:
                    progress(done, total)
        except BaseException:  # Ctrl-C too: do not decode the rest before it is heard
            pool.shutdown(cancel_futures=True)
            raise
    if bad:
        raise _complaint(table, bad)
    head = f"{image_size_px} px; {HOW}; ".encode()
    return pixels, hashlib.sha256(head + b"".join(digests)).hexdigest()


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
        f"{Image.MAX_IMAGE_PIXELS or 0:,} pixels. Restore these files, or remove their rows.",
    )


def _decode_one(image: Path | bytes, size_px: int) -> tuple[np.ndarray, bytes]:
    """(S, S, 3) pixels and the SHA-256 of the encoded image."""
    content = image if isinstance(image, bytes) else _read(image)
    if not content:
        raise _BadImageError(_EMPTY)
    try:
        with Image.open(BytesIO(content), formats=_formats()) as opened:
            opened.draft(None, (2 * size_px, 2 * size_px))  # reads a much larger JPEG smaller, several times faster
            if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow lets through twice as many
                raise _BadImageError(_TOO_LARGE, f"{opened.width:,} × {opened.height:,} pixels")
            opened.load()
            square = _rgb(_upright(opened)).resize((size_px, size_px), Image.Resampling.BICUBIC)
    except _BadImageError:
        raise
    except UnidentifiedImageError:
        raise _BadImageError(_NO_IMAGE) from None
    except Image.DecompressionBombError as error:
        raise _BadImageError(_TOO_LARGE, error) from error
    except MemoryError as error:
        raise _BadImageError(_TOO_LARGE, "out of memory") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others on damaged data
        raise _BadImageError(_DAMAGED, error) from error
    return np.asarray(square), hashlib.sha256(content).digest()


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


def _rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB: transparent parts white, 16-bit levels scaled, floats taken as 0 to 1 or 0 to 255."""
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image, dtype=np.float64)  # Pillow's own conversion would clip every level above 255
        scale = 1 / 257 if image.mode.startswith("I") else 255.0 if np.nanmax(levels) <= 1 else 1.0
        image = Image.fromarray(np.nan_to_num(levels * scale).round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
