"""The rows of a log in their order: phases, names of metrics and runs in columns of words are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tuner.examination.log_cells import Numbers
from tuner.examination.log_names import NAMES, plain

_PHASE_NAME = r"(^|_)(phase|split|mode|stage|set|subset|part|partition|type|dataset|loader|job_type|prefix)$"
_PHASES = {
    "train": "train", "training": "train", "tr": "train", "fit": "train", "val": "val", "valid": "val", "validation": "val",
    "validate": "val", "eval": "val", "evaluation": "val", "dev": "val", "holdout": "val", "held_out": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_RUN_NAME = r"^(run|run_?id|run_?name|run_?uuid|trial|trial_?id|trial_?name|experiment|experiment_?name|exp|exp_?name|job|job_?id|seed|fold|version|model|model_?name|config|config_?name|name|group|repeat|replicate)$"
_METRIC_NAME = r"^(key|metric|metric_?name|name|tag|variable|measure|scalar)$"
_TIME = r"(^|_)(timestamp|wall_?time|runtime|time|date|datetime|created|logged_at)$"
_RESTARTS = 5


@dataclass(frozen=True)
class Rows:
    """The rows of one run, oldest first: objects, None where nothing was logged."""

    run: str
    """Empty where the log holds one run only."""
    frame: pd.DataFrame
    percent: frozenset[str]
    spelt: frozenset[str]
    notes: tuple[str, ...] = field(default=())


def runs(read: Numbers) -> list[Rows]:
    """Every run of a log, phases in columns of their own and rows in order."""
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in read.columns.items()})
    texts = dict(read.texts)
    notes: list[str] = []
    frame, percent, spelt = _charts(frame, set(read.percent), set(read.spelt), notes)
    for pivot in (_by_metric, _by_phase):
        frame, percent, spelt = pivot(frame, texts, percent, spelt, notes)
    parts = [
        (_joined(name, part.attrs.get("run", "")), part, dates)
        for name, inner in _named_runs(frame, texts)
        for part, dates in _chart_runs(inner, texts)
    ]
    found = []
    for name, part, dates in parts:
        for again, piece in _restarted(part):
            said = list(notes)
            ordered = _in_order(piece, dates, said)
            ordered = ordered[[c for c in ordered if ordered[c].map(lambda v: v is not None).any()]]
            found.append(Rows(_joined(name, again), ordered.reset_index(drop=True), frozenset(percent), frozenset(spelt), tuple(said)))
    return found


def _joined(*names: str) -> str:
    return ", ".join(name for name in names if name)


def _charts(frame: pd.DataFrame, percent: set[str], spelt: set[str], notes: list[str]):  # type: ignore[no-untyped-def]
    """An exported chart has a range for every line; its ends are no numbers of their own."""
    ends = [c for c in frame if re.search(r"__(MIN|MAX)$", str(c)) and re.sub(r"__(MIN|MAX)$", "", str(c)) in frame]
    if ends:
        notes.append(f"{len(ends)} columns __MIN and __MAX are the chart's ranges and left out")
    return frame.drop(columns=ends), percent, spelt


def _by_metric(frame, texts, percent, spelt, notes):  # type: ignore[no-untyped-def]
    """A log with a row for each number: the names of metrics become columns."""
    values = next((c for c in frame if plain(c) in ("value", "metric_value", "scalar_value", "val")), None)
    keys = next((c for c in texts if re.search(_METRIC_NAME, plain(c))), None)
    if values is None or keys is None:
        return frame, percent, spelt
    words = pd.Series(texts.pop(keys), dtype=object)
    notes.append(f"a row for each number: {keys} names it")
    rest = frame.drop(columns=[values])
    return _spread(rest, frame[[values]], words, lambda column, word: word), percent, spelt


def _by_phase(frame, texts, percent, spelt, notes):  # type: ignore[no-untyped-def]
    """Rows of training and of validation: a column for each."""
    for name in [*texts, *frame]:
        words = _phases(name, texts, frame)
        if words is None:
            continue
        texts.pop(name, None)
        frame = frame.drop(columns=[c for c in (name,) if c in frame])
        keys = [c for c in frame if _is_key(c)]
        prefixed = lambda column, word: column if plain(column).startswith(word) else f"{word}_{column}"  # noqa: E731
        values = frame.drop(columns=keys)
        notes.append(f"rows of {', '.join(sorted(set(words.dropna())))} are told apart by {name}")
        frame = _spread(frame[keys], values, words, prefixed)
        percent = percent | {prefixed(c, w) for c in percent for w in set(words.dropna())}
        spelt = spelt | {prefixed(c, w) for c in spelt for w in set(words.dropna())}
        break
    return frame, percent, spelt


def _phases(name: str, texts: dict[str, list[str | None]], frame: pd.DataFrame) -> pd.Series | None:
    """The phase of every row, if this column tells it."""
    if name in texts:
        words = pd.Series([None if word is None else _PHASES.get(plain(word)) for word in texts[name]], dtype=object)
        said = [word for word in texts[name] if word is not None]
        return words if said and words.notna().sum() == len(said) else None
    flag = re.fullmatch(r"(is_)?(train|training|val|valid|validation|eval)", plain(name))
    values = set(frame[name].dropna()) if flag else set()
    if not flag or not values <= {0.0, 1.0} or len(values) < 2:
        return None
    yes, no = ("train", "val") if "train" in flag[2] else ("val", "train")
    return frame[name].map(lambda value: None if value is None else yes if value else no)


def _spread(keys: pd.DataFrame, values: pd.DataFrame, words: pd.Series, named) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    """A column for each word and each column of values, None in the rows of other words."""
    columns = {c: keys[c] for c in keys}
    for word in dict.fromkeys(words.dropna()):
        here = (words == word).to_numpy()
        for column in values:
            cells = [value if mine else None for value, mine in zip(values[column], here, strict=True)]
            if any(cell is not None for cell in cells):
                columns[named(column, word)] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns, dtype=object)


def _is_key(column: str) -> bool:
    return _matches("epoch", column) or _matches("step", column) or bool(re.search(_TIME, plain(column))) or bool(
        re.search(_RUN_NAME, plain(column)))  # fmt: skip


def _matches(name: str, column: str) -> bool:
    known, words = NAMES[name], plain(column)
    return bool(re.search(known.pattern, words)) and not re.search(known.never, words)


def _named_runs(frame: pd.DataFrame, texts: dict[str, list[str | None]]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each run that a column names."""
    for column in [*texts, *frame]:
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


