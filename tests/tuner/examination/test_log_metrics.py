"""Metrics of a log: slow overfitting, nothing told apart, an accuracy of another thing; and healthy ones left alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.examination.logs import as_csv, falling, noise, said

SHARP = {"batch_size": 32, "temperature": 0.07}


def turning(rows: int, best: float, end: float, noisy: float = 0.0) -> np.ndarray:
    """Rises to its best in the first third, and is at `end` at the end."""
    first = rows // 3
    return np.r_[np.linspace(0.55, best, first), np.linspace(best, end, rows - first)] + noise(rows, noisy)


@pytest.mark.parametrize("rows", [6, 14, 30, 100, 400])
@pytest.mark.parametrize("metric", ["val_auc", "val_acc", "val_loss"])
def test_overfitting_is_found_over_any_number_of_rows(tmp_path, rows, metric):
    """By AUC, accuracy or validation loss, while the training loss falls."""
    noisy = 0.004 if rows > 20 else 0.0
    values = turning(rows, 0.92, 0.8, noisy) if metric != "val_loss" else 4 - 3 * turning(rows, 0.9, 0.6, noisy)
    found = said(as_csv(tmp_path, epoch=np.arange(rows), loss=falling(rows, 3.4, 0.1), **{metric: values}), **SHARP)
    assert found == {"overfit": "fail"}


def test_gaps_between_validations_hide_nothing(tmp_path):
    """Keras writes NA in epochs without validation; the training accuracy beside it is never taken for validation's."""
    rows = 30
    losses = [f"{value:.3f}" if row % 3 == 1 else "NA" for row, value in enumerate(np.linspace(4.2, 6.6, rows))]
    path = as_csv(
        tmp_path, epoch=np.arange(rows), accuracy=falling(rows, 0.5, 1), loss=falling(rows, 4, 0.1), val_loss=losses
    )
    assert said(path) == {"overfit": "fail"}


HEALTHY = {
    "noise": {"loss": falling(10, 4.2, 1.5), "val_auc": falling(10, 0.55, 0.8) + noise(10, 0.04)},
    "noise about a plateau": {"loss": falling(40, 4.2, 1.5), "val_auc": falling(40, 0.55, 0.8, 12) + noise(40, 0.03)},
    "few held-out pairs": {"loss": falling(15, 4.2, 1.5), "val_acc": falling(15, 0.55, 0.78, 8) + noise(15, 0.03)},
    "a loss that rises beside an accuracy that holds": {
        "loss": falling(30, 4.2, 0.2), "val_loss": np.r_[falling(10, 4.3, 2), np.linspace(2, 2.6, 20)],
        "val_acc": falling(30, 0.5, 0.9) + noise(30, 0.005),
    },
    "a thousand classes": {"loss": falling(30, 6.9, 3), "val_acc": falling(30, 0.002, 0.22)},
    "top-1 and top-5 in percent": {"loss": falling(30, 5.5, 3), "acc1": falling(30, 0.4, 22), "acc5": falling(30, 2, 48)},
    "top-1 among 1024": {"loss": falling(30, 6.9, 3.95), "acc_top1": falling(30, 0.0004, 0.2)},
    "percent": {"loss": falling(10, 4.2, 1.2), "val_acc": falling(10, 55, 90), "val_auc": falling(10, 55, 95)},
    "a young run": {"loss": [4.15, 4.1, 4.05, 4.0, 3.9], "val_acc": [0.5, 0.505, 0.51, 0.52, 0.53]},
    "three rows": {"loss": [4.1, 3.5, 3.1], "val_acc": [0.5, 0.55, 0.6]},
    "nine in ten negative": {"loss": falling(20, 4, 1), "val_acc": 0.9 + noise(20, 0.003)},
    "neighbours and probes": {
        "loss": falling(30, 6.2, 4), "knn/top1": falling(30, 0.1, 0.2), "linear_probe_acc": np.full(30, 0.15),
        "val_knn_acc": np.full(30, 0.12),
    },
    "a training accuracy alone": {"loss": falling(20, 4, 1), "train_acc": np.full(20, 0.5)},
    "no accuracies at all": {
        "loss": falling(20, 4, 1), "cosine_lr": falling(20, 1e-3, 1e-5), "spearman_cosine": np.ones(20),
        "pearson_cosine": np.ones(20), "cosine_recall": falling(20, 0.1, 1),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_metrics_are_left_alone(tmp_path, name):
    """Not even a warning."""
    columns = HEALTHY[name]
    path = as_csv(tmp_path, epoch=np.arange(len(columns["loss"])), **columns)
    assert not said(path, batch_size=1024, temperature=0.1)


SICK = {
    "a coin's accuracy": ("no-separation", {"loss": falling(30, 3.5, 0.05), "val_accuracy": np.full(30, 0.5)}),
    "a coin's AUC": ("no-separation", {"loss": falling(30, 3.5, 0.5), "val_auc": 0.5 + noise(30, 0.01)}),
    "inverted": ("inverted-separation", {"loss": falling(30, 3.5, 0.5), "val_auc": falling(30, 0.49, 0.2)}),
    "argmax": ("accuracy-contradicts-scores", {"loss": falling(60, 4.1, 0.6), "accuracy": np.abs(noise(60, 0.02)) + 0.02}),
    "argmax in percent": ("accuracy-contradicts-scores", {"loss": falling(60, 3.4, 0.6), "acc": np.abs(noise(60, 0.4)) + 0.6}),
    "a late collapse": (
        "no-separation", {"loss": falling(40, 3.5, 1), "val_auc": np.r_[falling(30, 0.6, 0.9), np.full(10, 0.5)]},
    ),
    "an evaluator's": ("overfit", {"cossim_accuracy": np.r_[falling(8, 0.6, 0.88), np.linspace(0.88, 0.7, 22)]}),
    "a step far too large, before what it brings about": (
        "update-too-large",
        {"loss": falling(30, 5.4, 5.3), "update_to_weight": np.full(30, 0.3), "val_auc": np.full(30, 0.5)},
    ),
    "AUC alone": ("overfit", {"val_auc": np.r_[falling(8, 0.6, 0.92), np.linspace(0.92, 0.8, 22)]}),
}  # fmt: skip


@pytest.mark.parametrize("name", SICK)
def test_sick_metrics_are_named(tmp_path, name):
    """By what is wrong."""
    right, columns = SICK[name]
    rows = len(next(iter(columns.values())))
    assert right in said(as_csv(tmp_path, epoch=np.arange(rows), **columns), **SHARP)
