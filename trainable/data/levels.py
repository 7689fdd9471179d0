"""Images with more than 8 bits: which level is black and which is white, one answer for a whole set, from what its files hold.

A file says how many bits it stores, not how many of them are used: 12-bit cameras write 16-bit files, and floats go from 0 to
1, from -1 to 1 or to 65535. Told image by image, one bright pixel would change how a whole image is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainable.findings import DataError

WHOLE, FLOAT = "whole", "float"
"""Kinds of levels: Pillow's modes I and I;16, and F."""
Scale = tuple[float, float]
"""The levels of black and white."""
_TOPS = (1, 255, 1023, 4095, 16383, 65535)
"""White in files of 1, 8, 10, 12, 14 and 16 bits."""
_OVERSHOOT = 0.1
"""How far floats of 0 to 1 go beyond it where they were resized or compressed."""
_DARKEST_TOP = 64
"""Floats that end between 1 and here are of no known scale."""
_USED_OF_COLOUR = 63
"""Largest upper byte of 16-bit colour from which more than 6 of its 8 bits, all that Pillow keeps, would be lost."""


@dataclass(frozen=True)
class Range:
    """What one image of more than 8 bits holds."""

    kind: str
    low: float
    high: float
    lost: int = 0
    """Pixels that are NaN or infinite."""


def kind_of(image: Image.Image) -> str | None:
    """WHOLE or FLOAT for an image with more than 8 bits, None for others."""
    return WHOLE if image.mode.startswith("I") else FLOAT if image.mode == "F" else None


def range_of(image: Image.Image) -> Range:
    """Lowest and highest level of an image of WHOLE or FLOAT kind; NaN and infinite ones are counted, and no levels."""
    every = np.asarray(image, dtype=np.float64)
    levels = every[np.isfinite(every)]
    kind, lost = kind_of(image), every.size - levels.size
    assert kind is not None
    low, high = (float(levels.min()), float(levels.max())) if levels.size else (np.nan, np.nan)
    return Range(kind, low, high, lost)


def is_cut_colour(image: Image.Image) -> bool:
    """Whether this is colour of 16 bits a channel, of which Pillow keeps the upper byte. Before it is loaded."""
    return kind_of(image) is None and any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))


def in_8_bits(image: Image.Image, scale: Scale) -> Image.Image:
    """An image of WHOLE or FLOAT kind in levels of 0 to 255; the level that a file calls transparent is white."""
    low, high = scale
    levels = np.asarray(image, dtype=np.float64)  # Pillow's own conversion would clip every level above 255
    scaled = np.nan_to_num((levels - low) * (255 / (high - low)), posinf=255).round().clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[levels == transparent] = 255
    return Image.fromarray(scaled)


def scales_of(source: str, ranges: Mapping[str, Range]) -> dict[str, Scale]:
    """The scale of each kind that a set has. ranges: by image name. DataError, with the range found, for levels of no scale
    that is known, and for floats of two scales."""
    scales = {}
    _check_not_lost(source, ranges)
    for kind in (WHOLE, FLOAT):
        mine = {name: found for name, found in ranges.items() if found.kind == kind}
        if mine:
            low, high = min(found.low for found in mine.values()), max(found.high for found in mine.values())
            scale = _whole(low, high) if kind == WHOLE else _float(low, high)
            if scale is None:
                raise _no_scale(source, mine, low, high)
            if kind == FLOAT:
                _check_one_scale(source, mine, scale)
            scales[kind] = scale
    return scales


def _check_not_lost(source: str, ranges: Mapping[str, Range]) -> None:
    lost = [name for name, found in ranges.items() if np.isnan(found.high)]
    if lost:
        raise DataError(
            "levels",
            f"{source}: {len(lost)} of {len(ranges)} images of floats hold nothing but NaN or infinite levels "
            f"({', '.join(lost[:3])}{', …' if len(lost) > 3 else ''})",
            "Valid are images with finite levels. Save them again, or remove their rows.",
        )


def _whole(low: float, high: float) -> Scale | None:
    return next(((0.0, float(top)) for top in _TOPS if high <= top), None) if low >= 0 else None


