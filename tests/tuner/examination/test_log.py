"""The doctor explains logs of trainings that this system did not make, whatever their columns are called."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainable.diagnosis.remedies import REMEDIES
from trainable.errors import InputError
from tuner.doctor import main
from tuner.examination.log_columns import TrainingLog
from tuner.examination.log_columns import read_log as read_runs


def read_log(path: Path, given=()) -> TrainingLog:
    """The log of one run."""
    (log,) = read_runs(path, given)
    return log


def written(folder: Path, name: str = "log.csv", **columns) -> Path:
    frame = pd.DataFrame(columns)
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path, index=False)
    return path


def broken(**names: str) -> dict[str, np.ndarray]:
    """The run that started this: 20 epochs of its four numbers."""
    epochs = np.arange(20)
    columns = {
        "loss/con": -14 + 0.5 * np.exp(-epochs / 3),
        "loss/cons": np.zeros(20),
        "acc": 0.06 + 0.06 * np.sin(epochs),
        "cos_sim": np.ones(20),
    }
    return {names.get(name, name): values for name, values in columns.items()}


def healthy(epochs: int = 12) -> dict[str, np.ndarray]:
    """A run that learns, batches of 32 at temperature 0.07."""
    at = np.arange(epochs)
    return {
        "epoch": at + 1,
        "train/contrastive_loss": 0.4 + 3.2 * np.exp(-at / 3),
        "train/consistency_loss": 0.1 + 0.4 * np.exp(-at / 3),
        "val/acc": 0.92 - 0.4 * np.exp(-at / 2),
        "val/auc": 0.97 - 0.35 * np.exp(-at / 2),
        "val/pos_sim": 0.9 - 0.3 * np.exp(-at / 2),
        "val/neg_sim": 0.1 + 0.3 * np.exp(-at / 2),
    }


@pytest.fixture
def doctor(capsys) -> Callable[..., tuple[int, dict]]:
    """Runs the command with --json; returns its exit code and what it printed."""

    def run(log: Path, *arguments: object) -> tuple[int, dict]:
        code = main(["--log", str(log), *map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def symptoms(report: dict) -> dict[str, dict]:
    return {finding["check"]: finding for finding in report["findings"]}


BROKEN = {
    "broken-contrastive-formula": "-1/temperature = -14.29",
    "consistency-without-spread": "consistency loss 0",
    "accuracy-contradicts-scores": "on two classes",
    "total-collapse": "1.0000",
}


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_the_broken_run_comes_back_with_its_four_causes_and_repairs(doctor, tmp_path, name):
    """Loss -13.5 to -14, consistency 0, accuracy 0 to 0.12, similarity 1, temperature 0.07: nothing else is named."""
    code, report = doctor(written(tmp_path, name, **broken()), "--temperature", 0.07)
    found = symptoms(report)
    assert code == 1 and found.keys() == BROKEN.keys()
    for symptom, evidence in BROKEN.items():
        cause, remedy = REMEDIES[symptom]
        assert found[symptom]["verdict"] == "fail" and evidence in found[symptom]["found"]
        assert cause in found[symptom]["found"] and remedy == found[symptom]["advice"]


def test_columns_of_any_name_are_mapped_by_option(doctor, tmp_path):
    """Once for each; a given column comes before a guess, and guesses are told."""
    log = written(tmp_path, **broken(**{"loss/con": "alpha", "loss/cons": "beta", "acc": "gamma", "cos_sim": "delta"}))
    given = {
        "contrastive_loss": "alpha",
        "consistency_loss": "beta",
        "val_accuracy": "gamma",
        "negative_similarity": "delta",
    }
    words = [word for name, column in given.items() for word in ("--column", f"{name}={column}")]
    code, report = doctor(log, *words, "--temperature", 0.07, "--batch-size", 32)
    assert code == 1 and symptoms(report).keys() == BROKEN.keys()
    assert report["columns"] == given and report["guessed"] == []
    _, report = doctor(written(tmp_path, **broken()))
    assert report["columns"]["similarity"] == "cos_sim" and "contrastive_loss" in report["guessed"]


@pytest.mark.parametrize(
    ("loss", "batch_size", "temperature", "formula"),
    [
        (6.920, 64, 0.07, "(0.1/0.07)·ln 127 = 6.9203"),
        (6.920, 64, 0.1, "(0.1/0.07)·ln 127 = 6.9203"),
        (5.5597, 25, 0.1, "(0.1/0.07)·ln 49 = 5.5597"),
        (8.909, 256, 0.1, "(0.1/0.07)·ln 511 = 8.9091"),
        (math.log(32), 32, 0.07, "ln 32 = 3.4657"),
    ],
)
def test_a_loss_stuck_at_the_chance_of_any_formula_in_use_is_collapse(
    doctor, tmp_path, loss, batch_size, temperature, formula
):
    """Strangers' runs with SupContrast's loss, scaled by temperature over its base, two views of each as anchors."""
    log = written(tmp_path, epoch=np.arange(30), loss=np.full(30, loss).round(4))
    code, report = doctor(log, "--batch-size", batch_size, "--temperature", temperature)
    found = symptoms(report)
    assert code == 1 and found.keys() == {"stuck-at-chance", "total-collapse"}
    assert formula in found["stuck-at-chance"]["found"]


def test_a_plateau_that_is_left_again_is_no_collapse(doctor, tmp_path):
    """Only what is flat to the end counts."""
    losses = np.r_[np.full(20, 6.92), np.linspace(6.9, 4, 20)]
    code, report = doctor(written(tmp_path, loss=losses), "--batch-size", 64, "--temperature", 0.1)
    assert code == 0 and report["findings"][0]["verdict"] == "ok"


@pytest.mark.parametrize("rows", [12, 3000])
def test_a_healthy_run_has_no_symptom(doctor, tmp_path, rows):
    """By epoch, and by step with noise, where it is averaged over stretches."""
    columns = healthy(12)
    if rows > 12:
        at = np.linspace(0, 11, rows)
        noise = np.random.default_rng(0).normal(0, 0.05, rows)
        columns = {name: np.interp(at, np.arange(12), values) for name, values in columns.items() if name != "epoch"}
        columns["train/contrastive_loss"] = columns["train/contrastive_loss"] + noise
        columns["step"] = np.arange(rows)
    code, report = doctor(written(tmp_path, **columns), "--temperature", 0.07, "--batch-size", 32)
    assert code == 0 and list(symptoms(report)) == ["symptoms"], report["findings"]
    assert not report["not_judged"]


def test_what_is_not_known_is_not_judged(doctor, tmp_path):
    """Without a temperature no formula is named, but the temperature that would fit; what is missing is listed."""
    _, report = doctor(written(tmp_path, **broken()))
    found = symptoms(report)
    assert "broken-contrastive-formula" not in found
    assert "-1/temperature where that is 0.0714" in found["negative-contrastive-loss"]["found"]
    assert {"--temperature", "--batch-size", "--column val_auc=…"} == report["not_judged"].keys()


def test_without_a_batch_size_a_likely_one_is_named(doctor, tmp_path):
    """A warning only: any flat loss is at chance for some batch."""
    code, report = doctor(written(tmp_path, loss=np.full(10, math.log(64))))
    assert code == 0 and "if a batch has 64 pairs" in symptoms(report)["stuck-at-chance"]["found"]


def test_temperature_and_batch_size_come_from_the_log_too(doctor, tmp_path):
    """A column of either is as good as the option."""
    log = written(tmp_path, **broken(), tau=np.full(20, 0.07), batch_size=np.full(20, 32))
    _, report = doctor(log)
    assert symptoms(report).keys() == BROKEN.keys() and "--temperature" not in report["not_judged"]


def test_a_loss_that_becomes_nan_is_told_with_its_row(doctor, tmp_path):
    """An empty cell is a number that was not measured; nan is one that was."""
    (tmp_path / "log.csv").write_text("loss,val_auc\n3.4,\n3.1,0.6\nnan,\nnan,\n")
    code, report = doctor(tmp_path / "log.csv")
    assert code == 1 and "loss is nan in 2 of 4 rows, first in row 3" in symptoms(report)["not-finite"]["found"]


def test_percent_and_sparse_metrics(tmp_path):
    """Percent become shares; a metric that is measured now and then is what it was last."""
    (tmp_path / "log.csv").write_text("Epoch;Val Accuracy;trainLoss\n1;;3.1\n2;61.5%;2.9\n3;;2.7\n")
    log = read_log(tmp_path / "log.csv")
    assert log.columns == {"epoch": "Epoch", "val_accuracy": "Val Accuracy", "contrastive_loss": "trainLoss"}
    assert [epoch.get("val_accuracy") for epoch in log.epochs] == [None, 0.615, 0.615]
    assert log.notes == ("val_accuracy is taken for percent",)


def test_training_losses_and_held_out_metrics_are_preferred(tmp_path):
    """Where a log has both, the detectors get what they are made for."""
    columns = {"val_loss": [3.0], "train_loss": [2.0], "train_acc": [0.9], "val_acc": [0.7]}
    log = read_log(written(tmp_path, **columns))
    assert log.columns == {
        "val_accuracy": "val_acc", "train_accuracy": "train_acc", "val_loss": "val_loss", "contrastive_loss": "train_loss"
    }  # fmt: skip
    assert not log.unused


def test_rows_of_one_epoch_are_averaged(tmp_path):
    """A log by step that counts epochs."""
    log = read_log(written(tmp_path, epoch=[0, 0, 1, 1], loss=[4.0, 2.0, 1.0, 3.0]))
    assert [(epoch["epoch"], epoch["contrastive_loss"]) for epoch in log.epochs] == [(1, 3.0), (2, 2.0)]


def refusal(path: Path, *given: str) -> str:
    with pytest.raises(InputError) as caught:
        read_log(path, given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"epoch,loss\n", "holds a header and no rows"),
        (b"name,note\na,b\n", "has no column of numbers"),
        (b"foo,bar\n1,2\n", "none of its columns is recognised as a loss or a metric: foo, bar"),
        (b"loss\n\xff\xfe\n", "cannot be read"),
    ],
)
def test_bad_logs(tmp_path, content, said):
    """What is wrong with the file, and what a log is."""
    (tmp_path / "log.csv").write_bytes(content)
    assert said in refusal(tmp_path / "log.csv") and "alid" in refusal(tmp_path / "log.csv")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("contrastive_loss", "valid is name=column"),
        ("contrastive=loss", "there is no name 'contrastive'"),
        ("contrastive_loss=los", "no column of numbers 'los'; it has: loss, sim. Give one of them, perhaps loss"),
    ],
)
def test_bad_mappings(tmp_path, given, said):
    """The nearest name that would do."""
    assert said in refusal(written(tmp_path, loss=[1.0], sim=[0.5]), given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--log", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--log=nowhere.csv", "--temperature", "0"], "--temperature is 0"),
        (["--log", "nowhere.csv", "--batch-size", "1"], "--batch-size is 1"),
    ],
)
def test_mistakes_in_the_command_exit_with_2(arguments, said, capsys):
    """And one message on stderr, no traceback."""
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_what_a_person_sees(tmp_path, capsys):
    """What each column was taken for, the symptoms, what was not judged, and one line that sums it up."""
    assert main(["--log", str(written(tmp_path, **broken())), "--temperature", "0.07"]) == 1
    seen = " ".join(capsys.readouterr().out.split())
    assert "contrastive_loss = loss/con (guessed)" in seen and "known temperature 0.07" in seen
    assert (
        "→ use InfoNCE" in seen and "--batch-size" in seen and "sick: going on like this is time lost (4 fail" in seen
    )
