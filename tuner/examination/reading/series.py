"""The numbers of one column in the order of the run, and whether NaN in it is a gap, an accident or the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

_STRETCHES, _MOST_EPOCHS = 30, 60
_LONG_FOR_A_SCALER = 3


@dataclass(frozen=True)
class Spoilt:
    """NaN or infinite values of a column."""

    what: str
    """Which value, in how many rows, and from which on."""
    fatal: bool
    """Whether no finite value comes after them where the column is normally logged."""
    blank: bool = False
    """Whether the cells say nothing at all."""


def floats(cells: pd.Series) -> np.ndarray:
    """The column, NaN for a gap."""
    return np.array([np.nan if value is None else value for value in cells], dtype=float)


def spoilt(column: str, frame: pd.DataFrame, spelt: bool, gradient: bool) -> Spoilt | None:
    """What is NaN or infinite in the column, gaps aside.

    spelt: whether gaps have another word than NaN. gradient: of a gradient's norm, that fp16's scaler makes infinite now
    and then.
    """
    values = floats(frame[column])
    said = np.array([value is not None for value in frame[column]])
    finite, infinite = np.isfinite(values), np.isinf(values)
    nan = said & np.isnan(values)
    own = _rows_of_its_kind(column, frame, finite) if finite.any() else said
    last = int(np.flatnonzero(finite)[-1]) if finite.any() else -1
    late = own & (np.arange(len(values)) > last)
    if not infinite.any() and not nan.any():
        return _blank_to_the_end(column, finite, own, late, last)
    own, late = own & said, late & said
    gaps = _longest_gap(finite[own & (np.arange(len(values)) <= last)])
    ended = int(late.sum())
    # Where NaN is the only word for a gap, the column is still being logged if its last gap is no longer than the others.
    fatal = ended > 0 and bool(infinite[late].any() or ended > gaps)
    if gradient:
        fatal = ended >= max(_LONG_FOR_A_SCALER, 0.1 * len(values))
    accident = infinite | (nan & own & (fatal | spelt | _rare(finite, own)))
    rows = np.flatnonzero(accident if not fatal else accident | late)
    if not len(rows):
        return None
    what = values[rows[0]]
    text = f"{column} is {what} in {len(rows)} of {len(values)} rows, first in row {rows[0] + 1}"
    return Spoilt(text if fatal else f"{text}, and finite again after row {_until(rows)}", fatal)


def _blank_to_the_end(column: str, finite: np.ndarray, own: np.ndarray, late: np.ndarray, last: int) -> Spoilt | None:
    """Nothing where it is normally logged: pandas writes NaN so, into CSV and Parquet."""
    before = own & (np.arange(len(finite)) <= last)
    ended = int(late.sum())
    if not finite.any() or ended < max(3, 3 * _longest_gap(finite[before]), 0.05 * len(finite)):
        return None
    text = f"{column} is blank in the last {ended} of its rows, from row {int(np.flatnonzero(late)[0]) + 1} on"
    return Spoilt(f"{text}, while others are logged on: NaN, if pandas wrote the file", True, blank=True)


def _until(rows: np.ndarray) -> int:
    return int(rows[-1]) + 1


def _rare(finite: np.ndarray, own: np.ndarray) -> bool:
    """Whether the column is logged in nearly every row of its kind, so that NaN between is an accident and no gap."""
    return bool(own.any() and finite[own].mean() >= 0.8)


def _rows_of_its_kind(column: str, frame: pd.DataFrame, finite: np.ndarray) -> np.ndarray:
    """The rows in which this column is normally logged: those without a number that never stands beside one of its own."""
    own = np.ones(len(frame), bool)
    for other in frame:
        if other == column:
            continue
        there = np.isfinite(floats(frame[other]))
        if there.any() and not (there & finite).any():
            own &= ~there
    return own


def _longest_gap(finite: np.ndarray) -> int:
    longest = now = 0
    for here in finite:
        now = 0 if here else now + 1
        longest = max(longest, now)
    return longest


def epochs(columns: Mapping[str, np.ndarray]) -> tuple[list[dict[str, float]], bool]:
    """Rows averaged over each epoch where one has several, then over stretches where there are too many; a metric that is
    measured now and then is what it was last. columns: by the name that detectors know, NaN for a gap."""
    table, stretched = pd.DataFrame(dict(columns)), False
    table = table.mask(np.isinf(table))
    if "epoch" in table and table["epoch"].notna().all() and table["epoch"].duplicated().any():
        table = table.groupby("epoch", sort=False, as_index=False).mean()
    if len(table) > _MOST_EPOCHS:
        stretch = np.arange(len(table)) * _STRETCHES // len(table)
        table, stretched = table.groupby(stretch).mean(), True
    table = table.ffill()
    table["epoch"] = np.arange(1, len(table) + 1)
    rows = table.to_dict("records")
    return [{str(name): value for name, value in row.items() if not np.isnan(value)} for row in rows], stretched
