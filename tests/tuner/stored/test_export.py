"""An exported folder is the trial's model: the search's scores, without a line of this project."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import io
import json
import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.tools.finished_run import (
    BROKEN,
    COMPLETE,
    CRASHED,
    DIVERGED,
    REPLAYED,
    RUN,
    SPACE,
    SPEC,
    STOPPED,
    FinishedRun,
)  # fmt: skip
from trainable.config import Purpose
from trainable.data.decoder import FITS
from trainable.data.images import read_images
from trainable.data.pairs import PairTable
from trainable.data.read_pairs import read_pairs
from trainable.metrics import thresholds
from trainable.metrics.verification import verify
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.loop import new_encoder
from tuner.cli.run_options import DataOptions
from tuner.cli.stored_options import TrialSource
from tuner.export import main
from tuner.inputs.dataset import load
from tuner.results.writer import RunTables
from tuner.stored import export as export_trial
from tuner.stored import export_folder, onnx_model
from tuner.stored import score as exported_score
from tuner.stored import trial as stored_trial

pytestmark = pytest.mark.usefixtures("one_thread")
LIBRARIES = {"PIL", "numpy", "safetensors", "timm", "torch"}
OF_TABLES = {"pandas", "onnxruntime"}
MODEL_FILES = ["README.md", "config.json", "embed.py", "model.safetensors", "score.py"]


@pytest.fixture
def export(run: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture):
    """The command, on this run unless told another, to a new folder: (exit code, output, folder)."""

    def command(*arguments: object, root: Path = run.root, folder: Path = tmp_path / "model") -> tuple[int, str, Path]:
        code = main([*map(str, arguments), "--to", str(folder), "--results", str(root)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err, folder

    return command


@pytest.fixture
def copied(run: FinishedRun, tmp_path: Path) -> Path:
    """The run's results, to be changed."""
    return shutil.copytree(run.root, tmp_path / "results")


