"""A folder of identities: what is read in it, and what is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainable.data.test_read_pairs import SHARED, refusal, says
from trainable.data.folders import IMAGE_SUFFIXES
from trainable.data.images import decode
from trainable.data.read_pairs import read_pairs

CASES = SHARED.parent / "cases"


def identities(root: Path, count: int, suffix: str = ".jpg", start: int = 0) -> Path:
    """Folders with one empty file a view."""
    for number in range(start, start + count):
        (root / f"{number:03}").mkdir(parents=True)
        for side in ("front", "angle"):
            (root / f"{number:03}" / f"{side}{suffix}").touch()
    return root


@pytest.mark.parametrize(("suffix", "kind"), [(".jfif", "JPEG"), (".jpe", "JPEG"), (".mpo", "MPO"), (".TGA", "TGA")])
def test_what_pillow_reads_in_a_table_is_read_in_a_folder(tmp_path, suffix, kind):
    """By other suffixes than the common ones too."""
    identities(tmp_path, 6, suffix)
    for number, path in enumerate(sorted(tmp_path.rglob(f"*{suffix}"))):
        Image.fromarray(np.full((8, 8, 3), 20 * number, np.uint8)).save(path, kind)
    pixels, _ = decode(read_pairs(tmp_path), 8)
    assert len(pixels) == 12


def test_every_format_that_pillow_reads_and_writes_is_read():
    """But pages and drawings, which are no photographs."""
    Image.init()
    known = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN and kind in Image.SAVE
    }
    no_photographs = {".eps", ".ps", ".pdf", ".emf", ".wmf", ".bufr", ".grib", ".h5", ".hdf", ".fits", ".fit"}
    assert known - no_photographs <= set(IMAGE_SUFFIXES)


def test_files_of_other_formats_are_named_by_suffix(tmp_path):
    """Which, how many, an example, and what to do."""
    identities(identities(tmp_path, 8), 4, ".heic", 8)
    notes = " ".join(read_pairs(tmp_path).notes)
    says(notes, "4 folders lack a front or an angle image", "8 .heic (008/angle.heic)", "convert them, to JPEG or PNG")


@pytest.mark.parametrize("readable", [0, 3])
def test_where_too_few_are_left_the_message_names_them_too(tmp_path, readable):
    """It is why there are so few."""
    identities(identities(tmp_path, readable), 9, ".dng", readable)
    says(refusal(tmp_path), f"18 .dng ({readable:03}/angle.dng)")


def test_the_shared_case(tmp_path):
    """Eight of twelve identities are read; the suffix of the others is named."""
    if not (CASES / "heic_folder").is_dir():
        pytest.skip("the shared cases are not here")
    table = read_pairs(CASES / "heic_folder")
    assert len(table.identity_names) == 8
    says(" ".join(table.notes), "8 .heic (000/angle.heic)")
