"""Decoding: every image in full, upright, in 8-bit RGB and whole; and no image that is not what its file says."""

from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from trainable.data.decoder import FITS
from trainable.data.images import decode, read_images
from trainable.data.pairs import PairTable
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError

SHARED = Path(__file__).parents[4] / "shared" / "data"
RAMP = np.linspace(0, 255, 32 * 48 * 3).reshape(32, 48, 3).astype(np.uint8)


def table_of(images: list[Path | bytes]) -> PairTable:
    """A table of these images; decoding looks at nothing else."""
    nothing = np.zeros(0, np.int64)
    names = tuple(image.name if isinstance(image, Path) else f"bytes {at}" for at, image in enumerate(images))
    return PairTable("table.csv", tuple(images), names, *[nothing] * 5, (), nothing)


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one(content: bytes, size_px: int = 8) -> np.ndarray:
    """(S, S, 3) pixels of one encoded image."""
    return decode(table_of([content]), size_px)[0][0]


def refusal(images: list[Path | bytes]) -> str:
    with pytest.raises(InputError) as caught:
        decode(table_of(images), 8)
    return str(caught.value)


def test_files_and_bytes_are_squashed_to_squares(tmp_path):
    """The whole image is resized with antialiasing; a file and its bytes give the same pixels."""
    image = Image.fromarray(RAMP)
    image.save(tmp_path / "ramp.png")
    pixels, _ = decode(table_of([tmp_path / "ramp.png", encoded(image)]), 16)
    assert pixels.shape == (2, 16, 16, 3) and pixels.dtype == np.uint8
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] == np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))).all()


def test_large_photographs_lose_nothing_by_being_read_smaller():
    """A JPEG many times larger than asked for comes out as its full decoding, resized, would, to a few levels."""
    photograph = Image.fromarray(RAMP).resize((960, 640), Image.Resampling.BICUBIC)
    content = encoded(photograph, "jpeg", quality=95)
    full = Image.open(BytesIO(content)).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.abs(one(content, 16).astype(int) - np.asarray(full)).max() <= 4


def test_fingerprint_depends_on_content_size_and_order(tmp_path):
    """Equal images have equal fingerprints wherever they lie; another size, order or byte another one."""
    one_image, other = encoded(Image.fromarray(RAMP)), encoded(Image.fromarray(255 - RAMP))
    (tmp_path / "ramp.png").write_bytes(one_image)

    def fingerprint(images, size_px=8, workers=None):
        return decode(table_of(images), size_px, workers)[1]

    known = fingerprint([one_image, other])
    assert known == fingerprint([tmp_path / "ramp.png", other], workers=1)
    assert len({known, fingerprint([one_image, other], 9), fingerprint([other, one_image])}) == 3