def _chart_runs(frame: pd.DataFrame, texts: dict[str, list[str | None]]) -> Iterator[tuple[pd.DataFrame, list[list[str | None]]]]:
    """The runs whose lines a chart of several shows, in columns called RUN - METRIC; and the texts that may be dates."""
    dates = [[words[int(row)] for row in frame.index] for name, words in texts.items() if re.search(_TIME, plain(name))]
    lines = {c: str(c).rpartition(" - ") for c in frame if " - " in str(c)}
    names = list(dict.fromkeys(run for run, _, _ in lines.values()))
    if not names:
        yield frame, dates
        return
    shared = frame[[c for c in frame if c not in lines]]
    for name in names:
        own = [c for c, (run, _, _) in lines.items() if run == name]
        part = pd.concat([shared, frame[own].set_axis([lines[c][2] for c in own], axis=1)], axis=1)
        part = part.loc[:, ~part.columns.duplicated()]
        part.attrs["run"] = name if len(names) > 1 else ""
        yield part, dates


def _restarted(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Runs one after another in one file, told by epochs or steps that begin anew; one that was resumed is one run, of
    which the later rows count."""
    keys = _keys(frame)
    starts = _restarts(frame, keys) if keys else []
    if not starts:
        yield "", frame
        return
    bounds = [0, *starts, len(frame)]
    pieces = [frame.iloc[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
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
    return {c for c in frame if not _is_key(c) and frame[c].map(lambda v: v is not None and not np.isnan(v)).any() and frame[c].nunique() > 1}


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
    for column in frame:
        if "loss" not in plain(column):
            continue
        values = np.array([np.nan if value is None else value for value in frame.loc[index, column]], float)
        first, before, after = values[0], values[falls[0] - 1], values[falls[0]]
        return bool(abs(after - first) < abs(after - before))
    return False


def _keys(frame: pd.DataFrame) -> list[str]:
    """The columns that order rows: the epoch, and the step within or beside it, as far as every row has them."""
    keys = []
    for name in ("epoch", "step"):
        columns = [c for c in frame if _matches(name, c)]
        full = [c for c in columns if frame[c].map(lambda v: v is not None and np.isfinite(v)).all()]
        keys += sorted(full, key=lambda c: (c != name, len(str(c))))[:1]
    return keys


def _in_order(frame: pd.DataFrame, dates: list[list[str | None]], notes: list[str]) -> pd.DataFrame:
    """The rows by epoch and step, else by time; as they stand where there is neither."""
    keys = [frame[c].astype(float) for c in _keys(frame)]
    if not keys:
        times = [c for c in frame if re.search(_TIME, plain(c)) and frame[c].map(lambda v: v is not None).all()]
        keys = [frame[c].astype(float) for c in times[:1]]
    if not keys and dates and len(dates[0]) == len(frame):
        stamps = pd.to_datetime(pd.Series(dates[0], index=frame.index), errors="coerce", format="mixed", utc=True)
        keys = [stamps] if stamps.notna().all() else []
    if not keys:
        return frame
    place = np.lexsort([key.to_numpy() for key in reversed(keys)])
    if np.any(np.diff(place) < 0):
        notes.append("rows are put in order by " + " and ".join(str(key.name or "time") for key in keys))
    return frame.iloc[place]
