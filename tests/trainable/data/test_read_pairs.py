"""The pair table: what is read, how it is split, and what every mistake in it is answered with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.data.pairs import PairData, PairTable, check_batch
from trainable.data.read_pairs import read_pairs
from trainable.data.splits import SPLITS, make_splits
from trainable.errors import InputError

SHARED = Path(__file__).parents[4] / "shared" / "data"


def pair_frame(identities: int = 12) -> pd.DataFrame:
    """Each identity with one positive pair, and one negative pair with its neighbour (0-1, 1-0, 2-3, 3-2, …)."""
    number = np.arange(identities)
    other = number ^ 1
    front, angle = np.r_[number, number], np.r_[number, other]
    columns = {
        "front": [f"{i}_front.jpg" for i in front],
        "angle": [f"{i}_angle.jpg" for i in angle],
        "pair_label": (front == angle).astype(int),
        "front_identity": [f"thing{i}" for i in front],
        "angle_identity": [f"thing{i}" for i in angle],
        "split": np.array(SPLITS)[np.minimum(front * 3 // identities, 2)],
    }
    return pd.DataFrame(columns)


def write(folder: Path, frame: pd.DataFrame, name: str = "pairs.csv") -> Path:
    """The table, and an empty file for every image it names."""
    for side in ("front", "angle"):
        for image in frame[side].dropna() if side in frame else ():
            (folder / image).touch()
    path = folder / name
    frame.to_csv(path, index=False) if name.lower().endswith("csv") else frame.to_parquet(path, index=False)
    return path


def refusal(path: Path, **options) -> str:
    """The message with which the table is refused."""
    with pytest.raises(InputError) as caught:
        read_pairs(path, **options)
    return str(caught.value)


def says(message: str, *parts: str) -> None:
    missing = [part for part in parts if part not in message]
    assert not missing, f"{missing} not in: {message}"


def assert_disjoint(table: PairTable) -> None:
    """No identity and no image is in two splits, and every split has both classes."""
    held = [table.rows(split) for split in SPLITS]
    assert sum(map(len, held)) == len(table.front)
    for ends in ((table.front_identity, table.angle_identity), (table.front, table.angle)):
        inside = [set(ends[0][rows]) | set(ends[1][rows]) for rows in held]
        assert not (inside[0] & inside[1] or inside[0] & inside[2] or inside[1] & inside[2])
    assert all(set(table.pair_label[rows]) == {0, 1} for rows in held)


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet", "PAIRS.CSV"])
def test_reads_a_complete_table(tmp_path, name):
    """Every column arrives as the table has it; images are counted once, however many pairs show them."""
    frame = pair_frame()
    table = read_pairs(write(tmp_path, frame, name))
    assert (len(table.images), len(table.front), len(table.identity_names)) == (24, 24, 12)
    assert [table.image_names[i] for i in table.front] == frame["front"].tolist()
    assert [table.images[i] for i in table.angle] == [tmp_path / angle for angle in frame["angle"]]
    assert [table.identity_names[i] for i in table.angle_identity] == frame["angle_identity"].tolist()
    assert table.pair_label.tolist() == frame["pair_label"].tolist() and table.split.tolist() == frame["split"].tolist()
    assert (table.front.dtype, table.pair_label.dtype, table.front_identity.dtype) == (np.int64, np.int8, np.int64)
    assert table.dropped == 0 and table.notes == ()


def test_accepts_other_spellings(tmp_path):
    """Hugging Face's column names, other spellings of labels and splits, blank lines, and absolute paths."""
    frame = pair_frame()
    expected = read_pairs(write(tmp_path, frame))
    frame["front"] = [str(tmp_path / "." / front) for front in frame["front"]]
    frame["pair_label"] = [{0: "False", 1: "1.0"}[label] for label in frame["pair_label"]]
    frame["split"] = frame["split"].replace("val", " Validation")
    frame = frame.rename(columns={"front": "front_file_name", "angle": "angle_file_name"})
    (tmp_path / "pairs.csv").write_text(frame.to_csv(index=False).replace("\n", "\n\n"), encoding="utf-8-sig")
    table = read_pairs(tmp_path / "pairs.csv")
    assert table.images == expected.images and (table.split == expected.split).all()
    assert (table.pair_label == expected.pair_label).all()


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet"])
def test_identities_that_are_numbers_are_the_same_ones_in_any_type(tmp_path, name):
    """pandas makes floats of a column of whole numbers that had a gap: 7.0 is 7."""
    frame = pair_frame()
    frame["front_identity"] = frame["front_identity"].str[5:].astype(int)
    frame["angle_identity"] = frame["angle_identity"].str[5:].astype(float)
    table = read_pairs(write(tmp_path, frame, name))
    assert set(table.identity_names) == {str(number) for number in range(12)}


