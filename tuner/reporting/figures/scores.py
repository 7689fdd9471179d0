"""Figures of one trial's validation scores: accuracy against threshold, ROC, histograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from trainable.config import Purpose
from trainable.metrics import calibration, thresholds
from trainable.metrics.verification import roc_curve
from tuner.analysis.text import number
from tuner.analysis.winner import rates, rates_in_words
from tuner.reporting.figures.svg import NARROW, Axis, Panel, forms
from tuner.results.one_run import WholeRun

_POINTS = 400
_BINS = 40


@dataclass(frozen=True)
class Threshold:
    """The threshold of a trial beside all others on its validation pairs."""

    used: float
    accuracy: float
    plateau: thresholds.Threshold
    """The best cut, and between which values it makes no difference."""
    near: tuple[float, float]
    """Around it, where at most one pair of a hundred more is told wrong."""
    said: str
    """Which shares of positive and negative pairs it accepts, with the largest TAR at round FARs."""
    interval: str
    """95 % of the thresholds that other pairs would have given for the run's purpose, in words."""


def scored(run: WholeRun) -> bool:
    """Whether the leading trial has scores of both labels to draw."""
    return run.leader in run.scores and run.scores[run.leader].pair_label.nunique() == 2


def threshold_of(run: WholeRun) -> Threshold:
    """The leading trial's threshold, and how much hangs on it."""
    scores, labels = _of(run, run.leading)
    best = thresholds.best_threshold(scores, labels)
    cuts, accuracies = accuracy_curve(scores, labels)
    within = accuracies >= best.accuracy - 0.01
    place = int(np.argmin(np.abs(cuts - best.value)))
    low = place - int(np.argmin(within[place::-1])) if not within[: place + 1].all() else -1
    high = place + int(np.argmin(within[place:])) if not within[place:].all() else len(cuts)
    near = float(cuts[low + 1]), float(cuts[high - 1])
    accuracy = thresholds.accuracy_at(scores, labels, run.used_threshold)
    found = rates(run.used_threshold, scores, labels)
    said = rates_in_words(run.row["threshold_for"], run.used_threshold, found)
    solved = thresholds.solve_for(Purpose.of(run.row["threshold_for"] or "accuracy"), scores, labels)
    interval = f"{number(solved.low)} to {number(solved.high)}"
    reach = min(near[0], best.low), max(near[1], best.high)
    return Threshold(run.used_threshold, accuracy, best, reach, said, interval)


