"""docs/coming-from.md: every block runs, one after the other, and gives what the page says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import ray

import search_spaces
from tests.tools.real_ray import ROOT
from tuner.inputs.given import space_option

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^##? ([^\n]+)\n(?:(?!^#).)*?^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def begun(pairs: Path) -> dict[str, Any]:
    """What the page begins with, run beside the pair table."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(pairs.parent)
        exec(BLOCKS["Coming from another tool"], names)
    return names


def after(begun: dict[str, Any], title: str) -> dict[str, Any]:
    """The names that there are when the block below this title has run."""
    names = dict(begun)
    exec(BLOCKS[title], names)
    return names


def test_the_page_has_a_block_for_each_tool():
    """And one for those who want none."""
    tools = ("Ray Tune", "Optuna", "W&B sweeps", "pytorch-metric-learning")
    assert set(BLOCKS) == {"Coming from another tool", "A plain loop", *(f"From {tool}" for tool in tools)}


def test_a_plain_loop_reports_each_epoch(begun: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    """A line an epoch."""
    after(begun, "A plain loop")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]


def test_a_tuner_of_ones_own_trains_pair_trials(begun: dict[str, Any], cluster: Any, tmp_path: Path, monkeypatch: Any):
    """Its best result is a configuration as it was drawn, with the numbers of its last epoch."""
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.setenv("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    monkeypatch.setenv("HOME", str(tmp_path))  # where Tune keeps its own results
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        best = after(begun, "From Ray Tune")["best"]
    finally:
        ray.shutdown()
    assert 0.05 <= best.config["temperature"] <= 1.0 and best.error is None
    assert best.metrics["epoch"] == 2 and best.metrics["objective"] == best.metrics["val_auc"]
    assert math.isfinite(best.metrics["contrastive_loss"])


def test_an_objective_of_ones_own_is_a_plain_loop(begun: dict[str, Any], quiet_optuna: None):
    """The study has its values and those of each epoch."""
    study = after(begun, "From Optuna")["study"]
    assert [len(trial.intermediate_values) for trial in study.trials] == [2, 2]
    assert all(trial.value == trial.intermediate_values[2] for trial in study.trials)


def test_a_sweeps_parameters_are_a_space(begun: dict[str, Any], tmp_path: Path):
    """The function is one that `run_search` takes."""
    (tmp_path / "sweep.py").write_text(BLOCKS["From W&B sweeps"])
    names: dict[str, Any] = {}
    exec(compile(BLOCKS["From W&B sweeps"], str(tmp_path / "sweep.py"), "exec"), names)
    space = search_spaces.load(space_option(names["sweep"], tmp_path))
    assert space.question == "What the sweep's YAML asked."
    assert set(space.probe(4).distributions) == {"temperature", "weight_decay"}


def test_embeddings_have_the_labels_of_their_images(begun: dict[str, Any]):
    """A label an embedding; those of one pair of the same thing are the same."""
    names = after(begun, "From pytorch-metric-learning")
    data, rows, labels = names["data"], names["rows"], names["labels"]
    assert names["embeddings"].shape == (len(labels), names["training"].config.embedding_size)
    place = {image: index for index, image in enumerate(sorted({*data.front[rows], *data.angle[rows]}))}
    for row, score in zip(rows, names["scores"], strict=True):
        front, angle = place[data.front[row]], place[data.angle[row]]
        assert (labels[front] == labels[angle]) == bool(data.pair_label[row])
        assert abs(float(names["embeddings"][front] @ names["embeddings"][angle]) - score) < 1e-5