def test_progress_counts_to_the_end():
    """Progress rises to the number of images."""
    seen = []
    decode(table_of([encoded(Image.fromarray(RAMP))] * 40), 8, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40) and seen == sorted(seen)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    """A photograph stored on its side comes out upright, as Pillow's exif_transpose turns it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(RAMP), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(content)))
    assert (one(content) == np.asarray(upright.resize((8, 8), Image.Resampling.BICUBIC))).all()


def test_unreadable_exif_leaves_the_image_as_it_is():
    """EXIF data that is garbage does not cost the image."""
    content = encoded(Image.fromarray(RAMP), "jpeg", exif=b"Exif\0\0garbage that is no TIFF header")
    assert one(content).shape == (8, 8, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_other_modes_become_rgb(mode):
    """Palettes, grey, print and video colours come out close to the same picture in RGB."""
    grey = Image.fromarray(RAMP).convert("L").convert("RGB")
    image = grey.convert(mode)
    kind = {"CMYK": "tiff", "YCbCr": "tiff", "LAB": "tiff"}.get(mode, "png")
    difference = one(encoded(image, kind)).astype(int) - one(encoded(image.convert("RGB"))).astype(int)
    assert np.abs(difference).max() <= 2


def test_transparency_is_put_on_white():
    """Transparent pixels are white, not whatever colour lies under them; of a palette and of a grey image too."""
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    assert (one(encoded(clear)) == 255).all()
    assert (one(encoded(clear.convert("LA"))) == 255).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([200, 0, 0, 0, 200, 0])
    assert (one(encoded(palette, transparency=0)) == 255).all()
    half = one(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 128))))
    assert (np.abs(half.astype(int) - [255, 127, 127]) <= 1).all()


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    """A 16-bit grey image keeps its levels: 65535 is white and 32896 the middle."""
    levels = np.repeat(np.array([[0], [32896], [65535]], dtype=np.uint16), 3, axis=1)
    assert one(encoded(Image.fromarray(levels), kind), 3)[:, 0, 0].tolist() == [0, 128, 255]


def test_float_levels_are_scaled():
    """A float image of 0 to 1 is taken as such."""
    assert (one(encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "tiff")) == 128).all()


def test_every_bad_file_is_listed_by_kind(tmp_path):
    """Missing, empty, truncated and non-image files are all told in one message, with counts; none is replaced."""
    jpeg, png = (encoded(Image.fromarray(np.tile(RAMP, (8, 8, 1))), kind) for kind in ("jpeg", "png"))
    contents = {"cut.jpg": jpeg[: len(jpeg) // 2], "cut.png": png[: len(png) // 2], "text.jpg": b"not an image",
                "empty.jpg": b"", "good.jpg": jpeg}  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    message = refusal([tmp_path / name for name in [*contents, "gone.jpg", "folder.jpg"]] + [b"nonsense"])
    for part in (
        "table.csv: 7 of 8 images cannot be used: "  # the commonest first, then as the images are, whichever was read first
        "2 truncated or damaged, 2 not an image, 1 empty, 1 missing, 1 not readable:",
        "\n  cut.jpg: truncated", "\n  cut.png: truncated", "\n  text.jpg: not an image",
        "\n  empty.jpg: empty", "\n  gone.jpg: missing", "\n  bytes 7: not an image", "Valid are complete images",
        "Restore these files",
    ):  # fmt: skip
        assert part in message
    assert "good.jpg" not in message


def test_a_long_list_is_cut():
    """Twenty bad images are listed, the others counted."""
    message = refusal([b"nonsense"] * 33)
    assert "33 of 33" in message and message.count(": not an image") == 20 and "and 13 more" in message


def test_truncated_stays_an_error_when_a_library_allows_it(monkeypatch):
    """A setting of Pillow that fills what is missing with grey is not honoured, and is left as it was."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    jpeg = encoded(Image.fromarray(np.tile(RAMP, (8, 8, 1))), "jpeg")
    assert "1 truncated" in refusal([jpeg[: len(jpeg) // 2]])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_large_images_warn_nobody_and_larger_ones_are_listed(monkeypatch):
    """Pillow lets through, with a warning, twice as many pixels as it calls safe: those are too large; a JPEG that is read
    smaller is not."""
    image, photo = (encoded(Image.new("RGB", (40, 40)), kind) for kind in ("PNG", "JPEG"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for limit, fits in ((1600, [image, photo]), (1599, [photo])):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            assert all(one(content).shape == (8, 8, 3) for content in fits)
        for limit in (1599, 700):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            message = refusal([image])
            assert "1 too large" in message and f"at most {limit:,} pixels" in message


def test_size_must_be_positive():
    """An image size of 0 is refused."""
    with pytest.raises(InputError, match="image_size_px is 0; valid is a whole number from 1"):
        decode(table_of([]), 0)


@pytest.mark.parametrize(("name", "count"), [("coil100", 912), ("vehicle_reid", 1134)])
def test_decodes_the_real_sets(name, count):
    """Every picture of the real sets is decoded, and no two views come out the same."""
    if not (SHARED / name).is_dir():
        pytest.skip("the shared data sets are not here")
    pixels, _ = decode(read_pairs(SHARED / name / "pairs.csv"), 32)
    assert pixels.shape == (count, 32, 32, 3)
    assert len(np.unique(pixels.reshape(count, -1), axis=0)) > 0.95 * count


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "but HEIC, which Pillow does not read"),
        (b"v/1\x01\x02\x00\x00\x00", "but OpenEXR"),
        (b"\x93NUMPY\x01\x00", "but an array of NumPy"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "but JPEG XL"),
        (b"II*\x00\x08\x00\x00\x00\x00\x00", "but a TIFF of a kind, or a raw photograph"),
    ],
)
def test_formats_that_are_not_read_are_named(content, said):
    """By the first bytes, whatever the file is called; the message says to convert them."""
    message = refusal([content])
    assert said in message and "convert them to JPEG or PNG" in message


WIDE = np.zeros((8, 24, 3), np.uint8)
WIDE[:, :8], WIDE[:, 8:16], WIDE[:, 16:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
"""Three squares beside each other: red, green, blue."""


@pytest.mark.parametrize("turned", [False, True])
def test_fits(turned):
    """Squashed, all three are seen; cropped, the middle one alone; padded, all three between grey."""
    image = np.swapaxes(WIDE, 0, 1) if turned else WIDE
    found = {
        fit: read_images(table_of([encoded(Image.fromarray(image))]), 24, fit).pixels[0].astype(int) for fit in FITS
    }
    seen = {fit: np.swapaxes(pixels, 0, 1) if turned else pixels for fit, pixels in found.items()}
    assert (np.abs(seen["squash"][:, [3, 12, 20]] - [[250, 0, 0], [0, 250, 0], [0, 0, 250]]) <= 2).all()
    assert (np.abs(seen["crop"] - [0, 250, 0])[2:22, 2:22] <= 20).all()  # resampling blends the borders
    assert (seen["pad"][:7] == 128).all() and (seen["pad"][17:] == 128).all()
    assert (np.abs(seen["pad"][12, [3, 12, 20]] - [[250, 0, 0], [0, 250, 0], [0, 0, 250]]) <= 2).all()


def test_every_fit_has_its_fingerprint_and_squash_that_of_before():
    """And of a square they are the same picture."""
    square = encoded(Image.fromarray(RAMP[:, :32]))
    found = {fit: read_images(table_of([square]), 16, fit) for fit in FITS}
    assert len({images.fingerprint for images in found.values()}) == 3
    assert all((images.pixels == found["squash"].pixels).all() for images in found.values())
    how = (
        "RGB, upright, alpha on white, whole image to a square, bicubic with antialiasing, JPEG draft at twice the size"
    )
    digest = hashlib.sha256(square).digest()
    assert decode(table_of([square]), 16)[1] == hashlib.sha256(f"16 px; {how}; ".encode() + digest).hexdigest()