def accuracy_curve(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every cut that there is, rising: (k,) distinct scores, at and above which pairs are accepted, and (k,) accuracies."""
    order = np.argsort(scores, kind="stable")
    cuts, first = np.unique(scores[order], return_index=True)
    positives_below = np.concatenate([[0], np.cumsum(labels[order] == 1)])[first]
    right = (first - positives_below) + (np.sum(labels == 1) - positives_below)
    return cuts.astype(float), right / len(labels)


def default_differs(run: WholeRun) -> bool:
    """Whether the default's scores are there and are not the leading trial's own, which may differ in the threshold only."""
    if run.default not in run.scores:
        return False
    (one, labels), (other, _) = _of(run, run.leading), _of_default(run)
    return len(np.unique(labels)) == 2 and not np.array_equal(one, other)


def accuracy_by_threshold(run: WholeRun) -> Markup:
    """Accuracy on validation pairs at every threshold, with the best plateau and the threshold that was used."""
    scores, labels = _of(run, run.leading)
    found = threshold_of(run)
    cuts, accuracies = accuracy_curve(scores, labels)
    x = Axis.over("threshold [cosine]", [*cuts, found.used], log=False)
    panel = Panel(
        "accuracy by threshold", x, Axis.over("validation accuracy", [*accuracies, found.accuracy], log=False)
    )
    panel.region(*found.near, "near")
    panel.region(found.plateau.low, found.plateau.high, "plateau")
    if default_differs(run):
        panel.line(_thinned(*accuracy_curve(*_of_default(run))), "default")
    panel.line(_thinned(cuts, accuracies), "winner")
    panel.rule("threshold", x=found.used, text=f"used {number(found.used)}")
    return panel.svg()


def roc(run: WholeRun) -> Markup:
    """True accepts against false accepts, with the point of the threshold that was used."""
    scores, labels = _of(run, run.leading)
    panel = Panel("ROC", Axis("share of negative pairs accepted", 0, 1), Axis("share of positive pairs accepted", 0, 1))
    panel.line([(0.0, 0.0), (1.0, 1.0)], "chance")
    drawn = [(_of_default(run), "default")] if default_differs(run) else []
    for (values, classes), look in (*drawn, ((scores, labels), "winner")):
        false_accepts, true_accepts = roc_curve(values, classes)
        panel.line(_thinned(false_accepts, true_accepts), look)
    accepted = scores.astype(float) >= run.used_threshold
    panel.mark(float(accepted[labels == 0].mean()), float(accepted[labels == 1].mean()), "winner")
    return panel.svg()


def cmc_curve(run: WholeRun) -> list[float]:
    """The leading trial's cumulative match characteristic at the epoch it is ranked by; empty where it is not known."""
    if run.leader is None or "val_cmc" not in run.epochs:
        return []
    rows = run.epochs[(run.epochs.trial == run.leader) & (run.epochs.epoch == run.value(run.leader, "ranked_epoch"))]
    found = rows.val_cmc.iloc[0] if len(rows) else None
    return [] if found is None else [float(share) for share in found]


def cmc(run: WholeRun) -> Markup:
    """Share of the fronts that find their thing among the k nearest angle views, k rising."""
    curve = cmc_curve(run)
    x = Axis.over("k nearest angle views", range(1, len(curve) + 1))
    panel = Panel("cumulative match characteristic", x, Axis("share of fronts with a match", 0, 1))
    panel.line([(float(k), share) for k, share in enumerate(curve, start=1)], "winner")
    return panel.svg()


def reliability(run: WholeRun, identities: tuple[np.ndarray, np.ndarray]) -> calibration.Reliability | None:
    """How far the leading trial's probabilities can be trusted; None where too few identities are there to tell.

    identities: (n,) of the fronts and of the angles of all pairs of the run.
    """
    scores, labels = _of(run, run.leading)
    rows = run.scores[run.leading].pair.to_numpy()
    found = calibration.cross_fitted(scores, labels, identities[0][rows], identities[1][rows])
    known = np.isfinite(found)
    return calibration.reliability(found[known], labels[known]) if known.any() else None


def reliability_figure(found: calibration.Reliability) -> Markup:
    """Share of positive pairs against the probability that they were given; on the diagonal it holds."""
    panel = Panel("reliability", Axis("probability given", 0, 1), Axis("share that was the same thing", 0, 1))
    panel.line([(0.0, 0.0), (1.0, 1.0)], "chance")
    points = list(zip(found.predicted.tolist(), found.observed.tolist(), strict=True))
    panel.line(points, "winner")
    for x, y in points:
        across, down = panel.at(x, y)
        panel.add("circle", cx=across, cy=down, r=3.5, class_="dot winner")
    return panel.svg()


def histograms(run: WholeRun) -> Markup:
    """How the scores of positive and of negative validation pairs lie around the threshold."""
    return forms(_histograms(run, NARROW, _BINS // 2), _histograms(run, 940, _BINS))


def _histograms(run: WholeRun, width: int, bins: int) -> Markup:
    scores, labels = _of(run, run.leading)
    edges = np.histogram_bin_edges(np.append(scores, run.used_threshold), bins=bins)
    counts = {
        name: np.histogram(scores[labels == label], edges)[0] for name, label in (("negative", 0), ("positive", 1))
    }
    most = max(int(values.max()) for values in counts.values())
    panel = Panel(
        "scores of positive and negative pairs", Axis("score [cosine]", edges[0], edges[-1]),
        Axis("pairs", 0, most * 1.05), width=width, height=260,
    )  # fmt: skip
    for name, values in counts.items():
        for low, high, count in zip(edges[:-1], edges[1:], values, strict=True):
            if count:
                (left, top), (right, floor) = panel.at(low, count), panel.at(high, 0)
                across = max(right - left - 1, 0.5)
                panel.add("rect", x=left, y=top, width=across, height=floor - top, class_=f"column {name}")
    panel.rule("threshold", x=run.used_threshold, text=f"threshold {number(run.used_threshold)}")
    return panel.svg()


def _of_default(run: WholeRun) -> tuple[np.ndarray, np.ndarray]:
    assert run.default is not None, "asked for only where its scores are"
    return _of(run, run.default)


def _of(run: WholeRun, trial: int) -> tuple[np.ndarray, np.ndarray]:
    rows = run.scores[trial]
    return rows.score.to_numpy(), rows.pair_label.to_numpy()


def _thinned(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """At most so many points, the ends included: a figure is no more than so many pixels wide."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).astype(int))
    return list(zip(x[kept].tolist(), y[kept].tolist(), strict=True))
