"""Logs from a grammar: kind of loss x scale x fault or none x noise x length x order x file format x names of columns.

A course (this module) is a run's numbers epoch by epoch, as they are known to come out; benchmarks/log_files.py writes it as
people's tools do. Nothing here is taken from the detectors: levels are those of the losses' formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Draw = np.random.Generator


@dataclass
class TrialHistory:
    """A run: its numbers by what they are, one a row, and what its user would tell of it."""

    loss: np.ndarray
    kind: str
    """infonce, supcon, ntxent, queue, triplet, sigmoid or simsiam."""
    scale: str
    chance: float
    """The loss with equal scores, in this scale."""
    batch_size: int
    temperature: float
    base_temperature: float | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)
    """val_auc, val_accuracy, val_loss, top1, feature_std, positive, negative, mean_cosine, grad_norm: as shares, NaN where
    nothing was logged."""
    wanted: tuple[str, ...] = ()
    """The names of which one must head the findings or be among them; empty: healthy."""
    what: str = "healthy"


KINDS = ("infonce", "supcon", "ntxent", "queue", "triplet", "sigmoid", "simsiam")
SCALES = ("mean", "both directions summed", "summed over the batch", "bits")


def healthy(draw: Draw) -> TrialHistory:
    """A run that learns: its loss falls from chance, metrics rise, embeddings spread."""
    kind = str(draw.choice(KINDS, p=(0.34, 0.12, 0.12, 0.1, 0.12, 0.1, 0.1)))
    rows = int(draw.choice((8, 12, 20, 30, 60, 150, 600)))
    size = int(2 ** draw.integers(4, 11))
    temperature = float(draw.choice((0.05, 0.07, 0.1, 0.2)))
    base = float(draw.choice((0.07, 0.1))) if kind == "supcon" else None
    scale = str(draw.choice(SCALES, p=(0.55, 0.15, 0.15, 0.15))) if kind in ("infonce", "ntxent") else "mean"
    chance = _chance(kind, scale, size, temperature, base, draw)
    noise = float(draw.choice((0.0, 0.002, 0.01, 0.03)))
    at = np.linspace(0, 1, rows)
    learnt = 1 - np.exp(-at * draw.uniform(2, 6))
    floor = draw.uniform(0.1, 0.75)
    if kind == "simsiam":
        loss = -learnt * draw.uniform(0.8, 0.95) + draw.normal(0, noise * 0.3, rows)
    else:
        first = chance * (draw.uniform(0.97, 1.15) if kind != "queue" else 1.0)
        loss = first * (1 - (1 - floor) * learnt) * (1 + draw.normal(0, noise, rows))
    run = TrialHistory(loss, kind, scale, chance, size, temperature, base)
    run.more = _metrics(run, learnt, noise, draw)
    return run


def _chance(kind: str, scale: str, size: int, temperature: float, base: float | None, draw: Draw) -> float:
    if kind == "triplet":
        return float(draw.choice((0.1, 0.2, 0.3, 0.5, 1.0)))
    if kind == "sigmoid":
        return math.log(2)
    if kind == "simsiam":
        return 0.0
    if kind == "queue":
        return math.log(float(draw.choice((4096, 16384, 65536))) + 1)
    count = size if kind == "infonce" else 2 * size - 1
    value = math.log(count) * (temperature / base if base else 1)
    summed = size if kind == "infonce" else 2 * size
    return (
        value
        * {"mean": 1, "both directions summed": 2, "summed over the batch": summed, "bits": 1 / math.log(2)}[scale]
    )


def _metrics(run: TrialHistory, learnt: np.ndarray, noise: float, draw: Draw) -> dict[str, np.ndarray]:
    """Some of the columns that such a run logs beside its loss."""
    rows = len(learnt)
    few = min(0.015, noise + 0.002)
    auc, accuracy = draw.uniform(0.8, 0.98), draw.uniform(0.75, 0.93)
    dimensions = int(2 ** draw.integers(6, 12))
    even = 1.0 if draw.random() < 0.5 else dimensions**-0.5
    every = {
        "val_auc": np.clip(0.52 + (auc - 0.52) * learnt + draw.normal(0, few, rows), 0, 1),
        "val_accuracy": 0.52 + (accuracy - 0.52) * learnt + draw.normal(0, few, rows),
        "val_loss": run.loss[0] + (run.loss - run.loss[0]) * 0.9,
        "top1": (1 + (run.batch_size * draw.uniform(0.15, 0.7) - 1) * learnt) / run.batch_size,
        "feature_std": even * (0.6 + 0.35 * learnt) * (1 + draw.normal(0, few, rows)),
        "positive": 0.5 + 0.45 * learnt + draw.normal(0, few / 3, rows),
        "negative": 0.45 - 0.4 * learnt + draw.normal(0, few / 3, rows),
        "grad_norm": np.exp(draw.normal(0.6, 0.2, rows)),
        "train_accuracy": 0.55 + 0.43 * learnt,
    }
    chosen = [name for name in every if draw.random() < 0.4]
    if run.kind == "simsiam" and "feature_std" not in chosen:
        chosen.append("feature_std")
    return {name: every[name] for name in chosen}


Fault = Callable[[TrialHistory, Draw], None]
"""Does something to a healthy course, and says which names are right for it."""


def _rows(run: TrialHistory) -> np.ndarray:
    return np.linspace(0, 1, len(run.loss))


def _collapsed(run: TrialHistory, late: np.ndarray) -> None:
    """The metrics of one point, as far as there are any, in the rows of `late`."""
    point = {"val_auc": 0.5, "val_accuracy": 0.5, "feature_std": 1e-4, "positive": 1.0, "negative": 0.9999}
    point["top1"] = 1 / run.batch_size
    for name, value in point.items():
        if name in run.more:
            run.more[name] = np.where(late, value, run.more[name])
    if "val_loss" in run.more:
        run.more["val_loss"] = np.where(late, run.chance, run.more["val_loss"])


def stuck(run: TrialHistory, draw: Draw) -> None:
    """All embeddings are the same from the beginning on."""
    run.what, run.wanted = "collapsed from the beginning", ("total-collapse", "stuck-at-chance")
    level = -1.0 if run.kind == "simsiam" else run.chance
    run.loss = level * (1 + draw.normal(0, draw.choice((0, 1e-5, 3e-4)), len(run.loss)))
    _collapsed(run, np.ones(len(run.loss), bool))


def late_collapse(run: TrialHistory, draw: Draw) -> None:
    """It learns, and at some row becomes one point for good."""
    run.what, run.wanted = "late collapse", ("total-collapse", "stuck-at-chance", "diverging")
    late = _rows(run) > draw.uniform(0.5, 0.8)
    level = -1.0 if run.kind == "simsiam" else run.chance
    run.loss = np.where(late, level * (1 + draw.normal(0, 1e-4, len(late))), run.loss)
    if run.kind == "simsiam":
        run.more.setdefault("feature_std", np.full(len(late), 0.9))
    _collapsed(run, late)


def diverges(run: TrialHistory, draw: Draw) -> None:
    """It learns, then explodes."""
    run.what, run.wanted = "diverging", ("diverging", "loss-rising")
    at = _rows(run)
    begins = draw.uniform(0.4, 0.75)
    growth = np.clip((at - begins) / (1 - begins), 0, 1)
    run.loss = run.loss + growth * run.loss[0] * draw.uniform(1.5, 5)
    for name in ("val_auc", "val_accuracy"):
        if name in run.more:
            run.more[name] = np.where(growth > 0, 0.5 + (run.more[name] - 0.5) * (1 - growth), run.more[name])
    run.more.pop("val_loss", None)
    run.more.pop("top1", None)


def drifts(run: TrialHistory, draw: Draw) -> None:
    """It learns, then loses slowly most of what it had won."""
    run.what, run.wanted = "drifting", ("loss-rising", "diverging")
    at = _rows(run)
    begins = draw.uniform(0.25, 0.5)
    lost = np.clip((at - begins) / (1 - begins), 0, 1) * draw.uniform(0.55, 0.9)
    run.loss = run.loss + lost * (run.loss[0] - run.loss)
    run.more = {name: values for name, values in run.more.items() if name in ("grad_norm", "feature_std")}


def not_a_number(run: TrialHistory, draw: Draw) -> None:
    """NaN or infinity, to the end."""
    run.what, run.wanted = "not finite", ("not-finite",)
    late = _rows(run) > draw.uniform(0.4, 0.8)
    run.loss = np.where(late, draw.choice((np.nan, np.inf)), run.loss)
    run.more.pop("val_loss", None)


def broken(run: TrialHistory, draw: Draw) -> None:
    """-similarity/temperature instead of a cross-entropy."""
    run.what, run.wanted = "the broken formula", ("broken-contrastive-formula", "negative-contrastive-loss")
    cosine = 1 - 0.06 * np.exp(-_rows(run) * 4)
    run.kind, run.scale, run.base_temperature = "infonce", "mean", None
    run.loss = -cosine / run.temperature
    _collapsed(run, np.ones(len(run.loss), bool))


def turned(run: TrialHistory, draw: Draw) -> None:
    """The same with its sign turned."""
    broken(run, draw)
    run.what = "the broken formula with its sign turned"
    run.wanted = ("broken-contrastive-formula", "loss-rising", "total-collapse")
    run.loss = -run.loss


def rises(run: TrialHistory, draw: Draw) -> None:
    """A loss that gets worse from the first row on."""
    run.what, run.wanted = "rising", ("loss-rising", "diverging")
    low, high = sorted(draw.uniform(0.1, 0.95, 2))
    run.loss = run.chance * (low + (high + 0.3 - low) * _rows(run)) * (1 + draw.normal(0, 0.005, len(run.loss)))
    run.more = {name: values for name, values in run.more.items() if name == "grad_norm"}


def overfits(run: TrialHistory, draw: Draw) -> None:
    """Training pairs are learnt by heart, from some row on at the cost of held-out ones."""
    run.what, run.wanted = "overfitting", ("overfit",)
    at = _rows(run)
    turn = draw.uniform(0.15, 0.5)
    worse = np.clip((at - turn) / (1 - turn), 0, 1)
    few = draw.choice((0.001, 0.004))
    best = np.clip(at / turn, 0, 1)
    noise = draw.normal(0, few, (3, len(at)))
    run.more.pop("top1", None)
    which = draw.choice(("val_auc", "val_accuracy", "val_loss"))
    for name in ("val_auc", "val_accuracy", "val_loss"):
        run.more.pop(name, None)
    if which == "val_loss":
        first = run.loss[0]
        run.more["val_loss"] = first * (1 - 0.45 * best + worse * draw.uniform(0.25, 0.9)) * (1 + noise[0])
    else:
        run.more[which] = 0.55 + 0.35 * best - worse * draw.uniform(0.08, 0.2) + noise[1]


def no_separation(run: TrialHistory, draw: Draw) -> None:
    """The training loss falls, and held-out pairs are a coin's."""
    run.what, run.wanted = "no separation", ("no-separation", "labels-at-random")
    name = draw.choice(("val_auc", "val_accuracy"))
    for other in ("val_auc", "val_accuracy", "positive", "negative", "val_loss", "top1"):
        run.more.pop(other, None)
    run.more[name] = 0.5 + draw.normal(0, draw.choice((0.0, 0.008)), len(run.loss))