@pytest.mark.parametrize("struct", [False, True])
def test_reads_images_inside_a_parquet_file(tmp_path, struct):
    """Image bytes, plain or as Hugging Face stores them, are images; equal bytes are one image."""
    frame = pair_frame()
    for side in ("front", "angle"):
        cells = [name.encode() for name in frame[side]]
        frame[side] = [{"bytes": cell, "path": cell.decode()} for cell in cells] if struct else cells
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "pairs.parquet")
    table = read_pairs(tmp_path / "pairs.parquet")
    assert len(table.images) == 24 and table.images[table.front[3]] == b"3_front.jpg"
    assert table.image_names[table.front[3]] == ("3_front.jpg" if struct else "front of row 3")


def test_one_identity_column_names_the_front(tmp_path):
    """In a negative pair `identity` is the front's; the angle's comes from rows showing the image, else is its own."""
    frame = pair_frame().rename(columns={"front_identity": "identity"}).drop(columns=["angle_identity", "split"])
    (tmp_path / "stranger.jpg").touch()
    frame.loc[23, "angle"] = "stranger.jpg"
    table = read_pairs(write(tmp_path, frame))
    for row in range(len(table.front)):
        name = table.image_names[table.angle[row]]
        shown = "stranger.jpg" if name == "stranger.jpg" else f"thing{name.split('_')[0]}"
        assert table.identity_names[table.angle_identity[row]] == shown


def test_without_identities_positive_pairs_join_their_images(tmp_path):
    """Images that a chain of positive pairs connects are one identity; any other image is its own."""
    frame = pair_frame().drop(columns=["front_identity", "angle_identity", "split"])
    chain = pd.DataFrame({"front": ["0_front.jpg", "x.jpg"], "angle": ["x.jpg", "y.jpg"], "pair_label": [1, 1]})
    table = read_pairs(write(tmp_path, pd.concat([frame, chain])))
    assert len(table.identity_names) == 12
    identities = np.r_[table.front_identity, table.angle_identity]
    of_image = dict(zip(np.r_[table.front, table.angle], identities, strict=True))
    at = table.image_names.index
    assert of_image[at("y.jpg")] == of_image[at("0_angle.jpg")] != of_image[at("1_front.jpg")]


def test_made_splits_are_disjoint_and_repeatable(tmp_path):
    """Splits are made by seed: the same for the same seed, others for another, disjoint, and close to the fractions."""
    path = write(tmp_path, pair_frame(100).drop(columns="split"))
    first, again, other = read_pairs(path), read_pairs(path), read_pairs(path, seed=1)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert [len(first.rows(split)) for split in SPLITS] == [120, 40, 40]
    assert first.dropped == 0 and "seed 0" in first.notes[0]
    assert_disjoint(first)
    assert_disjoint(other)


def test_one_giant_group_loses_negative_pairs(tmp_path):
    """Where negative pairs connect all identities, those that cross splits are left out, counted, and said."""
    frame = pair_frame(60).drop(columns="split")
    ring = (np.arange(60) + 1) % 60
    frame.loc[60:, "angle"] = [f"{i}_angle.jpg" for i in ring]
    frame.loc[60:, "angle_identity"] = [f"thing{i}" for i in ring]
    table = read_pairs(write(tmp_path, frame))
    assert_disjoint(table)
    assert 0 < table.dropped <= 20  # consecutive identities stay together: far fewer are lost than the 34 of chance
    assert len(table.front) == 120 - table.dropped
    says(table.notes[0], f"{table.dropped} of 60 negative pairs", "left out")


pair_lists = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=8, max_size=60)


@settings(max_examples=50, deadline=None)
@given(pair_lists, st.integers(0, 5))
def test_no_identity_is_ever_in_two_splits(links, seed):
    """Whatever the pairs: kept pairs share no identity across splits, and only negative pairs are lost."""
    front, angle = np.array(links).T
    front, angle = np.r_[front, np.arange(16)], np.r_[angle, np.arange(16)]
    label = (front == angle).astype(np.int8)
    split = make_splits(front, angle, label, seed, (0.6, 0.2, 0.2))
    if split is None:  # too few negative pairs for three splits
        return
    assert (label[split < 0] == 0).all()
    held = [set(front[split == code]) | set(angle[split == code]) for code in range(3)]
    assert sum(map(len, held)) == len(set.union(*held)) == 16
    assert all(set(label[split == code]) == {0, 1} for code in range(3))
    assert (split == make_splits(front, angle, label, seed, (0.6, 0.2, 0.2))).all()


