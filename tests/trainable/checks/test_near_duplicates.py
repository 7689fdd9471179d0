"""Copies of images are found, whatever they were saved as; different things that look alike are not."""

from __future__ import annotations

import itertools
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from trainable.checks import near_duplicates
from trainable.checks.near_duplicates import look_alikes, looked_at, near_copies, thumbnails

SHARED = Path(__file__).parents[4] / "shared" / "data"


def scenes(count: int, size_px: int = 64, seed: int = 0) -> np.ndarray:
    """(count, S, S, 3): smooth random pictures, all different."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(c).resize((size_px, size_px), Image.Resampling.BICUBIC)) for c in coarse]
    )


def saved_again(image: np.ndarray) -> np.ndarray:
    """As a small JPEG, slightly brighter, scaled back."""
    small = ImageEnhance.Brightness(Image.fromarray(image).resize((48, 48))).enhance(1.02)
    buffer = BytesIO()
    small.save(buffer, "jpeg", quality=60)
    return np.asarray(Image.open(buffer).resize(image.shape[:2]))


def test_the_same_pixels_are_of_one_group():
    """Every image belongs to the first one with the same pixels."""
    pixels = scenes(3)[[0, 1, 0, 2, 1]]
    assert looked_at(pixels)[0].tolist() == [0, 1, 0, 3, 1]


def test_what_was_saved_again_looks_alike_and_nothing_else():
    """A JPEG of lower size and quality is found; unrelated pictures, and blank ones, are not."""
    pixels = np.concatenate(
        [scenes(40), [saved_again(image) for image in scenes(40)[:10]], np.zeros((2, 64, 64, 3), "u1")]
    )
    assert look_alikes(*looked_at(pixels)[1:]).tolist() == [[i, 40 + i] for i in range(10)]


def grained(count: int, grain_seed: int = 1) -> np.ndarray:
    """The scenes with detail of their own, as photographs have."""
    grain = np.random.default_rng(grain_seed).integers(-30, 31, (count, 32, 32, 1)).repeat(2, axis=1).repeat(2, axis=2)
    return (scenes(count) // 2 + 64 + grain).astype(np.uint8)


def resaved(image: np.ndarray, quality: int) -> np.ndarray:
    """Brighter, as a JPEG of the same size."""
    buffer = BytesIO()
    ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.04).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer))


def is_near_copy(first: np.ndarray, second: np.ndarray) -> bool:
    both = np.stack([first, second])
    return bool(near_copies(both, thumbnails(both), np.array([[0, 1]]))[0])


def test_a_photograph_saved_again_is_a_near_copy():
    """In another quality and brightness."""
    assert all(is_near_copy(image, resaved(image, quality)) for image in grained(8) for quality in (80, 90, 95))


def test_what_two_things_can_be_is_no_near_copy():
    """The same shape and colours with other detail, as two photographs; the same picture with another label."""
    for first, second in zip(grained(8), grained(8, grain_seed=5), strict=True):
        assert not is_near_copy(first, second)
    for image in grained(8):
        labelled = image.copy()
        labelled[28:36, 28:36] = 255 - labelled[28:36, 28:36]
        assert not is_near_copy(image, labelled)


@pytest.mark.parametrize("count", [0, 1])
def test_near_copies_of_hardly_any_image(count):
    """There is nothing to compare."""
    assert look_alikes(*looked_at(scenes(2)[:count])[1:]).shape == (0, 2)


def test_close_hashes_are_those_that_a_comparison_of_all_with_all_finds():
    """The bands lose none: the slow way beside the fast one."""
    random = np.random.default_rng(1)
    codes = random.integers(0, 2**63, 200, dtype=np.uint64)
    for at in range(0, 200, 4):  # relatives, in up to 12 bits
        flips = random.choice(63, size=at % 13, replace=False)
        codes[at] = codes[at + 1] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    slow = [
        [i, j]
        for i, j in itertools.combinations(range(200), 2)
        if int(codes[i] ^ codes[j]).bit_count() <= near_duplicates.NEAR_BITS
    ]
    assert len(slow) > 20
    assert near_duplicates._close(codes).tolist() == slow


@pytest.mark.parametrize("size_px", [16, 50, 64])
def test_thumbnails_are_means_over_areas(size_px):
    """Of any size: the mean colour of a thumbnail is that of the image."""
    pixels = scenes(2, size_px)
    thumbs = thumbnails(pixels).reshape(2, 16, 16, 3)
    np.testing.assert_allclose(thumbs.mean(axis=(1, 2)), pixels.mean(axis=(1, 2)), rtol=1e-5)
    if size_px % 16 == 0:
        blocks = pixels.reshape(2, 16, size_px // 16, 16, size_px // 16, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(thumbs, blocks, rtol=1e-5)


@pytest.mark.parametrize("name", ["coil100", "vehicle_reid"])
def test_real_sets_hold_no_near_copies_of_different_things(name):
    """Cars of one model, and boxes of one shape, are not taken for copies of each other."""
    if not (SHARED / name).is_dir():
        pytest.skip("the shared data sets are not here")
    from trainable.data.images import decode
    from trainable.data.read_pairs import read_pairs

    table = read_pairs(SHARED / name / "pairs.csv")
    pixels, _ = decode(table, 64)
    identity = np.empty(len(pixels), dtype=np.int64)
    identity[table.front], identity[table.angle] = table.front_identity, table.angle_identity
    _, thumbs, codes = looked_at(pixels)
    alike = look_alikes(thumbs, codes)
    assert (identity[alike[:, 0]] == identity[alike[:, 1]]).all()
    copied = near_copies(pixels, thumbs, alike)
    assert copied.sum() <= 0.1 * max(1, len(alike))  # a turntable's neighbours, of things that look the same all round


def test_many_look_alikes_are_each_judged_as_two_alone(monkeypatch):
    """However pairs are put together: clusters, an image in many pairs, more pairs than are looked at at once."""
    pixels = np.concatenate([grained(12), [resaved(image, quality) for quality in (60, 90) for image in grained(12)]])
    pairs = np.array([pair for pair in itertools.combinations(range(36), 2) if (pair[0] + pair[1]) % 4 == 0])
    thumbs = thumbnails(pixels)
    monkeypatch.setattr(near_duplicates, "_PAIRS", 7)
    found = near_copies(pixels, thumbs, pairs)
    assert found.tolist() == [bool(near_copies(pixels, thumbs, pair[None])[0]) for pair in pairs]
    assert 0 < found.sum() < len(pairs)


def test_what_is_told_of_thumbnails_is_the_same_some_at_a_time():
    """Light, contrast, variety and blankness of 300 thumbnails as all at once have them, more than are looked at together."""
    thumbs = np.random.default_rng(0).uniform(0, 255, (300, 768)).astype(np.float32)
    thumbs[[3, 299]] = 7
    colours = thumbs.reshape(300, -1, 3)
    light, contrast = near_duplicates.light_and_contrast(thumbs)
    np.testing.assert_array_equal(light, colours.mean(axis=(1, 2)))
    np.testing.assert_array_equal(contrast, colours.std(axis=1).mean(axis=1))
    assert near_duplicates.variety(thumbs) == pytest.approx(np.abs(thumbs - thumbs.mean(axis=0)).mean(), rel=1e-5)
    assert near_duplicates.blank(thumbs).nonzero()[0].tolist() == [3, 299]


def test_memory_of_the_checks_is_that_of_their_thumbnails():
    """Whatever the number of images: nothing else is held for all of them at once."""
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 16, 16, 3), dtype=np.uint8)
    tracemalloc.start()
    try:
        groups, thumbs, codes = looked_at(pixels)
        near_duplicates.variety(thumbs), near_duplicates.light_and_contrast(thumbs), near_duplicates.blank(thumbs)
        look_alikes(thumbs, codes, np.unique(groups))
        assert tracemalloc.get_traced_memory()[1] < 1.5 * thumbs.nbytes
    finally:
        tracemalloc.stop()