def inverted(run: TrialHistory, draw: Draw) -> None:
    """Labels are the wrong way round."""
    run.what, run.wanted = "inverted", ("inverted-separation",)
    for other in ("val_accuracy", "positive", "negative", "val_loss"):
        run.more.pop(other, None)
    run.more["val_auc"] = 0.48 - 0.35 * (1 - np.exp(-4 * _rows(run)))


def argmax_accuracy(run: TrialHistory, draw: Draw) -> None:
    """Accuracy by argmax over the batch compared with class labels."""
    run.what, run.wanted = "an accuracy of another thing", ("accuracy-contradicts-scores",)
    for other in ("val_auc", "val_accuracy", "top1", "train_accuracy"):
        run.more.pop(other, None)
    run.more["accuracy"] = np.abs(draw.normal(0.4, 0.25, len(run.loss))) / max(32, run.batch_size)


def spread_lost(run: TrialHistory, draw: Draw) -> None:
    """The embeddings shrink to a point slowly, in either convention of spread."""
    run.what, run.wanted = "spread lost", ("low-feature-std", "total-collapse")
    even = draw.choice((1.0, 128**-0.5, 2048**-0.5))
    run.more = {"feature_std": even * np.exp(-_rows(run) * draw.uniform(3.5, 7))}
    if run.kind != "simsiam":
        run.loss = run.chance * (1 + draw.normal(0, 0.002, len(run.loss)))


