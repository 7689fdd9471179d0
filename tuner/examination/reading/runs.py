"""Which rows of a log belong to which run: told by a column, by a chart's names, or by epochs that begin anew."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tuner.examination.reading.names import NAMES, plain
from tuner.examination.reading.series import floats

_RUN_NAME = (
    r"^((run|trial|experiment|exp|job|model|config)(_?(id|name|uuid))?|"
    r"seed|fold|version|name|group|repeat|replicate)$"
)
TIME = r"(^|_)(timestamp|wall_?time|runtime|time|date|datetime|created|logged_at)$"
"""Names of what tells the time of a row."""
_RESTARTS = 5
"""So often at most a run begins anew in one file; what falls more often is out of order."""


def is_key(column: str) -> bool:
    """Whether a column says when, or in which run, and nothing that could be judged."""
    return _matches("epoch", column) or _matches("step", column) or bool(re.search(TIME, plain(column))) or bool(
        re.search(_RUN_NAME, plain(column)))  # fmt: skip


def _matches(name: str, column: str) -> bool:
    known, words = NAMES[name], plain(column)
    return bool(re.search(known.pattern, words)) and not re.search(known.never, words)


def column_names(frame: pd.DataFrame) -> list[str]:
    """The names of the columns, as text."""
    return [str(column) for column in frame.columns]


def named_runs(frame: pd.DataFrame, texts: dict[str, list[str | None]]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each run that a column names."""
    for column in [*texts, *column_names(frame)]:
        if not re.search(_RUN_NAME, plain(column)):
            continue
        words = pd.Series(texts[column] if column in texts else list(frame[column]), dtype=object)
        counts = words.value_counts()
        if len(counts) > 1 and counts.min() >= 2 and counts.sum() >= 0.9 * len(words):
            rest = frame.drop(columns=[column], errors="ignore")
            for word in dict.fromkeys(words.dropna()):
                name = f"{word:g}" if isinstance(word, float) else str(word)
                yield f"{column} {name}", rest[(words == word).to_numpy()]
            return
    yield "", frame


def chart_runs(
    frame: pd.DataFrame, texts: dict[str, list[str | None]]
) -> Iterator[tuple[pd.DataFrame, list[list[str | None]]]]:
    """The runs whose lines a chart of several shows, in columns called RUN - METRIC; and the texts that may be dates."""
    dates = [[words[int(row)] for row in frame.index] for name, words in texts.items() if re.search(TIME, plain(name))]
    lines = {c: c.rpartition(" - ") for c in column_names(frame) if " - " in c}
    names = list(dict.fromkeys(run for run, _, _ in lines.values()))
    if not names:
        yield frame, dates
        return
    shared = frame[[c for c in column_names(frame) if c not in lines]]
    for name in names:
        own = [c for c, (run, _, _) in lines.items() if run == name]
        part = pd.concat([shared, frame[own].set_axis([lines[c][2] for c in own], axis=1)], axis=1)
        part = part.loc[:, ~part.columns.duplicated()]
        part.attrs["run"] = name if len(names) > 1 else ""
        yield part, dates


def restarted(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Runs one after another in one file, told by epochs or steps that begin anew; one that was resumed is one run, of
    which the later rows count."""
    keys = order_keys(frame)
    starts = _restarts(frame, keys) if keys else []
    if not starts:
        yield "", frame
        return
    bounds = [0, *starts, len(frame)]
    pieces = [frame.iloc[a:b] for a, b in itertools.pairwise(bounds)]
    if all(_logged(pieces[0]) and not _logged(piece) & _logged(pieces[0]) for piece in pieces[1:]):
        yield "", frame  # training's rows first, validation's after them
        return
    first = keys[0]
    begin = pieces[0][first].dropna().astype(float).min()
    run = [pieces[0]]
    count = 1
    for piece in pieces[1:]:
        at = piece[first].dropna().astype(float).min()
        if at > begin + 0.02 * abs(float(pieces[0][first].dropna().astype(float).max()) - begin) + 1e-9:
            run = [part[part[first].map(lambda value, at=at: value is None or value < at)] for part in run] + [piece]
            continue
        yield f"run {count}", pd.concat(run)
        run, count = [piece], count + 1
    yield f"run {count}" if count > 1 else "", pd.concat(run)


def _logged(frame: pd.DataFrame) -> set[str]:
    """The columns with numbers that change, those that only say when aside."""
    return {
        c for c in column_names(frame) if not is_key(c) and frame[c].map(is_number).any() and frame[c].nunique() > 1
    }


def is_number(value: float | None) -> bool:
    """Whether the cell holds a finite number."""
    return value is not None and bool(np.isfinite(value))


def _restarts(frame: pd.DataFrame, keys: list[str]) -> list[int]:
    """The rows at which a run begins anew, if rows are in order between them and the same epochs come again."""
    rows = frame[keys].map(lambda value: np.nan if value is None else value).astype(float)
    rows = rows.loc[rows.notna().all(axis=1)] if len(keys) > 1 else rows.dropna()
    if len(rows) < 4:
        return []
    values = [tuple(row) for row in rows.to_numpy()]
    falls = [place for place in range(1, len(values)) if values[place] < values[place - 1]]
    if not 1 <= len(falls) <= _RESTARTS or len(falls) > len(values) / 4:
        return []
    begins = {values[0], *(values[place] for place in falls)}
    early = sorted(set(values))[: max(2, len(values) // 10)]
    if len(keys) == 1 and keys[0] != "epoch" and len(falls) > 1 and not _begins_anew(frame, rows.index, falls):
        return []
    repeated = len(values) > len(set(values)) or all(begin in early for begin in begins)
    index = list(frame.index)
    return [index.index(rows.index[place]) for place in falls] if repeated else []


def _begins_anew(frame: pd.DataFrame, index: pd.Index, falls: list[int]) -> bool:
    """Whether a loss is back where it began at a fall of the steps: a new run, and not the next epoch of the same."""
    for column in column_names(frame):
        if "loss" not in plain(column):
            continue
        values = floats(frame[column].loc[index])
        first, before, after = values[0], values[falls[0] - 1], values[falls[0]]
        return bool(abs(after - first) < abs(after - before))
    return False


def order_keys(frame: pd.DataFrame) -> list[str]:
    """The columns that order rows: the epoch, and the step within or beside it, as far as every row has them."""
    keys = []
    for name in ("epoch", "step"):
        columns = [c for c in column_names(frame) if _matches(name, c)]
        full = [c for c in columns if frame[c].map(is_number).all()]
        keys += ([c for c in full if c == name] or sorted(full, key=len))[:1]
    return keys
