"""Slow changes beneath noise: where a series began, was best and ended, and whether that is more than noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.diagnosis.trends import noise, smoothed, trend, worsened

NUMBERS = st.lists(st.integers(-100_000, 100_000).map(lambda value: value / 100), min_size=1, max_size=60)
"""Hundredths, so that a shift rounds none of them to its neighbour."""


@given(NUMBERS, st.integers(1, 10))
def test_means_over_a_window_are_those_of_a_loop(values, width):
    """Beside the sums that make it fast."""
    width = min(width, len(values))
    expected = [np.mean(values[at : at + width]) for at in range(len(values) - width + 1)]
    assert smoothed(np.array(values), width) == pytest.approx(expected, abs=1e-6)


@given(NUMBERS, st.floats(-100, 100), st.floats(0.1, 10))
def test_a_trend_follows_shift_and_scale(values, shift, scale):
    """Nothing in it depends on the unit of the loss."""
    plain, moved = trend(values), trend([shift + scale * value for value in values])
    assert moved.end == pytest.approx(shift + scale * plain.end, abs=1e-6)
    assert moved.noise == pytest.approx(scale * plain.noise, abs=1e-6)


@pytest.mark.parametrize("rows", [20, 60, 300])
def test_noise_alone_is_no_change(rows):
    """In two hundred series, none falls, rises, or sinks."""
    random = np.random.default_rng(rows)
    changes = [trend(random.normal(0, 1, rows)) for _ in range(200)]
    assert sum(bool(one.fell or one.sank or one.rose_again or one.climbed) for one in changes) <= 4


def test_the_noise_about_a_smooth_course_is_measured_past_a_jump():
    """A collapse in the middle is no noise."""
    random = np.random.default_rng(0)
    series = np.r_[np.linspace(5, 1, 200), np.full(200, 8.0)] + random.normal(0, 0.1, 400)
    assert noise(series) == pytest.approx(0.1, rel=0.15)


def test_nothing_has_no_trend():
    """An empty series is nothing to judge."""
    assert trend([]) is None and worsened([], [1.0]) is None


@pytest.mark.parametrize("rows", [6, 30, 300])
def test_a_metric_that_sinks_while_the_loss_falls_has_worsened(rows):
    """However many rows the fall is spread over; not so where the loss rises with it."""
    metric = np.r_[np.linspace(0.6, 0.92, rows // 3), np.linspace(0.92, 0.8, rows - rows // 3)]
    falling = np.linspace(3, 0.1, rows)
    worse = worsened(metric, falling)
    assert worse.best == pytest.approx(0.92, abs=0.01) and worse.end == pytest.approx(0.8, abs=0.01)
    assert worse.loss_now < worse.loss_then and worsened(metric, falling[::-1]) is None
    assert worsened(np.sort(metric), falling) is None