def strangers_alike(run: TrialHistory, draw: Draw) -> None:
    """Different things have a cosine of 1, and the loss stands still."""
    run.what, run.wanted = "strangers alike", ("total-collapse",)
    rows = len(run.loss)
    run.more = {"negative": np.clip(0.995 + draw.normal(0, 0.001, rows), -1, 1), "positive": np.full(rows, 0.999)}
    run.loss = (run.chance or -0.99) * (1 + draw.normal(0, 0.001, len(run.loss)))


FAULTS: tuple[Fault, ...] = (
    stuck, stuck, late_collapse, diverges, drifts, not_a_number, broken, turned, rises, overfits, overfits, no_separation,
    inverted, argmax_accuracy, spread_lost, strangers_alike,
)  # fmt: skip
_NOT_OF_SIMSIAM = (drifts, diverges, rises, overfits, no_separation, argmax_accuracy)


def faulty(draw: Draw, fault: Fault) -> TrialHistory:
    """A healthy run with one fault done to it, of a kind of loss that can have it."""
    while True:
        run = healthy(draw)
        if run.kind == "simsiam" and fault in _NOT_OF_SIMSIAM:
            continue
        fault(run, draw)
        return run


def accident(run: TrialHistory, draw: Draw) -> None:
    """Something that a healthy log may have: a NaN or a spike that is over, infinite gradients, a GPU's degrees."""
    rows = len(run.loss)
    which = draw.choice(("none", "nan", "infinite gradient", "spike", "degrees"))
    if which == "nan" and rows >= 20:
        first = int(draw.integers(2, rows - 6))
        run.loss[first : first + int(draw.integers(1, 4))] = np.nan
    elif which == "infinite gradient" and rows >= 20:
        run.more["grad_norm"] = np.exp(draw.normal(0.6, 0.2, rows))
        run.more["grad_norm"][draw.choice(rows - 4, 2, replace=False)] = np.inf
    elif which == "spike" and rows >= 20:
        run.loss[int(draw.integers(3, rows - 6))] *= 1.6
    elif which == "degrees":
        run.more["degrees"] = 55 + np.round(12 * _rows(run))
