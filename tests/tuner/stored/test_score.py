"""What an exported folder does with many images: tables of pairs, embeddings, nearest neighbours, ONNX, a model card."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from tests.tools.finished_run import COMPLETE, RUN, SPACE, FinishedRun
from trainable.data.read_pairs import read_pairs
from trainable.metrics import calibration
from tuner.results.writer import RunTables

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def scripts(model: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The folder's own score.py and embed.py, as Python loads them there."""
    monkeypatch.syspath_prepend(str(model))
    for name in ("score", "embed"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    loaded = []
    for name in ("score", "embed"):
        spec = importlib.util.spec_from_file_location(name, model / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        loaded.append(module)
    return loaded[0], loaded[1]


@pytest.fixture
def pairs(run: FinishedRun) -> pd.DataFrame:
    """The run's validation pairs with the search's scores; paths relative to the folder of the pair table."""
    table = read_pairs(run.pairs, seed=0)
    known = RunTables(run.root, SPACE, RUN).read_scores(COMPLETE)
    images = [Path(path).relative_to(table_folder(run)).as_posix() for path in table.images]
    sides = {
        name: [images[side[p]] for p in known["pair"]]
        for name, side in (("front", table.front), ("angle", table.angle))
    }
    return pd.DataFrame(sides | {"expected": known["score"]})


def table_folder(run: FinishedRun) -> Path:
    """Where the pair table is."""
    return run.pairs if run.pairs.is_dir() else run.pairs.parent


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_pairs_gets_the_search_s_own_scores(
    scripts, run: FinishedRun, pairs: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture, kind: str
) -> None:
    """From CSV and Parquet, in batches of any size, with progress; the rows that were there stay."""
    score = scripts[0]
    table = table_folder(run) / f"to-score.{kind}"
    getattr(pairs, f"to_{kind}")(table, index=False)
    score.main([str(table), "--to", str(tmp_path / "scores.parquet"), "--batch", "7"])
    found = pd.read_parquet(tmp_path / "scores.parquet")
    np.testing.assert_allclose(found.score, pairs.expected, atol=1e-5)
    assert (
        found.same == (found.score >= score.model().threshold)
    ).all() and found.front.tolist() == pairs.front.tolist()
    curve = calibration.fit(
        pairs.expected.to_numpy(), RunTables(run.root, SPACE, RUN).read_scores(COMPLETE)["pair_label"]
    )
    np.testing.assert_allclose(found.probability, curve(found.score.to_numpy()), atol=1e-6)
    images = len(set(pairs.front) | set(pairs.angle))
    printed = capsys.readouterr()
    assert f"{len(pairs):,} pairs scored" in printed.out and f"{images:,} of {images:,} images" in printed.err


def test_an_image_is_read_once_and_the_model_loaded_once(
    scripts, run: FinishedRun, pairs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pairs it is in, and however often two files are scored."""
    score, read, loaded = scripts[0], [], []
    monkeypatch.setattr(score, "read", lambda path, how, real=score.read: read.append(path) or real(path, how))
    monkeypatch.setattr(score, "load", lambda where, real=score.load: loaded.append(where) or real(where))
    files = [table_folder(run) / name for name in (pairs.front[0], pairs.angle[0])]
    for _ in range(3):
        score.score(*files)
    assert len(loaded) == 1 and len(read) == 6
    read.clear()
    score.model().score_pairs([files[0]] * 5, [files[1]] * 5)
    assert len(read) == 2


def test_embeddings_of_a_folder_find_an_image_s_nearest(
    scripts, run: FinishedRun, pairs: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A row an image; an image is nearest to itself, and another's score is that of their pair."""
    score, embed = scripts
    embed.main([str(table_folder(run)), "--to", str(tmp_path / "embeddings.parquet")])
    gallery = pd.read_parquet(tmp_path / "embeddings.parquet")
    assert {*pairs.front, *pairs.angle} <= set(gallery.path)
    np.testing.assert_allclose(np.linalg.norm(np.stack(list(gallery.embedding)), axis=1), 1, atol=1e-5)
    front = table_folder(run) / pairs.front[0]
    found = embed.nearest(score.model(), front, gallery, len(gallery)).set_index("path")
    assert found.score.iloc[0] == pytest.approx(1, abs=1e-5) and found.score.is_monotonic_decreasing
    assert found.score[pairs.angle[0]] == pytest.approx(pairs.expected[0], abs=1e-5)
    capsys.readouterr()
    embed.main([str(front), "--near", str(tmp_path / "embeddings.parquet"), "--count", "3"])
    assert len(capsys.readouterr().out.strip().splitlines()) == 4


def test_onnx_gives_the_same_scores(scripts, run: FinishedRun, pairs: pd.DataFrame, tmp_path: Path) -> None:
    """Through score.py in onnxruntime, to 1e-4."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    table = table_folder(run) / "to-score-onnx.csv"
    pairs.to_csv(table, index=False)
    scripts[0].main([str(table), "--to", str(tmp_path / "scores.csv"), "--onnx"])
    np.testing.assert_allclose(pd.read_csv(tmp_path / "scores.csv").score, pairs.expected, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pairs.txt", "--to", "scores.csv"], "is neither .csv nor .parquet"),
        (["pairs.csv", "--to", "scores.csv"], "valid is a table with front and angle"),
        (["gone.csv", "--to", "scores.csv"], "gone.csv"),
    ],
)
def test_mistakes_in_a_table_are_told(scripts, tmp_path: Path, monkeypatch, arguments: list[str], said: str) -> None:
    """What was got and what is valid, in one line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text("left,right\na.png,b.png\n")
    with pytest.raises(SystemExit, match=said):
        scripts[0].main(arguments)


def test_the_hub_reads_the_model_card(model: Path, run: FinishedRun) -> None:
    """Tags, library, metrics and results, by the Hub's own reader."""
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(model / "README.md", ignore_metadata_errors=False)
    assert card.data.library_name == "timm" and "image-matching" in card.data.tags
    assert card.data.metrics == ["accuracy", "roc_auc"]
    results = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert results["validation", "accuracy"] == run.rows(COMPLETE)["val_accuracy"]
    assert card.data.model_name == f"{RUN} trial {COMPLETE}" and "# Do two images show" in card.text


def test_the_probability_s_error_is_told(model: Path) -> None:
    """In config.json and in words, cross-fitted."""
    said = json.loads((model / "config.json").read_text())["probability"]
    assert 0 <= said["calibration_error"] <= 1 and 0 < said["positive_share"] < 1
    assert f"off by {said['calibration_error']:.3f} on average" in (model / "README.md").read_text()
