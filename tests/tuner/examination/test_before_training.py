"""The doctor looks before anything is trained: a verdict a line, an exit code, and the words with which a run refuses."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.trainable.data.test_read_pairs import pair_frame
from trainable.data import decoder
from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec, create_backbone
from tuner.cli.run_options import FITS, DataOptions, ModelOptions, RunOptions
from tuner.doctor import main
from tuner.inputs.dataset import load_again
from tuner.search.plan import prepare
from tuner.search.run_row import of_plan

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


def in_12_bits(folder: Path) -> Path:
    """The table with images of 12 bits in 16-bit files."""
    table = written(folder, pairs())
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            levels = np.asarray(image.convert("L")).astype(np.uint16)
        Image.fromarray(levels * 16).save(path)
    return table


def test_levels_of_more_than_8_bits_are_told(doctor, tmp_path):
    """By the doctor as a line, by a run as a note before it begins; the decision is part of the run."""
    table = in_12_bits(tmp_path)
    _, report = doctor("--data", table)
    assert "4095 is white" in line(report, "levels")["found"] and line(report, "levels")["verdict"] == "ok"
    console = Console(file=io.StringIO(), record=True, width=200)
    plan = prepare(options(table), console)
    assert "note: 96 images with more than 8 bits" in console.export_text()
    assert plan.dataset.scales == {"whole": (0.0, 4095.0)} and of_plan(plan)["levels"] == '{"whole": [0.0, 4095.0]}'


def test_levels_that_cannot_be_told_are_fatal(doctor, tmp_path):
    """With the range that was found."""
    table = in_12_bits(tmp_path)
    Image.fromarray(np.full((32, 32), 7.5, np.float32)).save(tmp_path / "0_front.png", "TIFF")
    code, report = doctor("--data", table)
    assert code == 1 and "floats from 7.5 to 7.5" in line(report, "levels")["found"]


def test_the_part_of_a_checkpoint_that_is_read_is_told(doctor, tmp_path):
    """Weights under a prefix: the doctor has a line, a run a note."""
    net = create_backbone(BackboneSpec("test_byobnet")).net
    torch.save({f"visual.trunk.{name}": tensor for name, tensor in net.state_dict().items()}, tmp_path / "clip.pth")
    table = written(tmp_path, pairs())
    _, report = doctor("--data", table, "--weights", tmp_path / "clip.pth", "--space", "temperature")
    assert "under 'visual.trunk.' are read" in line(report, "weights")["found"]
    console = Console(file=io.StringIO(), record=True, width=300)
    prepare(dataclasses.replace(options(table), model=ModelOptions(weights=str(tmp_path / "clip.pth"))), console)
    assert "under 'visual.trunk.' are read" in console.export_text()


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_fit_is_a_run_s_own(tmp_path, fit):
    """Other pixels of images that are no squares, another fingerprint, and a column of the run."""
    table = written(tmp_path, pairs())
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            image.resize((48, 32)).save(path)
    quiet = Console(quiet=True)
    plans = [prepare(with_fit(options(table), name), quiet) for name in ("squash", fit)]
    assert plans[0].data_fingerprint != plans[1].data_fingerprint
    assert not (plans[0].data.pixels == plans[1].data.pixels).all() and of_plan(plans[1])["fit"] == fit
    row = of_plan(plans[1]) | {"run": "run-a"}
    again = load_again(row, DataOptions(data=str(table)), quiet)
    assert (again.data.pixels == plans[1].data.pixels).all()


def with_fit(given: RunOptions, fit: str) -> RunOptions:
    return dataclasses.replace(given, data=dataclasses.replace(given.data, fit=fit))


def test_a_fit_that_there_is_not(capsys):
    """Answered with those that there are."""
    assert main(["--fit", "stretch"]) == 2
    assert "valid are: squash, crop, pad" in capsys.readouterr().err
    assert FITS == decoder.FITS
