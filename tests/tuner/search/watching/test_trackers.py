"""Trials kept by experiment trackers: read back with the trackers' own readers where those are installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from tests.tuner.search.watching.test_relay import a_trial, report
from trainable.errors import InputError
from tuner.cli.named_options import from_names
from tuner.cli.run_options import TRACKERS as NAMES
from tuner.cli.run_options import RunOptions
from tuner.run import main
from tuner.search.plan import prepare
from tuner.search.watching.trackers import TRACKERS, check_installed, tracked, where

VERDICTS = (
    "pruned: stopped after 2 of 6 epochs; diagnosed: collapse, stuck",
    "failed: unknown; diagnosed: collapse, stuck",
)
"""Of the trials of `kept`."""


def kept(name: str, folder: Path) -> list[SimpleNamespace]:
    """Two trials of two epochs each, the second one failed, told to the tracker as Tune tells them."""
    (callback,) = tracked([name], "run-a", folder)
    trials = [a_trial(0), a_trial(1)]
    callback.setup(stop=None, num_samples=2, total_num_samples=2)
    for number, trial in enumerate(trials):
        callback.on_trial_start(iteration=0, trials=trials, trial=trial)
        for epoch in (1, 2):
            callback.on_trial_result(iteration=epoch, trials=trials, trial=trial, result=report(epoch))
        if number:
            callback.on_trial_error(iteration=3, trials=trials, trial=trial)
        else:
            callback.on_trial_complete(iteration=3, trials=trials, trial=trial)
    callback.on_experiment_end(trials=trials)
    return trials


def events(folder: Path) -> list[Any]:
    """All events of TensorBoard's files in the folder, read by its format: length, checksum, event, checksum."""
    found = []
    for file in sorted(folder.glob("events.*")):
        content = file.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            found.append(Event.FromString(content[12 : 12 + size]))
            content = content[16 + size :]
    return found


def test_tensorboard_has_every_epoch_and_the_configuration(tmp_path: Path):
    """A folder a trial below that of the run; the configuration is what its HPARAMS page shows."""
    kept("tensorboard", tmp_path)
    for number in (0, 1):
        read = events(tmp_path / "tensorboard" / "run-a" / f"trial_{number:04d}")
        scalars = [(e.step, v.tag, v.simple_value) for e in read for v in e.summary.value if "val_auc" in v.tag]
        assert [(step, round(value, 5)) for step, tag, value in scalars if tag == "ray/tune/val_auc"] == [
            (1, 0.1),
            (2, 0.2),
        ]
        configured = [v for e in read for v in e.summary.value if v.tag == "_hparams_/session_start_info"]
        assert b"temperature" in configured[0].metadata.plugin_data.content
        (said,) = [v.tensor.string_val for e in read for v in e.summary.value if v.tag == "verdict/text_summary"]
        assert said == [VERDICTS[number].encode()]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own, with SQLAlchemy 2.1
def test_mlflow_has_every_epoch_the_configuration_and_how_a_trial_ended(tmp_path: Path, monkeypatch: Any):
    """In a database below the results, read by its own client."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    kept("mlflow", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "twoview-tuner"]
    runs = sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.data.params["number"])
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED"]
    for run in runs:
        assert run.data.tags["run"] == "run-a" and float(run.data.params["temperature"]) == 0.2
        history = client.get_metric_history(run.info.run_id, "val_auc")
        assert [(entry.step, entry.value) for entry in history] == [(1, 0.1), (2, 0.2)]
        assert run.data.tags["verdict"] == VERDICTS[int(run.data.params["number"])]


def test_aim_has_every_epoch_the_configuration_and_the_verdict(tmp_path: Path):
    """In a repository below the results. Its own reader runs in a process of its own: one that wrote reads its memory."""
    pytest.importorskip("aim")
    kept("aim", tmp_path)
    script = (
        "import aim, json, sys\n"
        "repo = aim.Repo.from_path(sys.argv[1])\n"
        "for found in map(lambda h: aim.Run(h, repo=repo, read_only=True), repo.list_all_runs()):\n"
        "    tracked = [m.values.values_list() for m in found.metrics() if m.name == 'ray/tune/val_auc']\n"
        "    print(json.dumps([found['hparams']['number'], found['hparams']['temperature'], tracked, found['verdict']]))\n"
    )
    out = subprocess.run([sys.executable, "-c", script, str(tmp_path / "aim")], capture_output=True, text=True, check=True)
    read = sorted(json.loads(line) for line in out.stdout.splitlines())
    assert read == [[number, 0.2, [[0.1, 0.2]], VERDICTS[number]] for number in (0, 1)]


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_done(tmp_path: Path, monkeypatch: Any):
    """With the way to install it."""
    find = importlib.util.find_spec
    monkeypatch.setattr("tuner.search.watching.trackers.find_spec", lambda name: None if name == "aim" else find(name))
    check_installed(["tensorboard"])
    with pytest.raises(InputError, match=r"needs the package aim.*pip install 'twoview-tuner\[aim\]'"):
        check_installed(["tensorboard", "aim"])
    with pytest.raises(InputError, match="needs the package aim"):
        prepare(from_names({"log_to": ["aim"], "results": tmp_path / "results"}), Console(quiet=True))
    assert not list(tmp_path.iterdir())


def test_wandb_without_a_login_is_told(tmp_path: Path, monkeypatch: Any):
    """And that it can do without, offline."""
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="WANDB_MODE=offline"):
        tracked(["wandb"], "run-a", tmp_path)


@pytest.mark.parametrize("names", [("tensorbord",), ("mlflow", "comet")])
def test_a_tracker_that_there_is_not_is_refused(names: Sequence[str], capsys: pytest.CaptureFixture[str]):
    """With those that there are."""
    assert main(["--log-to", *names]) == 2
    assert "valid are: tensorboard, mlflow, wandb, aim" in capsys.readouterr().err


def test_the_options_name_the_trackers_that_there_are():
    """And how each is looked at; TensorBoard's own folder of the run is where its files are."""
    assert tuple(TRACKERS) == NAMES and RunOptions().output.log_to == ()
    assert where(["tensorboard", "mlflow"], "run-a", Path("/r")) == {
        "tensorboard": "tensorboard --logdir /r/tensorboard/run-a",
        "mlflow": "mlflow ui --backend-store-uri sqlite:////r/mlflow/mlflow.db",
    }
