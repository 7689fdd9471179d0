"""Images that show the same: exact copies by their pixels, look-alikes by a perceptual hash and a second look, and among
those near copies by a third.

Look-alikes may be two cups of one kind, or two views of one thing a few degrees apart. Near copies are what no two things can
be: one photograph that was saved again, scaled or slightly retouched. They agree in the finest detail that is left, edges
and grain, and nowhere in the picture does a patch differ by more than saving explains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from scipy.fft import dctn
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from trainable.mapped import will_need

HASH_BITS = 64
NEAR_BITS = 8
"""Bits in which the hashes of look-alikes may differ; unrelated images differ in about 32."""
NEAR_LEVELS = 6.0
"""Mean difference of look-alikes, in levels of 0 to 255, when both are 16 × 16 thumbnails."""
NEAR_CORRELATION = 0.98
"""Least correlation of their thumbnails: a small thing on a wide plain ground differs in few levels from any other."""
COPY_DETAIL = 0.9
"""Least correlation of near copies in their detail: what is left of an image of 64 px less its means over 4 × 4 pixels."""
COPY_LEVELS = 12.0
"""Largest difference of near copies in any cell of their thumbnails, in levels, once brightness and contrast are alike."""
BLANK_LEVELS = 2.0
"""Standard deviation of every colour's levels in a thumbnail below which an image shows nothing."""

_THUMB, _GRID, _WAVES = 16, 32, 8
_DETAIL, _COARSE = 64, 4
_CHUNK = 256
_PAIRS = 2048  # of images of which some have 8 look-alikes or more each
_MOST = 8  # pairs for each image, from which a band of hashes is not looked through any further
_NEIGHBOURS = 64  # hashes compared within a band's group, so that many look-alikes do not cost their square


