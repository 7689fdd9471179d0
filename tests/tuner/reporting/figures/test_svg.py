"""Figures as markup: ticks are round, marks are where they belong, text is escaped, curves are the slow ones."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from trainable.metrics import thresholds
from tuner.analysis.text import number
from tuner.reporting.figures.scores import accuracy_curve
from tuner.reporting.figures.svg import Axis, Panel, element

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@example([700001.0, 700002.0], True)
@given(st.lists(FINITE, min_size=0, max_size=20), st.booleans())
def test_every_axis_has_its_values_on_it_and_ticks_between_its_ends(values: list[float], log: bool) -> None:
    """Whatever the values, equal ones and none included; a logarithmic axis only where all are above 0."""
    axis = Axis.over("x", values, log=log if all(v > 0 for v in values) else None)
    assert all(0 <= axis.place(value) <= 1 for value in values)
    ticks = [value for value, _ in axis.ticks()]
    assert all(axis.low - 1e-9 * abs(axis.low) <= tick <= axis.high + 1e-9 * abs(axis.high) for tick in ticks)
    assert len(ticks) <= 12


def test_names_stand_side_by_side() -> None:
    """Each at its place, with room on both sides; long ones are cut so that they do not meet."""
    axis = Axis.of_names("backbone", ["resnet18", "vit_small_patch14_dinov2"], letters=20)
    assert axis.ticks() == [(0.0, "resnet18"), (1.0, "vit_small…")]
    assert (axis.place(0), axis.place(1)) == (0.25, 0.75)


def test_a_wide_range_of_positive_values_is_logarithmic() -> None:
    """Learning rates are; thresholds, which can be negative, and accuracies are not."""
    assert Axis.over("learning_rate", [1e-5, 1e-1]).log
    assert not Axis.over("threshold", [-0.5, 0.9]).log and not Axis.over("accuracy", [0.5, 0.9]).log
    assert [text for _, text in Axis.over("learning_rate", [1e-5, 1e-1]).ticks()] == [
        "1e-05",
        "0.0001",
        "0.001",
        "0.01",
        "0.1",
    ]


def test_numbers_of_blocks_have_whole_ticks() -> None:
    """There is no half block."""
    assert [text for _, text in Axis.over("trainable_blocks", [0, 4]).ticks()] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0030000001, "0.003"), (4, "4"), (4.0, "4"), (None, "–"), (math.nan, "–"), (1.94e-5, "1.94e-05")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    """Three digits; whole numbers as they are; a dash for what is missing."""
    assert number(value) == text


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    """Nothing that a user wrote can end an attribute or begin an element."""
    made = element("text", '<b>"&', aria_label='"><script>')
    assert (
        ElementTree.fromstring(made).text == '<b>"&' and ElementTree.fromstring(made).get("aria-label") == '"><script>'
    )
    assert element("g", Markup("<b></b>")) == Markup("<g><b></b></g>")


def test_a_mark_is_where_its_values_are_and_carries_its_trial() -> None:
    """Larger values lie further right and higher up."""
    panel = Panel("a figure", Axis("x", 0, 1), Axis("y", 0, 1))
    panel.mark(0.25, 0.25, "completed", trial=3)
    panel.mark(0.75, 0.75, "completed", trial=4)
    low, high = (mark for mark in ElementTree.fromstring(panel.svg()).iter("circle"))
    assert (low.get("data-t"), high.get("data-t")) == ("3", "4")
    assert float(low.get("cx")) < float(high.get("cx")) and float(low.get("cy")) > float(high.get("cy"))


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 1)), min_size=2, max_size=30))
def test_accuracy_at_every_threshold_is_that_of_counting(pairs: list[tuple[int, int]]) -> None:
    """Ties included; the highest point is what the solved threshold reaches."""
    scores, labels = np.array([score / 10 for score, _ in pairs]), np.array([label for _, label in pairs])
    if len(set(labels)) < 2:
        return
    cuts, accuracies = accuracy_curve(scores, labels)
    assert accuracies == pytest.approx([thresholds.accuracy_at(scores, labels, cut) for cut in cuts])
    rejects_all = np.mean(labels == 0)
    assert max(*accuracies, rejects_all) == pytest.approx(thresholds.best_threshold(scores, labels).accuracy)
