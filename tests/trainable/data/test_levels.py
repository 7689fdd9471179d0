"""Images with more than 8 bits: one scale for a set, from what its files hold; or a refusal that names the range."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.trainable.data.test_images import encoded, table_of
from tests.trainable.data.test_read_pairs import SHARED
from trainable.data import levels
from trainable.data.images import Images, read_images
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError

CASES = SHARED.parent / "cases" / "images_12bit"


def grey(values: np.ndarray, kind: str = "tiff", **options) -> bytes:
    """An encoded grey image of these levels."""
    return encoded(Image.fromarray(values), kind, **options)


def ramp(top: float, dtype: type, low: float = 0) -> np.ndarray:
    """(4, 4) levels from low to top, in 16 equal steps."""
    return np.linspace(low, top, 16).reshape(4, 4).astype(dtype)


def read(*images: bytes) -> Images:
    return read_images(table_of(list(images)), 4)


def refusal(*images: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(*images)
    return str(caught.value)


EIGHT_BITS = np.linspace(0, 255, 16).reshape(4, 4)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
def test_whole_numbers_fill_the_bits_that_they_use(top, kind):
    """8, 10, 12, 14 or 16 bits in 16-bit files: black to white, and no image nearly black."""
    found = read(grey(ramp(top, np.uint16), kind))
    assert np.abs(found.pixels[0, :, :, 0] - EIGHT_BITS).max() <= 1
    assert found.scales == {"whole": (0.0, float(top))} and f"from 0 to {top}" in found.note


@pytest.mark.parametrize(
    ("low", "top"), [(0, 1), (0, 1.004), (-0.05, 1.05), (-1, 1), (0, 255), (0, 4095), (0, 65535), (0, 66000)]
)
def test_floats_of_every_usual_scale(low, top):
    """0 to 1, with what resizing adds beyond; -1 to 1; 0 to 255; to 65535."""
    found = read(grey(ramp(top, np.float32, low)))
    assert np.abs(found.pixels[0, :, :, 0] - EIGHT_BITS).max() <= 14, found.note
    assert f"from {low:g} to {top:g}" in found.note


def test_int32_files():
    """As 16-bit ones."""
    assert np.abs(read(grey(ramp(4095, np.int32))).pixels[0, :, :, 0] - EIGHT_BITS).max() <= 1


def test_one_bright_pixel_changes_no_image():
    """A float of 1.004 made its image black when the scale was decided image by image."""
    plain, bright = ramp(0.9, np.float32), ramp(0.9, np.float32)
    bright[3, 3] = 1.004
    first, second = read(grey(plain), grey(bright)).pixels
    assert (first[:3] == second[:3]).all()


def test_the_scale_is_the_whole_sets():
    """A dark image among bright ones stays dark; alone it would fill the scale."""
    dark, bright = grey(ramp(200, np.uint16), "png"), grey(ramp(4000, np.uint16), "png")
    found = read(dark, bright)
    assert found.pixels[0].max() == 12 and found.scales == {"whole": (0.0, 4095.0)}
    assert read(dark).pixels[0].max() == 200


def test_eight_bit_images_beside_them_stay_as_they_are():
    """Each kind of levels has its own scale, and 8 bits need none."""
    eight = encoded(Image.fromarray(EIGHT_BITS.astype(np.uint8)))
    found = read(eight, grey(ramp(4095, np.uint16), "png"), grey(ramp(1, np.float32)))
    assert (found.pixels[0] == read(eight).pixels[0]).all() and read(eight).note == ""
    assert found.scales == {"whole": (0.0, 4095.0), "float": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (ramp(2.6, np.float32, -2.1), "floats from -2.1 to 2.6"),
        (ramp(10, np.float32), "floats from 0 to 10"),
        (ramp(1e6, np.float32), "floats from 0 to 1e+06"),
        (ramp(1_000_000, np.int32), "whole numbers from 0 to 1e+06"),
        (ramp(100, np.int32, -100), "whole numbers from -100 to 100"),
    ],
)
def test_levels_of_no_known_scale_are_refused_with_their_range(values, said):
    """Guessing would make one picture of many."""
    message = refusal(grey(values), grey(ramp(0.5, values.dtype.type)))
    assert said in message and "bytes 0 the widest" in message and "Save the images" in message


def test_floats_of_two_scales_are_refused():
    """Some to 1, some to 255: half of them would be black."""
    assert "of 2 images of floats 1 end at 1 (bytes 0)" in refusal(
        grey(ramp(1, np.float32)), grey(ramp(255, np.float32))
    )
    assert read(grey(np.zeros((4, 4), np.float32)), grey(ramp(255, np.float32))).pixels[0].max() == 0


def test_the_transparent_level_of_a_16_bit_png_is_white():
    """As it is in images of 8 bits."""
    values = np.array([[0, 1000], [65535, 1000]], np.uint16)
    pixels = read_images(table_of([grey(values, "png", transparency=1000)]), 2).pixels[0, :, :, 0]
    assert pixels.tolist() == [[0, 255], [255, 255]]


def test_colour_of_16_bits_that_uses_few_of_them_is_refused():
    """Pillow keeps the upper byte: of 12 bits four would be left. Colour that uses its bits is read."""

    def colour(top: int) -> bytes:
        return _png_of_16_bits(np.repeat(ramp(top, np.uint16)[:, :, None], 3, axis=2))

    message = refusal(colour(4095), colour(3000))
    assert "2 colour images of 16 bits a channel hold levels of 12 bits, 0 to 4095 of 65535" in message
    assert read(colour(65535)).pixels.max() == 255


def _png_of_16_bits(values: np.ndarray) -> bytes:
    """A colour PNG (h, w, 3) uint16, which Pillow cannot write."""
    import struct
    import zlib

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_fingerprints_of_before_stay():
    """Where the decision for the set is the one that was made for each image; else they differ, as the pixels do."""
    eight = encoded(Image.fromarray(EIGHT_BITS.astype(np.uint8)))
    usual = [eight, grey(ramp(65535, np.uint16), "png"), grey(ramp(1, np.float32))]
    ranges = {"a": levels.Range("whole", 0, 65535), "b": levels.Range("float", 0, 1)}
    assert levels.as_before(levels.scales_of("set", ranges), ranges) and levels.as_before({}, {})
    assert read(*usual).fingerprint == read(*usual).fingerprint != read(eight, *usual[1:2]).fingerprint
    twelve = {"a": levels.Range("whole", 0, 4095)}
    assert not levels.as_before(levels.scales_of("set", twelve), twelve)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), min_size=1, max_size=5))
def test_no_level_is_ever_clipped(ends):
    """Whatever whole numbers a set holds, its lowest is at or above black and its highest at or below white."""
    ranges = {str(at): levels.Range("whole", min(pair), max(pair)) for at, pair in enumerate(ends)}
    low, high = levels.scales_of("set", ranges)["whole"]
    assert low <= min(r.low for r in ranges.values()) and high >= max(r.high for r in ranges.values())


def test_the_shared_case():
    """12 bits in 16-bit PNGs: the set fills the scale, and its note says what was taken for white."""
    if not CASES.is_dir():
        pytest.skip("the shared cases are not here")
    found = read_images(read_pairs(CASES / "pairs.csv"), 32)
    assert found.scales == {"whole": (0.0, 4095.0)} and "from 0 to 4080" in found.note
    assert found.pixels.max() > 200 and len(np.unique(found.pixels)) > 200
    with Image.open(BytesIO((CASES / "000_f.png").read_bytes())) as image:
        exact = np.asarray(image, dtype=float).mean() * 255 / 4095
    assert abs(found.pixels[0].mean() - exact) < 2


def test_pixels_that_are_no_numbers_are_told_and_an_image_of_nothing_else_is_refused():
    """NaN and minus infinity are black, infinity is white, beside levels that are read as if they were not there."""
    levels_ = ramp(1, np.float32)
    levels_[0] = [np.nan, np.inf, -np.inf, 1]
    found = read(grey(levels_))
    assert found.pixels[0, 0, :, 0].tolist() == [0, 255, 0, 255] and found.pixels[0, 3, 3, 0] == 255
    assert "3 pixels in 1 of them are NaN or infinite" in found.note
    assert "nothing but NaN" in refusal(grey(ramp(1, np.float32)), grey(np.full((4, 4), np.nan, np.float32)))
