"""Slow changes beneath noise: where a series of numbers began, was best and ended, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SHARE = 10
"""One in so many rows makes the window over which is averaged."""
_FEW = 6
"""With so few rows the noise is known to a factor of two only."""
_ERRORS = 4.0
"""So many standard errors of the difference of two windows are no noise; the best of many windows is 2 too good."""


@dataclass(frozen=True)
class Trend:
    """A series in windows of a tenth of its rows."""

    start: float
    end: float
    low: float
    high: float
    low_at: float
    """Where the lowest window stands, 0 to 1."""
    high_at: float
    noise: float
    """Standard deviation from row to row."""
    error: float
    """Difference between two windows that noise alone may make."""

    @property
    def fell(self) -> float:
        """From the start to the lowest, 0 if no more than noise."""
        return self._beyond(self.start - self.low)

    @property
    def rose_again(self) -> float:
        """From the lowest to the end, 0 if no more than noise."""
        return self._beyond(self.end - self.low)

    @property
    def sank(self) -> float:
        """From the highest to the end, 0 if no more than noise."""
        return self._beyond(self.high - self.end)

    @property
    def climbed(self) -> float:
        """From the start to the highest, 0 if no more than noise."""
        return self._beyond(self.high - self.start)

    def _beyond(self, change: float) -> float:
        return change if change > self.error else 0.0


def trend(values: Sequence[float] | np.ndarray) -> Trend | None:
    """The course of finite numbers, oldest first; None if there is none."""
    series = np.asarray(values, dtype=float)
    if not len(series):
        return None
    width = max(1, len(series) // _SHARE)
    means = smoothed(series, width)
    scatter = noise(series) if not _one_bend(series) else 0.0
    low, high = int(np.argmin(means)), int(np.argmax(means))
    last = max(1, len(means) - 1)
    return Trend(
        float(means[0]), float(means[-1]), float(means[low]), float(means[high]), low / last, high / last, scatter,
        _ERRORS * (1 + _FEW / len(series)) * scatter * math.sqrt(2 / width),
    )  # fmt: skip


@dataclass(frozen=True)
class Worsened:
    """A held-out metric that has passed its best, while the training loss fell on: overfitting."""

    best: float
    end: float
    loss_then: float
    """The training loss about where the metric was best."""
    loss_now: float

    @property
    def drop(self) -> float:
        """How far the metric has fallen below its best."""
        return self.best - self.end


def worsened(metric: Sequence[float] | np.ndarray, losses: Sequence[float] | np.ndarray) -> Worsened | None:
    """Whether a metric, the larger the better, sinks beyond noise, over however many rows, while the training loss is no
    higher than it was at the metric's best. Both: finite numbers over the same run, oldest first."""
    course, training = trend(metric), trend(losses)
    if course is None or training is None or len(metric) < 4 or len(losses) < 2 or not course.sank:
        return None
    series = np.asarray(losses, dtype=float)
    width = max(1, len(series) // _SHARE)
    place = round(course.high_at * (len(series) - width))
    then = float(series[place : place + width].mean())
    if training.end > then + max(0.02 * abs(then), 0.02 * abs(training.start), training.error / 2):
        return None
    return Worsened(course.high, course.end, then, training.end)


def _one_bend(series: np.ndarray) -> bool:
    """Whether so short a series goes one way, or turns once and then for three steps or more: it shows no noise."""
    steps = np.sign(np.diff(series))
    steps = steps[steps != 0]
    turns = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    last = len(steps) - (int(turns[-1]) if len(turns) else 0)
    return len(series) < _SHARE and (not len(turns) or (len(turns) == 1 and last >= 3))


def smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Means over `width` rows in a row."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    means: np.ndarray = (sums[width:] - sums[:-width]) / width
    return means


def noise(values: np.ndarray) -> float:
    """Standard deviation of the rows about a smooth course: by second differences, whose median no jump moves."""
    if len(values) < 3:
        return 0.0
    bends = values[1:-1] - (values[:-2] + values[2:]) / 2
    return float(1.4826 * np.median(np.abs(bends)) / math.sqrt(1.5))