def looked_at(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is compared of images (m, S, S, 3) uint8, which are read once, as they may lie on a disk.

    (m,) group of each: the number of the first one that has the same pixels; its thumbnail (m, 768), as `thumbnails`; its
    perceptual hash (m,) uint64.
    """
    first: dict[bytes, int] = {}
    groups, codes = np.empty(len(pixels), dtype=np.int64), np.empty(len(pixels), dtype=np.uint64)
    thumbs = np.empty((len(pixels), 3 * _THUMB**2), dtype=np.float32)  # at once: parts and their sum would be twice this
    for start in range(0, len(pixels), _CHUNK):
        some, part = slice(start, start + _CHUNK), pixels[start : start + _CHUNK]
        groups[some] = [first.setdefault(_digest(image), at) for at, image in enumerate(part, start)]
        thumbs[some] = _shrunk(part, _THUMB).reshape(len(part), -1)
        codes[some] = _hashes(part)
    return groups, thumbs, codes


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """(m, 768) float32: each image (m, S, S, 3) averaged to 16 × 16 in colour."""
    return np.concatenate([_shrunk(part, _THUMB).reshape(len(part), -1) for part in _chunks(pixels)])


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def blank(thumbs: np.ndarray) -> np.ndarray:
    """(m,) whether each thumbnail (m, 768) is of one colour."""
    return np.concatenate([_colours(part).std(axis=1).max(axis=1) < BLANK_LEVELS for part in _chunks(thumbs)])


def light_and_contrast(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m,) mean level of each thumbnail (m, 768), and the standard deviation of its levels, mean over colours."""
    light = np.concatenate([_colours(part).mean(axis=(1, 2)) for part in _chunks(thumbs)])
    return light, np.concatenate([_colours(part).std(axis=1).mean(axis=1) for part in _chunks(thumbs)])


def variety(thumbs: np.ndarray) -> float:
    """Mean distance of the thumbnails (m, 768) from their mean, in levels."""
    mean = thumbs.mean(axis=0)
    return float(sum(np.abs(part - mean).sum(dtype=np.float64) for part in _chunks(thumbs)) / thumbs.size)


def _colours(thumbs: np.ndarray) -> np.ndarray:
    return thumbs.reshape(len(thumbs), _THUMB**2, 3)


def _hashes(pixels: np.ndarray) -> np.ndarray:
    """(m,) uint64 perceptual hashes of images (m, S, S, 3): signs of their 64 lowest frequencies about the median."""
    grey = _shrunk(pixels, _GRID) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    waves = dctn(grey, axes=(1, 2))[:, : _WAVES + 1, : _WAVES + 1].reshape(len(pixels), -1)[:, 1 : HASH_BITS + 1]
    bits = waves > np.median(waves, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def look_alikes(thumbs: np.ndarray, codes: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
    """(p, 2) image numbers, the smaller first, of look-alikes among images that all differ.

    thumbs, codes: (m, 768) and (m,) as `looked_at` finds them; which: numbers of the images that are compared, in ascending
    order; None: all. Blank images are left out: they are all alike. Where images have many look-alikes each, not all pairs
    are found: see `_close`.
    """
    which = np.arange(len(codes)) if which is None else which
    seen = which[~blank(thumbs)[which]]
    pairs = seen[_close(codes[seen])] if len(seen) > 1 else np.empty((0, 2), dtype=np.int64)
    return np.concatenate([part[_alike(thumbs, part)] for part in _chunks(pairs)])


def near_copies(pixels: np.ndarray, thumbs: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(p,) whether each of the look-alikes (p, 2) among images (m, S, S, 3) is one photograph twice. thumbs: as there."""
    found = np.zeros(len(pairs), dtype=bool)
    for numbers in _together(pairs):
        part = pairs[numbers]
        images, place = np.unique(part, return_inverse=True)
        will_need(pixels, images)
        detail = np.concatenate([_detail(pixels[some]) for some in _chunks(images)])
        first, second = place.reshape(part.shape).T
        patches = _largest_difference(thumbs[part[:, 0]], thumbs[part[:, 1]])
        found[numbers] = (_correlation(detail[first], detail[second]) >= COPY_DETAIL) & (patches <= COPY_LEVELS)
    return found


def _together(pairs: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of pairs (p, 2), some at a time, those of one cluster of look-alikes after each other: an image with many is then
    read once or twice, wherever it lies, and not once for each."""
    if not len(pairs):
        return
    images, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(pairs.shape).T
    joined = coo_matrix((np.ones(len(pairs), dtype=bool), (first, second)), shape=(len(images),) * 2)
    cluster = connected_components(joined, directed=False)[1]
    order = np.lexsort((second, first, cluster[first]))
    for start in range(0, len(order), _PAIRS):
        yield order[start : start + _PAIRS]


def _detail(pixels: np.ndarray) -> np.ndarray:
    """(p, d) what is finer than 4 × 4 pixels in images (p, S, S, 3), in grey, of 64 px or what they have."""
    size = max(_THUMB, min(_DETAIL, pixels.shape[1]) // _COARSE * _COARSE)
    grey, cells = _shrunk(pixels, size).mean(axis=3), size // _COARSE
    blocks = grey.reshape(len(grey), cells, _COARSE, cells, _COARSE)
    return np.asarray(blocks - blocks.mean(axis=(2, 4), keepdims=True)).reshape(len(grey), size * size)


def _largest_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(p,) largest difference of thumbnails (p, d) once the second has the first's brightness and contrast."""
    a, b = (rows - rows.mean(axis=1, keepdims=True) for rows in (first, second))
    gain = (a * b).sum(axis=1, keepdims=True) / np.maximum((b * b).sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.abs(a - gain * b).max(axis=1))


def _alike(thumbs: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(p,) whether the second look at pairs (p, 2) of thumbnails finds them alike too."""
    first, second = thumbs[pairs[:, 0]], thumbs[pairs[:, 1]]
    near = np.abs(first - second).mean(axis=1) <= NEAR_LEVELS
    return np.asarray(near & (_correlation(first, second) >= NEAR_CORRELATION))


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows at a time, so that memory does not grow with them; once where there is none."""
    return (rows[start : start + _CHUNK] for start in range(0, max(1, len(rows)), _CHUNK))


def _shrunk(pixels: np.ndarray, size: int) -> np.ndarray:
    """(m, size, size, 3) float32 means over areas of images (m, S, S, 3)."""
    count, side = pixels.shape[:2]
    areas = _areas(side, size)
    flat = areas @ pixels.reshape(count, side, 3 * side).astype(np.float32)  # (m, size, 3 S): their height first
    return np.asarray(areas @ flat.reshape(count * size, side, 3)).reshape(count, size, size, 3)


def _areas(source: int, size: int) -> np.ndarray:
    """(size, source) shares of each of `source` pixels in each of `size` equal stretches of them."""
    edges = np.linspace(0, source, size + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)
    shared = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return np.asarray(shared / shared.sum(axis=1, keepdims=True), dtype=np.float32)


def _close(codes: np.ndarray) -> np.ndarray:
    """(p, 2) positions, the smaller first, of hashes (m,) that differ in NEAR_BITS bits at most.

    Of the NEAR_BITS + 1 bands that a hash is cut into, two such hashes share at least one; only within a band's group
    are hashes compared, each with its next _NEIGHBOURS in the order of the bits that follow the band. A band that has
    _MOST pairs for each hash is left at that: in a large cluster of look-alikes the pairs would fill the memory.
    """
    count, found = np.int64(len(codes)), np.empty(0, dtype=np.int64)  # a pair as first · m + second
    for band in np.array_split(np.arange(HASH_BITS, dtype=np.uint64), NEAR_BITS + 1):
        above = np.uint64(HASH_BITS) - band[-1] - np.uint64(1)
        turned = (codes << above) | (codes >> ((band[-1] + np.uint64(1)) % np.uint64(HASH_BITS)))
        order, key = np.argsort(turned, kind="stable"), turned >> np.uint64(HASH_BITS - len(band))
        packed, pairs = [found], 0
        for offset in range(1, min(_NEIGHBOURS, len(codes) - 1) + 1):
            first, second = order[:-offset], order[offset:]
            grouped = key[first] == key[second]
            if not grouped.any() or pairs >= _MOST * len(codes):
                break
            first, second = first[grouped], second[grouped]
            close = np.bitwise_count(codes[first] ^ codes[second]) <= NEAR_BITS
            first, second = first[close], second[close]
            packed.append(np.minimum(first, second) * count + np.maximum(first, second))
            pairs += len(first)
        found = np.unique(np.concatenate(packed))
    return np.stack(np.divmod(found, max(count, np.int64(1))), axis=1)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(p,) correlation of rows (p, d) with rows (p, d)."""
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in (first, second))
    length = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / np.maximum(length, 1e-9))