def make_folder(root: Path, identities: int, layout: str, views: tuple[int, int] = (2, 3)) -> Path:
    for i in range(identities):
        for side, count in zip(("front", "angle"), views, strict=True):
            folder = root / f"thing{i}" / (f"{side}_views" if layout == "folders" else "")
            folder.mkdir(parents=True, exist_ok=True)
            for k in range(count):
                (folder / (f"{k}.jpg" if layout == "folders" else f"{side}{k}.jpg")).touch()
            (folder / ".hidden.jpg").touch()
    return root


@pytest.mark.parametrize("layout", ["folders", "files"])
def test_reads_a_folder_of_identities(tmp_path, layout):
    """Fronts x angles of an identity, four at most, are positive; as many negatives are drawn within a split."""
    root = make_folder(tmp_path / "set", 20, layout)
    table = read_pairs(root)
    assert_disjoint(table)
    assert (table.pair_label == 1).sum() == 80 == (table.pair_label == 0).sum()
    assert ((table.front_identity == table.angle_identity) == (table.pair_label == 1)).all()
    assert len(set(zip(table.front, table.angle, strict=True))) == 160
    assert all(table.image_names[i].split("/")[1].startswith("front") for i in table.front)
    assert table.fingerprint() == read_pairs(root).fingerprint() != read_pairs(root, seed=1).fingerprint()
    assert "80 positive pairs" in table.notes[0]


def test_smallest_folder_and_incomplete_identities(tmp_path):
    """Six identities are enough; one without an angle view is left out, and said to be."""
    make_folder(tmp_path, 6, "files", (1, 1))
    (tmp_path / "widow").mkdir()
    (tmp_path / "widow" / "front.jpg").touch()
    table = read_pairs(tmp_path)
    assert_disjoint(table)
    assert len(table.front) == 12 and "widow" in table.notes[1]


def test_a_folder_that_holds_a_table_is_that_table(tmp_path):
    """A folder with pairs.csv in it is read through it."""
    write(tmp_path, pair_frame())
    table = read_pairs(tmp_path)
    assert len(table.front) == 24 and "pairs.csv" in table.notes[0]


def test_refuses_small_or_foreign_folders(tmp_path):
    """A folder without complete identities, or with too few, is answered with the layout that is valid."""
    says(refusal(tmp_path), "no identity with both", "folders in it: none", "front*/ and angle*/")
    make_folder(tmp_path, 5, "files")
    says(refusal(tmp_path), "5 identities", "at least 6", "Add identities")


def test_data_has_the_table_in_plain_arrays(tmp_path):
    """PairData.of keeps rows and fingerprint; pixels that do not fit the table are a programmer's error."""
    table = read_pairs(write(tmp_path, pair_frame()))
    data = PairData.of(table, np.zeros((24, 4, 4, 3), np.uint8), "abc")
    assert data.fingerprint == "abc" and data.split.dtype == np.int8
    for split in SPLITS:
        assert (data.rows(split) == table.rows(split)).all()
    with pytest.raises(ValueError, match="valid are train, val, test"):
        data.rows("validation")
    with pytest.raises(ValueError, match=r"must be \(24, S, S, 3\)"):
        PairData.of(table, np.zeros((3, 4, 4, 3), np.uint8), "abc")


def test_batch_needs_pairs_and_identities(tmp_path):
    """A batch too big for the training split is refused, and the largest that would do is named."""
    table = read_pairs(write(tmp_path, pair_frame()))  # 8 training pairs of 4 identities
    check_batch(table, 8)
    check_batch(PairData.of(table, np.zeros((24, 4, 4, 3), np.uint8), ""), 8)
    with pytest.raises(InputError, match=r"8 pairs of 4 identities.*64 pairs of 16 identities.*--batch-size 8"):
        check_batch(table, 64)


@pytest.mark.parametrize("name", ["coil100", "vehicle_reid"])
def test_reads_the_real_sets(name):
    """The real sets are read as their README counts them."""
    if not (SHARED / name).is_dir():
        pytest.skip("the shared data sets are not here")
    table = read_pairs(SHARED / name / "pairs.csv")
    sizes = {"coil100": [600, 200, 200], "vehicle_reid": [810, 204, 120]}[name]
    assert [len(table.rows(split)) for split in SPLITS] == sizes
    assert_disjoint(table)
