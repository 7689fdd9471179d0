"""Why an image is missing is said where another spelling of its path is there."""

from __future__ import annotations

import doctest
import unicodedata

import pytest

from tests.trainable.data.test_read_pairs import pair_frame, refusal, says, write
from trainable.data import missing
from trainable.data.missing import why_missing


@pytest.fixture
def folder(tmp_path):
    """img/Café 1.jpg, composed as most systems write it."""
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / unicodedata.normalize("NFC", "Café 1.jpg")).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("spelt", "reason"),
    [
        ("img\\Café 1.jpg", "backslashes instead of slashes"),
        ("Img/café 1.JPG", "other case"),
        (unicodedata.normalize("NFD", "img/Café 1.jpg"), "another Unicode form (NFC, NFD)"),
        ("img/Café 1.jpg ", "blanks around it"),
        ("img /Café 1.jpg", "a blank at an end of a name"),
        ("img/Café 1.png", "another suffix"),
        ("\timg\\CAFÉ 1.jpg", "blanks around it and backslashes instead of slashes and other case"),
    ],
)
def test_the_spelling_that_is_there_is_named(folder, spelt, reason):
    """With the reason, or the reasons, and the path that is there."""
    said = why_missing(spelt, folder)
    assert said.startswith(reason) or f"the same letters in {reason}" in said
    assert said.endswith(f"{folder / 'img' / unicodedata.normalize('NFC', 'Café 1.jpg')} is there")


def test_addresses_and_home(folder, monkeypatch):
    """file:// and ~ are understood well enough to say what is wrong with them; a network's address is called one."""
    monkeypatch.setenv("HOME", str(folder))
    there = f"{folder / 'img' / 'Café 1.jpg'} is there"
    assert why_missing("~/img/Café 1.jpg", folder / "img") == f"~ is no folder here: {there}"
    for start in ("file://", "file:", "file://localhost"):
        assert why_missing(f"{start}{folder}/img/Caf%C3%A9%201.jpg", folder) == f"a file:// address: {there}"
    for address in ("https://host/a.jpg", "s3://bucket/a.jpg", "GS://bucket/a.jpg"):
        assert why_missing(address, folder).startswith("an address of a network")
    assert why_missing("C:\\pictures\\a.jpg", folder).startswith("a path of another system (Windows)")


@pytest.mark.parametrize("spelt", ["img/other.jpg", "nowhere/Café 1.jpg", "../img/x.jpg", "/", ""])
def test_nothing_is_said_where_nothing_shows(folder, spelt):
    """A file that is simply gone is missing, no more."""
    assert why_missing(spelt, folder) == ""


def test_the_examples_run():
    """Those of the docstrings."""
    assert doctest.testmod(missing) == doctest.TestResults(0, 1)


def test_a_table_says_it_beside_each_image(tmp_path):
    """As many as are listed."""
    frame = pair_frame()
    path = write(tmp_path, frame)
    frame.assign(front=frame["front"].str.upper()).to_csv(path, index=False)
    says(refusal(path), "12 of 24 images are missing", "0_FRONT.JPG (other case: ", "0_front.jpg is there)")


def test_the_path_of_the_table_itself(tmp_path):
    """The same reasons."""
    path = write(tmp_path, pair_frame())
    says(refusal(path.with_name("Pairs.csv")), "there is no", "(other case: ", "pairs.csv is there)")
