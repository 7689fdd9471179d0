"""The rows of a log in their order: phases, names of metrics and runs in columns of words are told apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tuner.examination.reading.cells import Numbers
from tuner.examination.reading.names import plain
from tuner.examination.reading.runs import (
    TIME,
    chart_runs,
    column_names,
    is_key,
    is_number,
    named_runs,
    order_keys,
    restarted,
)
from tuner.examination.reading.series import floats

_PHASE_NAME = r"(^|_)(phase|split|mode|stage|set|subset|part|partition|type|dataset|loader|job_type|prefix)$"
PHASES = {
    "train": "train", "training": "train", "tr": "train", "fit": "train", "val": "val", "valid": "val", "validation": "val",
    "validate": "val", "eval": "val", "evaluation": "val", "dev": "val", "holdout": "val", "held_out": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_METRIC_NAME = r"^(key|metric|metric_?name|name|tag|variable|measure|scalar)$"


@dataclass(frozen=True)
class Rows:
    """The rows of one run, oldest first: objects, None where nothing was logged."""

    run: str
    """Empty where the log holds one run only."""
    frame: pd.DataFrame
    percent: frozenset[str]
    spelt: frozenset[str]
    notes: tuple[str, ...] = field(default=())


@dataclass
class _Table:
    """A log's numbers and words on their way to rows."""

    frame: pd.DataFrame
    texts: dict[str, list[str | None]]
    percent: set[str]
    spelt: set[str]
    notes: list[str]


def runs(read: Numbers) -> list[Rows]:
    """Every run of a log, phases in columns of their own and rows in order."""
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in read.columns.items()})
    table = _Table(frame, dict(read.texts), set(read.percent), set(read.spelt), [])
    for step in (_without_ranges, _by_metric, _by_phase):
        step(table)
    parts = [
        (_joined(name, str(part.attrs.get("run", ""))), part, dates)
        for name, inner in named_runs(table.frame, table.texts)
        for part, dates in chart_runs(inner, table.texts)
    ]
    return [
        _rows(_joined(name, again), piece, dates, table)
        for name, part, dates in parts
        for again, piece in restarted(part)
    ]


def _rows(run: str, piece: pd.DataFrame, dates: list[list[str | None]], table: _Table) -> Rows:
    notes = list(table.notes)
    ordered = _in_order(piece, dates, notes)
    logged = [c for c in ordered if ordered[c].map(lambda value: value is not None).any()]
    frame = ordered[logged].reset_index(drop=True)
    return Rows(run, frame, frozenset(table.percent), frozenset(table.spelt), tuple(notes))


def _joined(*names: str) -> str:
    return ", ".join(name for name in names if name)


def _without_ranges(table: _Table) -> None:
    """An exported chart has a range for every line; its ends are no numbers of their own."""
    names = column_names(table.frame)
    ends = [c for c in names if re.search(r"__(MIN|MAX)$", c) and re.sub(r"__(MIN|MAX)$", "", c) in names]
    if ends:
        table.notes.append(f"{len(ends)} columns __MIN and __MAX are the chart's ranges and left out")
        table.frame = table.frame.drop(columns=ends)


def _by_metric(table: _Table) -> None:
    """A log with a row for each number: the names of metrics become columns."""
    frame = table.frame
    values = next(
        (c for c in column_names(frame) if plain(c) in ("value", "metric_value", "scalar_value", "val")), None
    )
    keys = next((c for c in table.texts if re.search(_METRIC_NAME, plain(c))), None)
    if values is None or keys is None:
        return
    words = pd.Series(table.texts.pop(keys), dtype=object)
    table.notes.append(f"a row for each number: {keys} names it")
    table.frame = _spread(frame.drop(columns=[values]), frame[[values]], words, lambda column, word: word)


def _by_phase(table: _Table) -> None:
    """Rows of training and of validation: a column for each."""
    for name in [*table.texts, *column_names(table.frame)]:
        words = _phases(name, table.texts, table.frame)
        if words is None:
            continue
        table.texts.pop(name, None)
        frame = table.frame.drop(columns=[name], errors="ignore")
        keys = [c for c in column_names(frame) if is_key(c)]
        phases = sorted(set(words.dropna()))
        table.notes.append(f"rows of {', '.join(phases)} are told apart by {name}")
        table.frame = _spread(frame[keys], frame.drop(columns=keys), words, prefixed)
        for kind in (table.percent, table.spelt):
            kind |= {prefixed(column, phase) for column in kind for phase in phases}
        return


def prefixed(column: str, phase: str) -> str:
    """The column's name with its phase before it."""
    return column if plain(column).startswith(phase) else f"{phase}_{column}"


def _phases(name: str, texts: dict[str, list[str | None]], frame: pd.DataFrame) -> pd.Series | None:
    """The phase of every row, if this column tells it."""
    if name in texts:
        words = pd.Series([None if word is None else PHASES.get(plain(word)) for word in texts[name]], dtype=object)
        said = [word for word in texts[name] if word is not None]
        return words if said and words.notna().sum() == len(said) else None
    flag = re.fullmatch(r"(is_)?(train|training|val|valid|validation|eval)", plain(name))
    values = set(frame[name].dropna()) if flag else set()
    if not flag or not values <= {0.0, 1.0} or len(values) < 2:
        return None
    yes, no = ("train", "val") if "train" in flag[2] else ("val", "train")
    return frame[name].map(lambda value: None if value is None else yes if value else no)


def _spread(
    keys: pd.DataFrame, values: pd.DataFrame, words: pd.Series, named: Callable[[str, str], str]
) -> pd.DataFrame:
    """A column for each word and each column of values, None in the rows of other words."""
    columns = {c: keys[c] for c in column_names(keys)}
    for word in dict.fromkeys(words.dropna()):
        here = (words == word).to_numpy()
        for column in column_names(values):
            cells = [value if mine else None for value, mine in zip(values[column], here, strict=True)]
            if any(cell is not None for cell in cells):
                columns[named(column, word)] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns, dtype=object)


def _in_order(frame: pd.DataFrame, dates: list[list[str | None]], notes: list[str]) -> pd.DataFrame:
    """The rows by epoch and step, else by time; as they stand where there is neither."""
    names = order_keys(frame)
    if not names:
        names = [c for c in column_names(frame) if re.search(TIME, plain(c)) and frame[c].map(is_number).all()][:1]
    keys = [floats(frame[c]) for c in names]
    if not keys and dates and len(dates[0]) == len(frame):
        stamps = pd.to_datetime(pd.Series(dates[0], index=frame.index), errors="coerce", format="mixed", utc=True)
        names, keys = ["time"], [stamps.astype("int64").to_numpy(dtype=float)] if stamps.notna().all() else []
    if not keys:
        return frame
    place = np.lexsort(keys[::-1])
    if np.any(np.diff(place) < 0):
        notes.append("rows are put in order by " + " and ".join(names))
    return frame.iloc[place]