def scorer(folder: Path) -> ModuleType:
    """The folder's own score.py."""
    spec = importlib.util.spec_from_file_location("score", folder / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("trial", [COMPLETE, STOPPED, BROKEN, REPLAYED])
def test_image_files_get_the_search_s_own_scores(run: FinishedRun, export, trial: int) -> None:
    """Of a completed and a pruned trial, of one that failed later and of one that was judged by another's scores."""
    code, output, folder = export(RUN, trial)
    assert code == 0, output
    table = read_pairs(run.pairs, seed=0)
    known = RunTables(run.root, SPACE, RUN).read_scores(trial)
    score = scorer(folder).score
    for pair, expected in list(zip(known["pair"], known["score"], strict=True))[::7]:
        cosine, threshold = score(table.images[table.front[pair]], table.images[table.angle[pair]])
        assert cosine == pytest.approx(expected, abs=1e-5)
        assert threshold == run.rows(trial)["threshold"]
    assert sorted(file.name for file in folder.iterdir() if file.is_file()) == MODEL_FILES


def run_in(folder: Path, file: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a file of the folder as `python file` does there; a warning is an error, as in all tests."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [file, *map(str, arguments)])
    runpy.run_path(file, run_name="__main__")


def test_a_dozen_lines_of_plain_timm_and_torch_give_the_search_s_own_score(
    run: FinishedRun, export, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Those in the folder's README; and score.py says in a line which file it cannot read."""
    _, _, folder = export(RUN, COMPLETE)
    lines = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (folder / "lines.py").write_text(lines, encoding="utf-8")
    table = read_pairs(run.pairs, seed=0)
    known = RunTables(run.root, SPACE, RUN).read_scores(COMPLETE)
    pair = known["pair"][3]
    files = [table.images[side[pair]] for side in (table.front, table.angle)]
    run_in(folder, "lines.py", *files, monkeypatch=monkeypatch)
    assert float(capsys.readouterr().out) == pytest.approx(known["score"][3], abs=1e-5)
    assert imported(lines) - sys.stdlib_module_names == LIBRARIES
    with pytest.raises(SystemExit, match=r"^error: .*nowhere\.png"):
        run_in(folder, "score.py", files[0], "nowhere.png", monkeypatch=monkeypatch)


def imported(source: str) -> set[str]:
    """The packages that a piece of Python imports."""
    tree = ast.parse(source)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_its_scripts_import_nothing_of_the_project(export) -> None:
    """Python's own, numpy, Pillow, safetensors, timm and torch; pandas for tables and onnxruntime where it is asked for."""
    _, _, folder = export(RUN, COMPLETE)
    used = imported((folder / "score.py").read_text(encoding="utf-8"))
    assert used - sys.stdlib_module_names == LIBRARIES | OF_TABLES
    used = imported((folder / "embed.py").read_text(encoding="utf-8"))
    assert used - sys.stdlib_module_names == {"numpy", "pandas", "score"}


def test_the_winner_is_exported_without_a_number(run: FinishedRun, export) -> None:
    """With the configuration, the threshold and what the run was made of."""
    code, output, folder = export(RUN)
    assert code == 0 and f"trial {COMPLETE} of {RUN}, completed" in output and "kept by the run" in output
    config = json.loads((folder / "config.json").read_text())
    assert config["threshold"] == 0.5 and config["threshold_source"] == "searched"
    assert config["trained_as"]["learning_rate"] == 3e-3
    assert config["preprocessing"]["image_size_px"] == 16
    assert config["preprocessing"]["mean"] == list(run.backbone.mean)
    assert config["check"]["largest_score_difference"] <= 1e-5
    assert str(run.pairs.parent) not in (folder / "config.json").read_text(), "no path of this machine"


def test_weights_that_were_not_kept_are_trained_again(export, copied: Path, tmp_path: Path) -> None:
    """To the bit, and it says so."""
    kept = export(RUN, COMPLETE)[2] / "model.safetensors"
    shutil.rmtree(copied / "state")
    code, output, folder = export(RUN, COMPLETE, root=copied, folder=tmp_path / "again")
    assert code == 0 and "not kept by the run; training again, " in output
    assert (folder / "model.safetensors").read_bytes() == kept.read_bytes()


def test_a_replayed_trial_has_the_weights_of_the_trial_that_answered_for_it(
    run: FinishedRun, export, copied: Path
) -> None:
    """With its own threshold; of another epoch than the one whose weights were kept, it is trained again."""
    epoch = run.rows(COMPLETE)["ranked_epoch"]
    other = RunTables(copied, SPACE, RUN)
    other.append_trial(other.trial_rows()[REPLAYED] | {"ranked_epoch": epoch - 1})
    assert f"training again, {epoch - 1} of 2 epochs" in export(RUN, REPLAYED, root=copied)[1]
    tables = RunTables(copied, SPACE, RUN)
    tables.append_trial(tables.trial_rows()[COMPLETE] | {"trial": REPLAYED, "replay_of": COMPLETE, "threshold": 0.6})
    tables.write_scores(REPLAYED, tables.read_scores(COMPLETE) | {"epoch": epoch})
    code, output, folder = export(RUN, REPLAYED, "--force", root=copied)
    assert code == 0 and "kept by the run" in output
    assert json.loads((folder / "config.json").read_text())["threshold"] == 0.6


def test_a_threshold_that_nobody_chose_is_solved(export, copied: Path) -> None:
    """As the verdict on test pairs does it for a trial whose threshold was fixed."""
    tables = RunTables(copied, SPACE, RUN)
    tables.append_trial(tables.trial_rows()[0] | {"threshold_source": "fixed"})
    scores = tables.read_scores(0)
    config = json.loads((export(RUN, root=copied)[2] / "config.json").read_text())
    assert config["threshold_source"] == "solved on validation pairs"
    right = (scores["score"] >= config["threshold"]) == (scores["pair_label"] == 1)
    own = (scores["score"] >= 0.5) == (scores["pair_label"] == 1)
    assert config["threshold"] != 0.5 and right.mean() >= own.mean()


def test_a_model_with_other_scores_is_not_written(export, copied: Path) -> None:
    """The exit code is 1, the difference and what has changed since are named, and the folder is not there."""
    tables = RunTables(copied, SPACE, RUN)
    tables.write_run({"versions": {"torch": "1.0"}})
    scores = tables.read_scores(0)
    tables.write_scores(0, scores | {"score": scores["score"] - np.float32(0.01), "epoch": scores["epoch"][0]})
    code, output, folder = export(RUN, COMPLETE, root=copied)
    assert code == 1 and not folder.exists()
    assert "not the model that the search scored" in output and "0.01" in output and "torch: 1.0, now " in output


def test_a_folder_with_files_is_refused_and_nothing_is_lost(export) -> None:
    """Without --force; with it an earlier export is replaced, and what is not an export's is left or refused."""
    folder = export(RUN, COMPLETE)[2]
    (folder / "notes.txt").write_text("mine")
    (folder / onnx_model.FILE).write_text("of the earlier export")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    code, output, _ = export(RUN, STOPPED)
    assert code == 2 and "is not empty" in output and "--force" in output
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert export(RUN, STOPPED, "--force")[0] == 0
    assert sorted(file.name for file in folder.iterdir()) == sorted([*MODEL_FILES, "notes.txt"])
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "model.safetensors").read_bytes() != before["model.safetensors"]
    (folder / "config.json").write_text("{}")
    code, output, _ = export(RUN, COMPLETE, "--force")
    assert code == 2 and "not an export's: README.md, config.json" in output
    assert (folder / "config.json").read_text() == "{}"


def test_without_the_data_kept_weights_are_exported_unchecked(export, copied: Path, tmp_path: Path) -> None:
    """When that is asked for; what must be trained again cannot be."""
    RunTables(copied, SPACE, RUN).write_run({"data": "/nowhere/pairs.csv"})
    code, output, folder = export(RUN, COMPLETE, root=copied)
    assert code == 2 and "/nowhere/pairs.csv" in output and not folder.exists()
    assert export(RUN, COMPLETE, "--unchecked", root=copied)[0] == 0
    assert "Not checked" in (folder / "README.md").read_text()
    code, output, _ = export(RUN, BROKEN, "--unchecked", root=copied, folder=tmp_path / "other")
    assert code == 2 and "must be trained again" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((RUN, DIVERGED), "is sick and has no best epoch to export: not finite"),
        ((RUN, CRASHED), "is failed and has no best epoch to export: RuntimeError: a cable came loose"),
        ((RUN, 17), "has no trial 17; valid are the trials that have ended: 0 to 6"),
        (("run-z",), "there is no run 'run-z'"),
    ],
)
def test_mistakes_are_told(export, arguments: tuple, said: str) -> None:
    """What was got, what is valid, what to do; the exit code is 2 and nothing is written."""
    code, output, folder = export(*arguments)
    assert code == 2 and said in output and "Traceback" not in output and not folder.exists()


