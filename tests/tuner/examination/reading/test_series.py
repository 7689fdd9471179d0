"""A gap is a number that was not logged; NaN where it is normally logged, to the end, is the end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.tuner.examination.logs import as_csv, falling, said
from tuner.examination.log_columns import read_log

ROWS = 12
LOSS = falling(ROWS, 4.4, 0.8)
NAN = float("nan")


def lightning(loss: np.ndarray, gap: object) -> pd.DataFrame:
    """Steps, then validation, then the epoch's mean, on rows of their own."""
    rows = []
    for epoch in range(ROWS):
        rows += [{"epoch": epoch, "train_loss_step": loss[epoch]} for _ in range(4)]
        rows += [{"epoch": epoch, "val_acc": 0.5 + 0.03 * epoch}, {"epoch": epoch, "train_loss_epoch": loss[epoch]}]
    return pd.DataFrame(rows, dtype=object).where(lambda frame: frame.notna(), gap)


@pytest.mark.parametrize("gap", ["", "NA", "None", "nan", "-"])
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_gaps_of_rows_of_another_kind_are_no_numbers(tmp_path, gap, format):
    """However they are written, NaN in a binary format included."""
    frame = lightning(LOSS, NAN if format == "parquet" else gap)
    path = tmp_path / f"metrics.{format}"
    frame.astype(float).to_parquet(path) if format == "parquet" else frame.to_csv(path, index=False)
    (log,) = read_log(path)
    assert not log.not_finite and not said(path)
    assert log.values("contrastive_loss") == pytest.approx(LOSS)


def test_nan_to_the_end_is_fatal_among_gaps_too(tmp_path):
    """In the rows of its kind, with NaN as the only word for a gap."""
    frame = lightning(np.where(np.arange(ROWS) < 8, LOSS, NAN), NAN)
    frame.astype(float).to_parquet(tmp_path / "metrics.parquet")
    assert said(tmp_path / "metrics.parquet") == {"not-finite": "fail"}


@pytest.mark.parametrize("value", [NAN, float("inf"), float("-inf")])
def test_what_is_not_finite_to_the_end_is_fatal_and_what_recovers_a_note(tmp_path, value):
    """With the rows."""
    at = np.arange(ROWS)
    assert said(as_csv(tmp_path, epoch=at, loss=np.where(at < 9, LOSS, value)))["not-finite"] == "fail"
    path = as_csv(tmp_path, epoch=at, loss=np.where((at > 4) & (at < 7), value, LOSS))
    assert not said(path)
    (log,) = read_log(path)
    assert any("in 2 of 12 rows, first in row 6, and finite again after row 7" in note for note in log.notes)


def test_gradients_are_infinite_now_and_then(tmp_path):
    """fp16's scaler at work; to the end they are no such thing."""
    at = np.arange(50)
    healthy = np.where(at % 10 == 3, np.inf, 2.0)
    assert not said(as_csv(tmp_path, epoch=at, loss=falling(50, 4, 1), grad_norm=healthy))
    ended = np.where(at > 30, np.inf, 2.0)
    assert "not-finite" in said(as_csv(tmp_path, epoch=at, loss=falling(50, 4, 1), grad_norm=ended))


def test_blank_cells_to_the_end_are_nan_as_pandas_writes_it(tmp_path):
    """While other numbers are logged on in the same rows; one blank cell is a gap."""
    at = np.arange(20)
    others = {"epoch": at, "lr": np.full(20, 1e-3)}
    pd.DataFrame(others | {"loss": np.where(at < 14, falling(20, 4, 1), NAN)}).to_csv(tmp_path / "log.csv", index=False)
    assert said(tmp_path / "log.csv") == {"not-finite": "fail"}
    pd.DataFrame(others | {"loss": np.where(at < 19, falling(20, 4, 1), NAN)}).to_csv(tmp_path / "log.csv", index=False)
    assert not said(tmp_path / "log.csv")


def test_a_metric_that_ends_is_not_fatal(tmp_path):
    """A split may be too small for an AUC in an epoch."""
    aucs = [0.6, 0.7, 0.75, 0.8, 0.8, 0.82, 0.83, 0.84, 0.85, 0.85, NAN, NAN]
    assert not said(as_csv(tmp_path, epoch=np.arange(ROWS), loss=LOSS, val_auc=aucs))
