"""Every mistake in a pair table is answered with what was got, what is valid and what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.trainable.data.test_read_pairs import pair_frame, refusal, says, write
from trainable.data.read_pairs import read_pairs


def test_missing_table(tmp_path):
    """A path that is not there is answered with names like it in that folder."""
    write(tmp_path, pair_frame())
    message = refusal(tmp_path / "pair.csv")
    says(message, "there is no", "valid is a pair table", "there is: pairs.csv", "Correct the path")
    says(refusal(tmp_path / "nowhere" / "pairs.csv"), "nor the folder", "nowhere")


def test_unknown_extension(tmp_path):
    """An unknown ending is answered with those that are known."""
    (tmp_path / "pairs.xlsx").touch()
    says(refusal(tmp_path / "pairs.xlsx"), "'.xlsx'", ".csv, .parquet or .jsonl", "Save the table")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty", "valid is a CSV with a header"]),
        (b"front,angle,pair_label\n", ["holds no pairs", "valid is a row for each pair"]),
        (b"front,angle,pair_label\na,b,1\nc,d,0,5,6\n", ["not a well-formed CSV", "line 3", "as many cells"]),
        (b"front,angle,pair_label\na,b,1,9\nc,d,0,9\n", ["more cells than its header", "pair_label", "Complete"]),
        (b"front,angle\xff,pair_label\na,b,1\n", ["not a well-formed CSV", "UTF-8"]),
        (b"front;angle;pair_label\na;b;1\n", ["no column 'front', 'angle', 'pair_label'", "with commas"]),
        (b"front,angle,label\na,b,1\n", ["no column 'pair_label'", "it has: front, angle, label", "rename label to"]),
        (b"a,b\n1,2\n", ["no column 'front', 'angle', 'pair_label'", "Needed are front and angle", "Add what is"]),
        (b"front,angle,pair_label,angle_identity\na,b,1,x\n", ["'angle_identity' without", "front_identity with"]),
    ],
)
def test_malformed_csv(tmp_path, content, parts):
    """A CSV without the columns or the shape of a pair table is answered with both."""
    (tmp_path / "pairs.csv").write_bytes(content)
    says(refusal(tmp_path / "pairs.csv"), *parts)


def test_malformed_parquet(tmp_path):
    """A file that is no Parquet, and image columns of another type, are refused."""
    path = tmp_path / "pairs.parquet"
    path.write_bytes(b"PAR1 but nothing else")
    says(refusal(path), "not a Parquet file", "Valid is a complete Parquet file")
    pd.DataFrame({"front": [1.5], "angle": ["x"], "pair_label": [1]}).to_parquet(path)
    says(refusal(path), "'front' holds double", "valid are text (paths), binary")


def test_empty_cells(tmp_path):
    """Empty cells are counted by column and located by line."""
    frame = pair_frame().astype(object)
    frame.loc[[0, 4], "front_identity"] = [None, "  "]
    frame.loc[3, "pair_label"] = None
    message = refusal(write(tmp_path, frame))
    says(message, "front_identity: 2 (lines 2, 6)", "pair_label: 1 (line 5)", "Valid is a value in every row")


def test_unknown_labels(tmp_path):
    """Labels other than 0 and 1 are listed with their counts and lines."""
    frame = pair_frame().astype(object)
    frame.loc[[1, 2, 7], "pair_label"] = ["2", "2", "same"]
    message = refusal(write(tmp_path, frame))
    says(message, "3 of 24 rows", "'2': 2 (lines 3, 4)", "'same': 1 (line 9)", "Valid are 0 (different) and 1 (same)")


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(tmp_path, label):
    """A table of one class is refused, and says which is lacking."""
    frame = pair_frame()
    message = refusal(write(tmp_path, frame[frame["pair_label"] == label]))
    says(message, f"every one of its 12 pairs has pair_label {label}", "valid is", f"with pair_label {1 - label}")


def test_one_class_in_a_split(tmp_path):
    """So is a split of one class."""
    frame = pair_frame()
    frame = frame[(frame["pair_label"] == 1) | (frame["split"] != "val")]
    says(refusal(write(tmp_path, frame)), "val: 4 labelled 1, 0 labelled 0", "Valid is both", "Add pairs")


@pytest.mark.parametrize("kept", [["train"], ["train", "val"], ["train", "test"]])
def test_missing_split(tmp_path, kept):
    """A table whose `split` lacks one of the three is refused, and told how to have splits made."""
    frame = pair_frame()
    absent = [split for split in ("train", "val", "test") if split not in kept]
    message = refusal(write(tmp_path, frame[frame["split"].isin(kept)]))
    says(message, f"no pair in the split {' and '.join(absent)}", "train 8", "all of train, val, test", "remove the")


def test_unknown_split(tmp_path):
    """An unknown split is listed with its rows and the nearest that is known."""
    frame = pair_frame()
    frame.loc[[2, 14], "split"] = "trian"
    message = refusal(write(tmp_path, frame))
    says(message, "2 of 24 rows", "'trian': 2 (lines 4, 16), perhaps train", "Valid are train, val")


def test_identity_in_two_splits(tmp_path):
    """Identities that two splits share are named with the splits, whichever view shares them."""
    frame = pair_frame()
    frame.loc[12, ["angle", "angle_identity"]] = ["11_angle.jpg", "thing11"]
    message = refusal(write(tmp_path, frame))
    says(message, "1 of 12 identities", "thing11: train, test", "Valid is every identity", "Move or remove")


def test_labels_against_identities(tmp_path):
    """A positive pair of two identities and a negative pair of one are both refused, with lines and names."""
    frame = pair_frame()
    frame.loc[0, "angle_identity"] = "thing5"
    frame.loc[13, "angle_identity"] = "thing1"
    message = refusal(write(tmp_path, frame))
    says(message, "1 labelled 1 have two different identities (line 2: thing0, thing5)")
    says(message, "1 labelled 0 have the same identity (line 15: thing1)", "Valid is pair_label 1 for", "Correct the")


def test_labels_against_derived_identities(tmp_path):
    """Without identities, a negative pair of images that positive pairs join is a contradiction."""
    frame = pair_frame().drop(columns=["front_identity", "angle_identity", "split"])
    chain = [("0_front.jpg", "x.jpg", 1), ("1_front.jpg", "x.jpg", 1)]  # so thing 0 is thing 1, and lines 14, 15 lie
    message = refusal(write(tmp_path, pd.concat([frame, pd.DataFrame(chain, columns=list(frame.columns))])))
    says(message, "2 labelled 0 have the same identity (line 14", "names no identities", "Valid is")


def test_image_of_two_identities(tmp_path):
    """An image that rows give different identities is named with both."""
    frame = pair_frame()
    frame.loc[13, "front_identity"] = "thing7"
    message = refusal(write(tmp_path, frame))
    says(message, "1 of 24 images", "1_front.jpg: thing1, thing7", "Valid is one identity for an image")


def test_pair_with_both_labels(tmp_path):
    """The same two images labelled 0 and 1, in either order, are refused with both lines."""
    frame = pair_frame()
    twin = frame.loc[[0]].assign(front="0_angle.jpg", angle="0_front.jpg", pair_label=0)
    message = refusal(write(tmp_path, pd.concat([frame, twin])))
    says(message, "1 pairs are labelled both", "0_front.jpg, 0_angle.jpg (lines 2, 26)", "Valid is one pair_label")


def test_repeated_pairs_are_told(tmp_path):
    """A row that repeats another is kept, and counted in a note."""
    frame = pair_frame()
    table = read_pairs(write(tmp_path, pd.concat([frame, frame.loc[[0, 1]]])))
    assert len(table.front) == 26 and ": 2;" in table.notes[0]


def test_missing_images(tmp_path):
    """All missing files are counted; twenty are listed."""
    path = write(tmp_path, pair_frame(30))
    for i in range(25):
        (tmp_path / f"{i}_angle.jpg").unlink()
    message = refusal(path)
    says(message, "25 of 60 images are missing", "\n  0_angle.jpg", "and 5 more", f"relative to {tmp_path}", "Restore")
    assert message.count("_angle.jpg") == 20


def test_too_few_identities_to_split(tmp_path):
    """A table too small to be split is refused with what a split needs."""
    frame = pair_frame(2).drop(columns="split")
    says(refusal(write(tmp_path, frame)), "2 identities in 4 pairs", "valid is at least two", "Add pairs")


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.8, 0.2, 0.0), (0.6, 0.6, 0.6), (np.nan, 0.5, 0.5)])
def test_fractions(tmp_path, fractions):
    """Fractions that are not three shares of one are refused."""
    says(refusal(write(tmp_path, pair_frame()), fractions=fractions), "fractions are", "valid are three numbers")