@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/model", "s3://bucket/model"])
def test_a_place_where_no_folder_can_be_is_told_at_once(export, tmp_path: Path, place: str) -> None:
    """A file, something below a file, an address."""
    (tmp_path / "notes.txt").write_text("mine")
    code, output, _ = export(RUN, folder=place if "://" in place else tmp_path / place)
    assert code == 2 and "--to" in output and "valid is a" in output and "Traceback" not in output


def test_a_run_without_a_winner_names_its_best_trial(export, copied: Path) -> None:
    """It was interrupted, or goes on: what won before need not be the best any more."""
    RunTables(copied, SPACE, RUN).write_run({"state": "interrupted"})
    code, output, _ = export(RUN, root=copied)
    assert code == 2 and "its best trial so far is " in output and "Name a trial" in output


@pytest.mark.parametrize(
    "backbone", ["test_vit", "test_vit4", "test_resnet", "test_convnext", "test_efficientnet", "test_mambaout"]
)
def test_every_family_of_backbones_is_exported(
    run: FinishedRun, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Also one that is built for one size of images, and one that cannot be cut; with own normalisation."""
    stored = stored_trial.find(TrialSource(results=str(run.root)), RUN, COMPLETE)
    spec = BackboneSpec(backbone, "none", 64, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    stored = dataclasses.replace(stored, spec=spec, config=dataclasses.replace(stored.config, hidden_size=0))
    created = create_backbone(spec)
    encoder = new_encoder(created, stored.config).eval()
    config = export_trial._config(stored, created, {"threshold": 0.5})
    export_trial._write_model(tmp_path, encoder, config)
    pixels = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    with torch.inference_mode():
        expected, found = encoder(pixels), exported_score.load(tmp_path)[0](pixels)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    for at, image in enumerate(pixels[:2]):
        Image.fromarray(image.numpy()).save(tmp_path / f"{at}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["-c", "0.png", "1.png"])
    exec(export_folder.in_a_dozen_lines(config), {})
    assert float(capsys.readouterr().out) == pytest.approx(float(expected[0] @ expected[1]), abs=1e-6)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def image_files(top: int = 1) -> dict[str, bytes]:
    """Images of every kind that needs care, none of them square. top: the highest level of floats; 12 bits above 1."""
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (90, 140, 3), dtype=np.uint8))
    large = colour.resize((1400, 900))
    turned = Image.Exif()
    turned[0x0112] = 6
    grey16 = Image.fromarray(random.integers(0, top + 1 if top > 1 else 65536, (50, 70), dtype=np.uint16))
    alpha = colour.convert("RGBA")
    alpha.putalpha(colour.convert("L"))
    return {
        "colour.jpg": encoded(colour, "JPEG"),
        "large.jpg": encoded(large, "JPEG"),
        "turned.jpg": encoded(large, "JPEG", exif=turned),
        "odd exif.jpg": encoded(colour, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "grey.png": encoded(colour.convert("L"), "PNG"),
        "grey16.png": encoded(grey16, "PNG"),
        "grey16 clear.png": encoded(grey16, "PNG", transparency=int(np.asarray(grey16)[3, 4])),
        "alpha.png": encoded(alpha, "PNG"),
        "grey alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "palette.png": encoded(colour.convert("P"), "PNG", transparency=3),
        "bits.png": encoded(colour.convert("1"), "PNG"),
        "print.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "float.tiff": encoded(Image.fromarray(top * random.random((40, 60), dtype=np.float32)), "TIFF"),
    }


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("top", [1, 4095])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size_px", [16, 64])
def test_images_are_prepared_as_in_training(size_px: int, fit: str, top: int, tmp_path: Path) -> None:
    """Turned by EXIF, grey, 16 bits, transparent, palette, CMYK, floats, much larger JPEGs, in every fit, and in every scale
    of floats and 12 bits: the same pixels."""
    files = image_files(top)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = tuple(files)
    none = np.empty(0, dtype=np.int64)
    read = PairTable("", tuple(tmp_path / n for n in names), names, none, none, none, none, none, (), none.astype(str))
    images = read_images(read, size_px, fit)
    scales = {kind: list(scale) for kind, scale in images.scales.items()}
    preprocessing = {"image_size_px": size_px, "fit": fit, "levels": scales}
    for name, expected in zip(read.image_names, images.pixels, strict=True):
        np.testing.assert_array_equal(exported_score.read(tmp_path / name, preprocessing), expected, err_msg=name)


@pytest.mark.parametrize("fit", FITS)
def test_the_run_s_fit_and_levels_travel_with_the_model(
    run: FinishedRun, export, copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, fit: str
) -> None:
    """In config.json, which score.py reads, and in the README, whose lines by hand do the same and which warns of timm's own
    transform; the search's square images have the same scores in every fit."""
    read = load(DataOptions(data=str(run.pairs), fit=fit), SPEC.image_size_px, 0, Console(quiet=True))
    RunTables(copied, SPACE, RUN).write_run(
        {"fit": fit, "levels": '{"whole": [0.0, 4095.0]}', "data_fingerprint": read.fingerprint}
    )
    code, output, folder = export(RUN, COMPLETE, root=copied)
    assert code == 0, output
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "timm.data.create_transform" in text and "4095 is white in whole numbers" in text
    assert {"squash": "squashed", "crop": "cropped to", "pad": "padded with"}[fit] in text
    (folder / "lines.py").write_text(text.split("```python\n")[1].split("```")[0], encoding="utf-8")
    files = [folder / "wide.png", folder / "tall.png"]
    for file, shape in zip(files, ((30, 50, 3), (50, 30, 3)), strict=True):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(file)
    run_in(folder, "lines.py", *files, monkeypatch=monkeypatch)
    by_hand = float(capsys.readouterr().out)
    assert scorer(folder).score(*files)[0] == pytest.approx(by_hand, abs=1e-5)
    pixels = scorer(folder).read(files[0], scorer(folder).load()[1]["preprocessing"])
    table = PairTable("", (files[0],), ("wide",), *[np.empty(0, dtype=np.int64)] * 5, (), np.empty(0, dtype=str))
    assert (pixels == read_images(table, SPEC.image_size_px, fit).pixels[0]).all()


def test_onnx_gives_the_same_embeddings_in_batches_of_any_size(run: FinishedRun, model: Path) -> None:
    """Of as many images as there are, also of one."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    encoder, _ = exported_score.load(model)
    for count in (1, 3, 40):
        pixels = run.data.pixels[:count]
        (found,) = session.run(None, {"pixels": pixels})
        with torch.inference_mode():
            np.testing.assert_allclose(found, encoder(torch.tensor(pixels)).numpy(), atol=1e-5)


def test_onnx_without_its_packages_is_told_at_once(export, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs them."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, output, folder = export(RUN, COMPLETE, "--onnx")
    assert code == 2 and "onnx and onnxscript cannot be imported" in output and "[onnx]" in output
    assert not folder.exists()


@pytest.mark.parametrize("purpose", ["eer", "far=0.1", "cost=5:1"])
def test_the_threshold_can_be_for_another_purpose(run: FinishedRun, export, purpose: str) -> None:
    """Solved on the validation scores, with an interval and its rates; a searched one gives way."""
    code, output, folder = export(RUN, COMPLETE, "--threshold-for", purpose)
    assert code == 0, output
    config = json.loads((folder / "config.json").read_text())
    scores = RunTables(run.root, SPACE, RUN).read_scores(COMPLETE)
    solved = thresholds.solve_for(Purpose.of(purpose), scores["score"], scores["pair_label"])
    assert config["threshold"] == solved.value != 0.5 and config["threshold_source"] == "solved on validation pairs"
    assert (config["rates"]["false_accept_rate"], config["rates"]["true_accept_rate"]) == (solved.far, solved.tar)
    low, high = config["threshold_interval"]
    card, best = (folder / "README.md").read_text(), verify(scores["score"], scores["pair_label"]).tar_at_far_1e1
    assert low <= high and f"for {purpose}, 95 % interval" in card
    assert config["rates"]["tar_at_far_1e1"] == best and f"on the same pairs: TAR {best:.3f} at FAR 0.1" in card


def test_a_rate_that_needs_more_negatives_is_refused(export) -> None:
    """With their number; and so is what is no purpose."""
    code, output, folder = export(RUN, COMPLETE, "--threshold-for", "far=1e-3")
    assert code == 2 and "needs 1,000 negative validation pairs" in output and not folder.exists()
    assert export(RUN, COMPLETE, "--threshold-for", "luck")[0] == 2