def _float(low: float, high: float) -> Scale | None:
    if high <= 1 + _OVERSHOOT and low >= -1 - _OVERSHOOT:
        return (0.0, 1.0) if low >= -_OVERSHOOT else (-1.0, 1.0)
    tops = (top for top in _TOPS[1:] if high <= (1 + _OVERSHOOT / 2) * top and low >= -_OVERSHOOT * top / 2)
    return next(((0.0, float(top)) for top in tops if high >= _DARKEST_TOP), None)


def _check_one_scale(source: str, ranges: Mapping[str, Range], scale: Scale) -> None:
    other = [name for name, found in ranges.items() if 0 < found.high <= 1 + _OVERSHOOT]
    if scale[1] > 1 and other:
        raise DataError(
            "levels",
            f"{source}: of {len(ranges)} images of floats {len(other)} end at 1 ({', '.join(other[:3])}"
            f"{', …' if len(other) > 3 else ''}), the others at up to {max(found.high for found in ranges.values()):g}",
            "Valid is one scale for all. Save them alike, as 8-bit images for example.",
        )


def _no_scale(source: str, ranges: Mapping[str, Range], low: float, high: float) -> DataError:
    kind = "whole numbers" if next(iter(ranges.values())).kind == WHOLE else "floats"
    widest = max(ranges, key=lambda name: max(ranges[name].high, -ranges[name].low))
    tops = ", ".join(map(str, _TOPS[1:]))
    valid = f"0 to one of {tops}" if kind == "whole numbers" else f"0 to 1, -1 to 1, or 0 to one of {tops}"
    return DataError(
        "levels",
        f"{source}: {len(ranges)} images hold {kind} from {low:g} to {high:g} ({widest} the widest), and which level is black "
        "and which is white cannot be told",
        f"Valid are levels from {valid}. Save the images so, as 8-bit images for example.",
    )


def check_colour(source: str, highest: Mapping[str, int]) -> None:
    """DataError if colour of 16 bits uses so few of them that the upper byte, all that Pillow keeps, is nearly black.

    highest: by image name, the largest upper byte.
    """
    if highest and max(highest.values()) <= _USED_OF_COLOUR:
        bits = 8 + max(highest.values()).bit_length()
        raise DataError(
            "levels",
            f"{source}: {len(highest)} colour images of 16 bits a channel hold levels of {bits} bits, 0 to "
            f"{256 * max(highest.values()) + 255} of 65535, and Pillow keeps the upper 8 of 16 only ({next(iter(highest))})",
            "Valid is colour that uses all bits. Save the images with 8 bits a channel.",
        )


def note(scales: Mapping[str, Scale], ranges: Mapping[str, Range]) -> str:
    """What was decided, to be said once; empty where every image has 8 bits."""
    parts = []
    for kind, (low, high) in scales.items():
        mine = [found for found in ranges.values() if found.kind == kind]
        least, most = min(found.low for found in mine), max(found.high for found in mine)
        what = "whole numbers" if kind == WHOLE else "floats"
        parts.append(
            f"{len(mine)} images with more than 8 bits hold {what} from {least:g} to {most:g}: {low:g} is black and {high:g} "
            "is white, for all of them"
        )
    lost = [found.lost for found in ranges.values() if found.lost]
    if lost:
        pixels = "1 pixel" if sum(lost) == 1 else f"{sum(lost)} pixels"
        parts.append(
            f"{pixels} in {len(lost)} of them are NaN or infinite: NaN and minus infinity are read as black, infinity as white"
        )
    return "; ".join(parts)


def as_before(scales: Mapping[str, Scale], ranges: Mapping[str, Range]) -> bool:
    """Whether each image is read as it was when the scale was decided image by image, so that fingerprints stay."""
    if scales.get(WHOLE, (0.0, 65535.0)) != (0.0, 65535.0):
        return False
    floats = [found for found in ranges.values() if found.kind == FLOAT]
    return all(scales[FLOAT] == ((0.0, 1.0) if found.high <= 1 else (0.0, 255.0)) for found in floats)
