"""The doctor looks before anything is trained: a verdict a line, an exit code, and the words with which a run refuses."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from tests.trainable.data.test_read_pairs import pair_frame
from trainable.errors import InputError
from tuner.cli.run_options import DataOptions, RunOptions
from tuner.doctor import main
from tuner.search.plan import prepare

pytestmark = pytest.mark.usefixtures("one_thread")


def written(folder: Path, frame: pd.DataFrame) -> Path:
    """The table and its images, smooth and all different."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(sorted({*frame["front"], *frame["angle"]})):
        coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 32)).save(folder / name)
    frame.to_csv(folder / "pairs.csv", index=False)
    return folder / "pairs.csv"


def pairs() -> pd.DataFrame:
    """48 identities, 16 a split, with PNG images."""
    frame = pair_frame(48)
    return frame.assign(**{side: frame[side].str.replace("jpg", "png") for side in ("front", "angle")})


@pytest.fixture
def doctor(capsys) -> Callable[..., tuple[int, dict]]:
    """Runs the command with --json; returns its exit code and what it printed."""

    def run(*arguments: object) -> tuple[int, dict]:
        code = main([*map(str, arguments), "--json", "--image-size-px", "32", "--batch-size", "8"])
        return code, json.loads(capsys.readouterr().out)

    return run


def line(report: dict, check: str) -> dict:
    (one,) = [finding for finding in report["findings"] if finding["check"] == check]
    return one


def test_an_identity_in_two_splits_and_a_pair_with_both_labels_are_both_listed(doctor, tmp_path):
    """The doctor does not stop at the first mistake, and exits with 1."""
    frame = pairs()
    frame.loc[16, ["angle", "angle_identity", "front", "front_identity"]] = frame.loc[
        0, ["angle", "angle_identity", "front", "front_identity"]
    ]
    twin = frame.loc[[1]].assign(pair_label=0)
    code, report = doctor("--data", written(tmp_path, pd.concat([frame, twin])))
    assert (code, report["verdict"]) == (1, "fail")
    assert "thing0: train, val" in line(report, "an identity in one split only")["found"]
    assert "1_front.png, 1_angle.png" in line(report, "one label for a pair")["found"]
    assert line(report, "readable images")["verdict"] == "ok"


def test_damaged_images_are_listed_beside_what_else_is_wrong(doctor, tmp_path):
    """They end the look at images, not the look at the table."""
    table = written(tmp_path, pairs())
    os.truncate(tmp_path / "3_front.png", 100)
    code, report = doctor("--data", table, "--batch-size", 64)
    assert code == 1 and "3_front.png: truncated or damaged" in line(report, "readable images")["found"]


def test_one_class_only(doctor, tmp_path):
    """Fatal, with the label that is lacking."""
    frame = pairs()
    code, report = doctor("--data", written(tmp_path, frame[frame["pair_label"] == 1]))
    assert code == 1 and line(report, "labels")["advice"].endswith("Add pairs with pair_label 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere.csv"], "there is no"),
        (["--views", "0"], "--views is 0"),
        (["--space", "nonsense"], "there is no space 'nonsense'"),
        (["--batch-size", "1"], "batch_size is 1"),
    ],
)
def test_mistakes_in_the_command_exit_with_2(arguments, said, capsys):
    """And one message on stderr, no traceback."""
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert said in told.err and not told.out


def leaky(folder: Path) -> Path:
    frame = pairs()
    frame.loc[16, ["angle", "angle_identity", "front", "front_identity"]] = frame.loc[
        0, ["angle", "angle_identity", "front", "front_identity"]
    ]
    return written(folder, frame)


def options(table: Path, **changes) -> RunOptions:
    return RunOptions(data=DataOptions(data=str(table), image_size_px=32), **changes)


def test_a_run_refuses_what_is_fatal_in_the_doctor_s_words(doctor, tmp_path, monkeypatch):
    """And says how it can be forced; forced, it tells the same and goes on."""
    table = leaky(tmp_path / "data")
    _, report = doctor("--data", table)
    finding = line(report, "an identity in one split only")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        prepare(options(table), Console(quiet=True))
    assert finding["found"] in str(refused.value) and finding["advice"] in str(refused.value)
    assert "--force" in str(refused.value)
    console = Console(record=True, width=200, file=io.StringIO())
    plan = prepare(options(table, force=True), console)
    assert len(plan.table.front) == 96 and "forced: an identity in one split only" in console.export_text()


def test_a_run_says_warnings_and_goes_on(tmp_path, monkeypatch):
    """A few hundredths of bad pictures stop nobody."""
    table = written(tmp_path / "data", pairs())
    Image.new("RGB", (32, 32), "green").save(table.parent / "5_front.png")
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=200, file=io.StringIO())
    prepare(options(table), console)
    assert "warning: variety of images: 1 of 96 images are of one colour: 5_front.png" in console.export_text()
