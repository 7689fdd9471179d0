"""Cells as numbers: what is a gap, a percentage, a decimal comma, or a number within a text."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.examination.reading.cells import GAPS, numbers

NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4)), min_size=2, max_size=20)


def read(*cells: object, european: bool = False) -> list[float | None] | None:
    return numbers(pd.DataFrame({"loss": pd.Series(cells, dtype=object)}), european).columns.get("loss")


@given(NUMBERS)
def test_numbers_come_back_whatever_stands_around_them(values):
    """Plain, with decimal commas, within a tensor, with a unit."""
    for written in ("{}", "tensor({}, device='cuda:0')", "[{}]", "{} nats", "loss = {}", "np.float32({})"):
        assert read(*(written.format(value) for value in values)) == pytest.approx(values)
    assert read(*(f"{value}".replace(".", ",") for value in values), european=True) == pytest.approx(values)
    assert read(*(f"{value}%" for value in values)) == pytest.approx([value / 100 for value in values])


@pytest.mark.parametrize("gap", sorted(GAPS))
def test_gaps_are_nothing_and_nan_is_a_number(gap):
    """In any case, with blanks around."""
    assert read("1.5", f" {gap.upper()} ", "2.5") == [1.5, None, 2.5]
    found = read("1.5", "nan", "2.5")
    assert found[1] is not None and math.isnan(found[1])


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,000", "2,000"], [1000, 2000]),
        (["0,125", "1,500"], [0.125, 1.5]),
        (["1.234,5", "2.345,6"], [1234.5, 2345.6]),
        (["1 000", "2 000"], [1000, 2000]),
        (["3/10", "4/10"], [3, 4]),
        (["−1.5", "-2"], [-1.5, -2]),
        (["Infinity", "-inf"], [math.inf, -math.inf]),
        (["1.5", "2.5", "3.5", "4.5", "diverged"], [1.5, 2.5, 3.5, 4.5, None]),
    ],
)  # fmt: skip
def test_spellings(cells, values):
    """Of thousands, fractions, signs; a word among numbers is a gap, which is said."""
    assert read(*cells) == values


@pytest.mark.parametrize(
    "cells", [("glad-fox-7", "blue-owl-8"), ("2024-05-01", "2024-05-02"), ("see run 1", "see run 2")]
)
def test_names_dates_and_sentences_are_no_numbers(cells):
    """They are listed with an example instead."""
    frame = pd.DataFrame({"loss": list(cells)})
    assert not numbers(frame).columns and numbers(frame).unreadable == (f"loss (as {cells[0]!r})",)
