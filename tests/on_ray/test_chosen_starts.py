"""A search over what trials start from: backbones, image sizes and views, chosen trial by trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools.real_ray import SMALL, Here, table
from tuner.compare import main as compare
from tuner.export import main as export
from tuner.replay import main as replay
from tuner.results.one_run import WholeRun

CHOICES = ("backbone=test_byobnet,test_vit", "image_size_px=16,32", "views=1,2")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run leaves its results."""
    return tmp_path_factory.mktemp("chosen") / "results"


@pytest.fixture(scope="module")
def command(pairs: Path, results: Path, cluster: Any) -> Here:
    """Ten trials, each of which chooses; of all choices there are eight."""
    command = Here(
        "--data", pairs, "--space", "temperature", "--also", *CHOICES, "--results", results, "--cache", cache(results),
        "--epochs", 1, "--trials", 10, "--trainable-blocks", 0, "--address", cluster.address, *SMALL,
    )  # fmt: skip
    command.expect(0)
    return command


def cache(results: Path) -> Path:
    """The run's own: nothing is found in it before."""
    return results.parent / "cache"


def test_each_choice_is_made_once_and_each_trial_says_what_it_started_from(command: Here, results: Path) -> None:
    """The default is the run's own backbone, at its own size, without views; the rest is told as JSON in the run's row."""
    trials, (run,) = table(results, "trials", command.run), table(results, "runs", command.run).to_dict("records")
    assert command.output.count("\nstart ") == command.output.count("computed once") == 8
    assert len(json.loads(run["chosen_starts"])) == 7
    default = trials[trials.is_default].iloc[0]
    assert (default.backbone, default.image_size_px, default.views) == ("test_byobnet", 16, 1)
    assert set(trials.backbone) == {"test_byobnet", "test_vit"} and set(trials.image_size_px) == {16, 32}
    assert {*run["searched"]} == {"temperature", "backbone", "image_size_px", "views"}


def test_a_trial_of_another_backbone_is_replayed_and_exported_as_it_was(
    command: Here, results: Path, capsys: pytest.CaptureFixture, one_thread: None, tmp_path: Path
) -> None:
    """Its own backbone, image size and views, from the tables alone."""
    trials = table(results, "trials", command.run)
    others = trials[(trials.backbone == "test_vit") & (trials.views == 2)]
    number, where = str(others.trial.iloc[0]), ("--results", str(results), "--cache", str(cache(results)))
    assert replay([command.run, number, *where]) == 0
    assert "numbers are equal, bit for bit" in capsys.readouterr().out
    assert export([command.run, number, "--to", str(tmp_path / "model"), *where]) == 0
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    assert written["backbone"] == "test_vit"
    assert written["preprocessing"]["image_size_px"] == others.image_size_px.iloc[0]


def test_the_run_is_shown_with_names_among_its_parameters(
    command: Here, results: Path, capsys: pytest.CaptureFixture
) -> None:
    """By its page, which was made, and by compare; and the verdict says what mattered."""
    assert f"page       {results / 'reports'}" in command.output and "\nWhat mattered  " in command.output
    assert WholeRun.read(str(results), command.run).names_of("backbone") == ("test_byobnet", "test_vit")
    assert compare([command.run, "--results", str(results)]) == 0
    assert "backbone test_" in capsys.readouterr().out


def test_a_run_goes_on_with_its_choices(command: Here, results: Path, cluster: Any) -> None:
    """All that was made is found again; what --also searched belongs to the run."""
    more = Here("--resume", command.run, "--trials", 11, "--results", results, "--address", cluster.address)
    assert "computed once" not in more.expect(0)
    assert len(table(results, "trials", command.run)) == 11
