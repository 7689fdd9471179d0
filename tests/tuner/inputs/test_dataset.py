"""The one way to a run's pairs and images: the search, the doctor, the page, a reproduction and an export read the same."""

from __future__ import annotations

import doctest
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from tests.trainable.data.test_read_pairs import pair_frame
from trainable.data.pairs import PairTable
from trainable.errors import InputError
from trainable.findings import DataError
from tuner.cli.run_options import DataOptions
from tuner.inputs import dataset
from tuner.reporting.figures.wrong_pairs import images_of
from tuner.results.one_run import WholeRun

QUIET = Console(quiet=True)
SIZE_PX = 16


def written(folder: Path, frame: pd.DataFrame) -> str:
    """The table and its images, all different; returns the table's path."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(sorted({*frame["front"], *frame["angle"]})):
        levels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(levels).save(folder / name, quality=95)
    frame.to_csv(folder / "pairs.csv", index=False)
    return str(folder / "pairs.csv")


def with_an_identity_in_two_splits() -> pd.DataFrame:
    """What only a forced run takes: thing0 is in train and in val."""
    frame = pair_frame(48)
    columns = ["angle", "angle_identity", "front", "front_identity"]
    frame.loc[16, columns] = frame.loc[0, columns]
    return frame


def row_of(data: str, found: dataset.Dataset) -> dict[str, object]:
    """What the runs table says of a run on this data."""
    return {
        "run": "run-a", "data": data, "image_size_px": SIZE_PX, "seed": 0, "data_fingerprint": found.fingerprint,
    }  # fmt: skip


def test_what_is_tolerated_is_told_before_any_image_is_decoded(tmp_path):
    """A table's check may refuse it, and then nothing was decoded for nothing."""
    source = written(tmp_path, with_an_identity_in_two_splits())
    Path(tmp_path / "0_front.jpg").write_bytes(b"no image")

    def refuse(table: PairTable, tolerated: list[DataError]) -> None:
        assert [fault.finding.check for fault in tolerated] == ["an identity in one split only"]
        raise InputError("refused")

    with pytest.raises(InputError, match="refused"):
        dataset.load(DataOptions(data=source), SIZE_PX, 0, QUIET, refuse)


def test_a_fault_that_ends_the_reading_brings_those_before_it(tmp_path):
    """The doctor lists the tolerated ones as well."""
    frame = with_an_identity_in_two_splits()
    source = written(tmp_path, pd.concat([frame, frame.loc[[1]].assign(pair_label=0)]).assign(split="train"))
    with pytest.raises(DataError, match="has no pair in the split val and test") as fault:
        dataset.load(DataOptions(data=source), SIZE_PX, 0, QUIET)
    assert "one label for a pair" in [before.finding.check for before in fault.value.before]


def test_the_data_of_a_forced_run_are_read_again_for_its_page(tmp_path):
    """What --force tolerated once is tolerated by all that comes after: the page has its pictures."""
    source = written(tmp_path, with_an_identity_in_two_splits())
    found = dataset.load(DataOptions(data=source), SIZE_PX, 0, QUIET)
    run = object.__new__(WholeRun)
    object.__setattr__(run, "row", row_of(source, found))
    assert np.array_equal(images_of(run, QUIET).pixels, found.data.pixels)


def test_the_same_data_elsewhere_is_what_the_run_saw(tmp_path):
    """Paths are no part of the fingerprint; views that only training looks at need not be drawn."""
    source = written(tmp_path / "here", pair_frame(48))
    found = dataset.load(DataOptions(data=source, views=2), SIZE_PX, 0, QUIET)
    shutil.move(tmp_path / "here", tmp_path / "there")
    again = dataset.load_again(row_of(source, found), DataOptions(data=str(tmp_path / "there" / "pairs.csv")), QUIET)
    assert again.fingerprint == found.fingerprint and 2 * len(again.data.pixels) == len(found.data.pixels)


def test_other_pairs_and_other_images_are_told_apart(tmp_path):
    """The message says which half of the fingerprint differs, and where to say where the data are now."""
    frame = pair_frame(48)
    source = written(tmp_path, frame)
    row = row_of(source, dataset.load(DataOptions(data=source), SIZE_PX, 0, QUIET))
    shutil.copy(tmp_path / "1_front.jpg", tmp_path / "0_front.jpg")
    with pytest.raises(InputError, match=r"the images differ.*--data"):
        dataset.load_again(row, DataOptions(data=source), QUIET)
    written(tmp_path, frame[frame.index != 3])
    with pytest.raises(InputError, match="pairs, labels or splits and the images differ"):
        dataset.load_again(row, DataOptions(data=source), QUIET)
    shutil.rmtree(tmp_path)
    with pytest.raises(InputError, match=r"the data of the run run-a cannot be read: there is no(.|\n)*--data"):
        dataset.load_again(row, DataOptions(data=source), QUIET)


def test_a_run_that_wrote_no_fingerprint_down_is_read_with_a_note(tmp_path):
    """A stored null is no reason to refuse, and no reason to say nothing."""
    source = written(tmp_path, pair_frame(48))
    console = Console(record=True, quiet=False, file=io.StringIO())
    row = row_of(source, dataset.load(DataOptions(data=source), SIZE_PX, 0, QUIET)) | {"data_fingerprint": None}
    dataset.load_again(row, DataOptions(data=source), console)
    assert "did not write down" in console.export_text()


@pytest.mark.parametrize("spelt", ["file://{}", "{} ", " {}"])
def test_a_path_that_is_spelt_otherwise_is_told_so(tmp_path, spelt):
    """With the path that is there."""
    source = written(tmp_path, pair_frame(12))
    with pytest.raises(
        InputError, match=r"there is no .*\((a file:// address|blanks around it).*pairs\.csv is there\)"
    ):
        dataset.load(DataOptions(data=spelt.format(source)), SIZE_PX, 0, QUIET)


@pytest.mark.parametrize(("views", "said"), [(1, "--image-size-px"), (4, "fewer --views")])
def test_more_pixels_than_memory_are_refused_with_the_size_that_fits(views, said):
    """Before anything is decoded."""
    with pytest.raises(InputError, match=said):
        dataset.check_memory(10_000_000, 4096, views)
    dataset.check_memory(100, 64, views)


def test_the_examples_run():
    """Those of the docstrings."""
    assert doctest.testmod(dataset) == doctest.TestResults(0, 1)


def test_the_cache_is_where_the_user_says_or_where_caches_are(monkeypatch, tmp_path):
    """--cache first, then the system's variable, then the home folder."""
    assert dataset.cache_folder(str(tmp_path / "mine")) == tmp_path / "mine"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert dataset.cache_folder().parent == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dataset.cache_folder().parent == tmp_path / ".cache"
