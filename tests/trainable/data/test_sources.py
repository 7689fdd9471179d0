"""Every kind of file and folder that pairs are read from gives the same table; what is not read is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainable.data.test_read_pairs import SHARED, pair_frame, refusal, says
from trainable.data import sources
from trainable.data.read_pairs import read_pairs

CASES = SHARED.parent / "cases" / "tables"


def touched(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, after an empty file was made for each of its images."""
    for name in {*frame["front"], *frame["angle"]}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return frame


def as_json_lines(folder: Path, frame: pd.DataFrame) -> Path:
    """Hugging Face's metadata.jsonl beside the images."""
    renamed = frame.rename(columns={"front": "front_file_name", "angle": "angle_file_name"})
    renamed.to_json(folder / "metadata.jsonl", orient="records", lines=True)
    return folder / "metadata.jsonl"


def as_parts(folder: Path, frame: pd.DataFrame) -> Path:
    """A folder as Spark writes it, the images beside it."""
    made = folder / "pairs_ds.parquet"
    made.mkdir()
    for number, start in enumerate(range(0, len(frame), 10)):
        frame.iloc[start : start + 10].to_parquet(made / f"part-{number:04}.parquet", index=False)
    (made / "_SUCCESS").touch()
    (made / ".part-0000.parquet.crc").touch()
    return made


def as_hive(folder: Path, frame: pd.DataFrame) -> Path:
    """A folder for each split, whose files name no split; the images are in the folder."""
    for split, rows in frame.groupby("split"):
        (folder / f"split={split}").mkdir()
        rows.drop(columns="split").to_parquet(folder / f"split={split}" / "0.parquet", index=False)
    return folder


def as_named_parts(folder: Path, frame: pd.DataFrame) -> Path:
    """Files named as Hugging Face names those of a split."""
    (folder / "data").mkdir()
    for split, rows in frame.groupby("split"):
        name = {"val": "validation"}.get(str(split), split)
        rows.drop(columns="split").to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet", index=False)
    return folder


@pytest.mark.parametrize("written", [as_json_lines, as_parts, as_hive, as_named_parts])
def test_other_formats_are_the_same_table_as_the_csv(tmp_path, written):
    """The same pairs, labels, identities, splits and images."""
    frame = touched(tmp_path, pair_frame())
    table = read_pairs(written(tmp_path, frame))
    rows = {
        (table.image_names[f], table.image_names[a], int(label), table.identity_names[i], table.identity_names[j], str(s))
        for f, a, label, i, j, s in zip(
            table.front, table.angle, table.pair_label, table.front_identity, table.angle_identity, table.split, strict=True
        )
    }  # fmt: skip
    columns = ["front", "angle", "pair_label", "front_identity", "angle_identity", "split"]
    assert rows == set(frame[columns].itertuples(index=False, name=None))
    assert all(Path(image).is_file() for image in table.images)


def test_how_a_folder_was_taken_is_said(tmp_path):
    """The parts, and where the splits are from."""
    note = " ".join(read_pairs(as_named_parts(tmp_path, touched(tmp_path, pair_frame()))).notes)
    assert "its 3 parts are read: data/test-00000-of-00001.parquet" in note and "in the file's name" in note


def test_a_folder_of_identities_stays_one_with_a_table_beside(tmp_path):
    """A stray file of labels does not make parts of a table out of it."""
    for identity in range(6):
        (tmp_path / f"thing{identity}").mkdir()
        for side in ("front", "angle"):
            (tmp_path / f"thing{identity}" / f"{side}.jpg").touch()
    (tmp_path / "labels.csv").write_text("thing,colour\nthing0,red\n")
    assert len(read_pairs(tmp_path).identity_names) == 6


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_column_that_comes_twice_is_named(tmp_path, suffix):
    """Which of them is meant cannot be told; a JSON object has the last of two, as JSON itself does."""
    frame = touched(tmp_path, pair_frame())
    if suffix == "jsonl":
        frame["front_file_name"] = frame["front"]
        frame = pd.concat([frame, frame[["front"]].set_axis([" front"], axis=1)], axis=1)
        path = tmp_path / "pairs.jsonl"
        frame.to_json(path, orient="records", lines=True)
    elif suffix == "csv":
        path = tmp_path / "pairs.csv"
        pd.concat([frame, frame[["front"]]], axis=1).to_csv(path, index=False)
    else:
        path = tmp_path / "pairs.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table.append_column("front", table.column("angle")), path)
    says(refusal(path), "the column 'front' 2 times", "valid is once", "Remove or rename")


def test_other_columns_may_come_twice(tmp_path):
    """What a pair table does not know is passed over."""
    frame = touched(tmp_path, pair_frame()).assign(note=1)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table.append_column("note", table.column("note")), tmp_path / "pairs.parquet")
    assert len(read_pairs(tmp_path / "pairs.parquet").front) == 24


def test_parts_must_have_the_same_columns(tmp_path):
    """Else a part's rows would have empty cells that nobody left empty."""
    frame = touched(tmp_path, pair_frame())
    frame.iloc[:12].to_parquet(tmp_path / "a.parquet")
    frame.iloc[12:].drop(columns=["front_identity", "angle_identity"]).to_parquet(tmp_path / "b.parquet")
    says(refusal(tmp_path), "have different columns", "a.parquet and b.parquet", "angle_identity, front_identity")


@pytest.mark.parametrize("line", ["nonsense", "[1, 2]", '{"front": 1'])
def test_a_line_that_is_no_json_object_is_named(tmp_path, line):
    """With its number, and what a line is."""
    path = as_json_lines(tmp_path, touched(tmp_path, pair_frame()))
    path.write_text(path.read_text() + f"\n{line}\n")
    says(refusal(path), "line 26, is not JSON lines", '"pair_label": 1')


def test_a_json_line_that_lacks_a_cell_is_named(tmp_path):
    """By its line."""
    path = as_json_lines(tmp_path, touched(tmp_path, pair_frame()))
    path.write_text(path.read_text().replace('"split":"train"', '"other":1', 1))
    says(refusal(path), "empty cells", "split: 1 (line 1)")


def test_a_source_is_a_function_and_a_line(tmp_path, monkeypatch):
    """What the registry names is read, and named among what is valid."""
    frame = touched(tmp_path, pair_frame())
    frame.to_csv(tmp_path / "pairs.psv", index=False, sep="|")

    def read_psv(path, given):
        path.with_suffix(".csv").write_text(path.read_text().replace("|", ","))
        return sources.read_csv(path.with_suffix(".csv"), given)

    monkeypatch.setitem(sources.FILES, ".psv", read_psv)
    assert len(read_pairs(tmp_path / "pairs.psv").front) == 24


def test_the_shared_cases_are_read_or_named(tmp_path):
    """A column twice is named; parts, hive and JSON lines are read."""
    if not CASES.is_dir():
        pytest.skip("the shared cases are not here")
    folder = Path(shutil.copytree(CASES, tmp_path / "tables", copy_function=shutil.copyfile))
    for place in (folder, folder / "hive", folder / "metadata_jsonl"):
        (place / "img").mkdir(mode=0o755)
        for number in range(60):
            for side in ("f", "a"):
                (place / "img" / f"{number:03}_{side}.jpg").touch()
    says(refusal(folder / "dup.parquet"), "'front' 2 times")
    assert len(read_pairs(folder / "pairs_ds.parquet").front) == 48
    assert len(read_pairs(folder / "metadata_jsonl").front) == 48
    hive = read_pairs(folder / "hive", tolerated=[])  # two of its identities are in two splits
    assert {str(split) for split in hive.split} == {"train", "val", "test"}
