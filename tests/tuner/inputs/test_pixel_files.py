"""Pixels as files: decoded once, never wrong, and no reason for a run to end."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from trainable.data.augmentation import with_views
from trainable.data.images import read_images
from trainable.data.pairs import PairTable
from trainable.data.read_pairs import read_pairs
from trainable.data.turntable import TurntableSpec, write
from trainable.errors import InputError
from trainable.findings import OK, Finding
from trainable.mapped import file_of, let_go
from tuner.inputs import pixel_files
from tuner.inputs.pixel_files import PixelFiles

SPEC = TurntableSpec(train_identities=6, val_identities=4, test_identities=4, image_size_px=16)


@pytest.fixture
def table(tmp_path: Path) -> PairTable:
    return read_pairs(write(tmp_path / "pairs", SPEC))


def files(folder: Path, limit_gb: float = 1.0) -> tuple[PixelFiles, io.StringIO]:
    said = io.StringIO()
    return PixelFiles(folder, limit_gb, Console(file=said, width=200)), said


def fits() -> None:
    """There is memory enough."""


def test_the_second_time_no_image_is_read(tmp_path: Path, table: PairTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels, views among them, and the fingerprint are those of decoding, mapped both times."""
    plain = read_images(table, 12, "crop")
    for views in (1, 3):
        expected = with_views(plain.pixels, views, plain.fingerprint)
        first = files(tmp_path / "cache")[0].images(table, 12, "crop", views, fits)
        assert np.array_equal(first.pixels, expected) and first.fingerprint == plain.fingerprint
        with monkeypatch.context() as patch:
            patch.setattr(pixel_files, "read_images", None)
            again = files(tmp_path / "cache")[0].images(table, 12, "crop", views, fits)
        assert np.array_equal(again.pixels, expected) and again.fingerprint == plain.fingerprint
        assert file_of(first.pixels) == file_of(again.pixels) is not None


def test_an_image_that_changed_is_read_again(tmp_path: Path, table: PairTable) -> None:
    """By its size or its time; as is another size or fit."""
    cache = files(tmp_path / "cache")[0]
    before = cache.images(table, 12, "squash", 1, fits)
    Image.new("RGB", (20, 20), "red").save(table.images[0])
    after = cache.images(table, 12, "squash", 1, fits)
    assert after.fingerprint != before.fingerprint and (after.pixels[0, :, :, 0] > 250).all()
    assert cache.images(table, 12, "pad", 1, fits).fingerprint != after.fingerprint
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3


@pytest.mark.parametrize("damage", ["short", "gone", "told badly"])
def test_a_damaged_file_is_made_again(tmp_path: Path, table: PairTable, damage: str) -> None:
    """Cut short, removed, or with a description that is none."""
    cache = files(tmp_path / "cache")[0]
    expected = np.array(cache.images(table, 12, "squash", 1, fits).pixels)
    (file,), (told,) = (list((tmp_path / "cache").glob(pattern)) for pattern in ("*.npy", "*.json"))
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-10])
    elif damage == "gone":
        file.unlink()
    else:
        told.write_text("{")
    assert np.array_equal(cache.images(table, 12, "squash", 1, fits).pixels, expected)


def test_without_room_for_a_file_pixels_are_in_memory(
    tmp_path: Path, table: PairTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and the memory is checked; no draft stays."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    cache, said = files(tmp_path / "cache")
    found = cache.images(table, 12, "squash", 2, fits)
    assert file_of(found.pixels) is None and len(found.pixels) == 2 * len(table.images)
    assert "pixels are held in memory" in said.getvalue() and "No space left on device" in said.getvalue()
    assert not list((tmp_path / "cache").iterdir())

    def too_large() -> None:
        raise InputError("too large")

    with pytest.raises(InputError, match="too large"):
        cache.images(table, 12, "squash", 2, too_large)


def test_a_cache_of_no_size_keeps_nothing(tmp_path: Path, table: PairTable) -> None:
    """Neither pixels nor findings; nothing is said of it."""
    cache, said = files(tmp_path / "cache", limit_gb=0)
    assert file_of(cache.images(table, 12, "squash", 1, fits).pixels) is None
    cache.findings(("a",), lambda: [Finding("x", OK, "fine")])
    assert not (tmp_path / "cache").exists() and said.getvalue() == ""


def test_an_image_that_cannot_be_used_leaves_no_draft(tmp_path: Path, table: PairTable) -> None:
    """The error is that of decoding."""
    table.images[0].write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        files(tmp_path / "cache")[0].images(table, 12, "squash", 1, fits)
    assert not list((tmp_path / "cache").iterdir())


def test_old_files_go_beyond_the_limit(tmp_path: Path, table: PairTable) -> None:
    """Those not used for longest, never the newest, even where it alone is beyond it, nor what a process uses."""
    cache = files(tmp_path / "cache", limit_gb=1e-9)[0]
    held = cache.images(table, 10, "squash", 1, fits)
    cache.images(table, 11, "squash", 1, fits)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2
    let_go()
    cache.images(table, 12, "squash", 1, fits)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1 and held.pixels.sum() > 0


def test_findings_are_made_once(tmp_path: Path) -> None:
    """For what they depend on; a damaged file is made again."""
    cache = files(tmp_path / "cache")[0]
    made = []

    def make() -> list[Finding]:
        made.append(1)
        return [Finding("x", OK, "fine", "nothing")]

    for _ in range(2):
        assert cache.findings(("a", 1), make) == [Finding("x", OK, "fine", "nothing")]
    assert len(made) == 1
    cache.findings(("a", 2), make)
    for file in (tmp_path / "cache").iterdir():
        file.write_text("[1]")
    cache.findings(("a", 1), make)
    assert len(made) == 3
