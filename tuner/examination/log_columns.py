"""A user's own training log, CSV or Parquet, read into the numbers that detectors know, whatever its columns are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainable.config import InputError, nearest

GUESSES = {
    "epoch": r"(^|_)epochs?$",
    "step": r"(^|_)(steps?|iter|iters|iteration)$",
    "consistency_loss": r"consist|(^|_)cons(_|$)|(^|_)align(ment)?(_|$)",
    "contrastive_loss": r"contrast|info_?nce|nt_?xent|sup_?con|(^|_)nce(_|$)|loss_(con|contr|cl)(_|$)|(^|_)(con|contr|cl)_loss",
    "val_auc": r"auc|auroc",
    "val_accuracy": r"(^|_)acc(uracy)?(_|$)",
    "positive_similarity": r"(^|_)pos(itives?)?_(\w+_)?(sim|cos)|(sim|cos)\w*_pos",
    "negative_similarity": r"(^|_)neg(atives?)?_(\w+_)?(sim|cos)|(sim|cos)\w*_neg",
    "mean_cosine": r"mean_cos",
    "similarity": r"(^|_)(sims?|similarity|similarities|cos|cosine)(_|$)",
    "feature_std": r"(feat|emb|repr|z)\w*_std",
    "uniformity": r"uniformity",
    "grad_norm": r"grad\w*_norm",
    "learning_rate": r"(^|_)(lr|learning_rate)(_|$)",
    "temperature": r"(^|_)(temp|temperature|tau)(_|$)",
    "batch_size": r"batch_?size|(^|_)bs$",
}
"""What a column of a log can be, and by which names it is recognised, in lower case with _ between the words."""
EXACT = (
    "chance_loss", "negative_loss", "total_loss", "rank_raw", "rank_centred", "rank_limit", "score_low", "score_high",
    "head_grad_norm", "backbone_grad_norm", "head_update_ratio", "backbone_update_ratio", "frozen_moved",
)  # fmt: skip
"""What is recognised by its own name only: columns of this project's own `epochs` table."""
_SPOILT = ("contrastive_loss", "consistency_loss", "negative_loss", "total_loss", "grad_norm")
_HELD_OUT = re.compile(r"(^|_)(val|valid|validation|test|eval|dev)(_|$)")
_STRETCHES, _MOST_EPOCHS = 30, 60
_VALID = "valid is a CSV with a header, or a Parquet file, with a row for each step or epoch"


@dataclass(frozen=True)
class TrainingLog:
    """The log's numbers under the names that detectors know."""

    source: str
    rows: int
    columns: dict[str, str]
    """Name that detectors know -> the log's own."""
    guessed: frozenset[str]
    """Those names whose column was recognised, not given."""
    unused: tuple[str, ...]
    """Columns with numbers that are mapped to nothing."""
    epochs: list[dict[str, Any]]
    """Numbers by name, the newest last, with `epoch` from 1. A long log is averaged over stretches."""
    stretched: bool
    """Whether an epoch here is such a stretch."""
    not_finite: tuple[str, ...]
    """Which losses and gradients are NaN or infinite, and from which row on."""
    notes: tuple[str, ...] = field(default=())

    def last(self, name: str) -> float | None:
        """The last number of this name."""
        return self.epochs[-1].get(name)


def read_log(path: Path, given: Sequence[str] = ()) -> TrainingLog:
    """The log in a file. given: columns as `name=column`, which come before any guess. Raises InputError."""
    table = _numbers(_cells(path))
    if table.empty or not len(table.columns):
        raise InputError(
            f"{path} has no column of numbers; {_VALID}. Write losses and metrics into it as plain numbers."
        )
    known = _given(path, given, list(table.columns))
    columns = known | _guessed([c for c in table.columns if c not in known.values()], set(known))
    if not set(columns) - {"epoch", "step", "temperature", "batch_size", "learning_rate"}:
        raise InputError(
            f"{path}: none of its columns is recognised as a loss or a metric: {', '.join(table.columns)}. "
            f"Valid names are: {', '.join((*GUESSES, *EXACT))}. Say which column is what: --column contrastive_loss=COLUMN."
        )
    named = table[list(columns.values())].set_axis(list(columns), axis=1)
    not_finite = tuple(
        _spoilt(named[name], columns[name]) for name in _SPOILT if name in named and _bad(named[name]).any()
    )
    named = named.mask(named.map(lambda value: value is not None and not np.isfinite(value)))
    notes = _in_shares(named)
    epochs, stretched = _epochs(named)
    unused = tuple(c for c in table.columns if c not in columns.values())
    return TrainingLog(
        str(path), len(table), columns, frozenset(set(columns) - set(known)), unused, epochs, stretched, not_finite, notes
    )  # fmt: skip


def _cells(path: Path) -> pd.DataFrame:
    """The file as it stands: text where it is a CSV, else Python's own values, None where there is nothing."""
    if not path.is_file():
        raise InputError(f"there is no file {path}; {_VALID}. Correct the path.")
    try:
        if path.suffix.lower() == ".parquet":
            return pd.DataFrame(
                {str(k): pd.Series(v, dtype=object) for k, v in pq.read_table(path).to_pydict().items()}
            )
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t|", key=header.count)
        frame = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig"
        )
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; {_VALID}. Give the log of a training.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {str(error).strip()}; {_VALID}. Save the log again.") from error
    if frame.empty:
        raise InputError(f"{path} holds a header and no rows; {_VALID}. Give the log of a training.")
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame.replace(r"^\s*$", None, regex=True).astype(object)


def _numbers(cells: pd.DataFrame) -> pd.DataFrame:
    """The columns that hold numbers, as objects: None where there is none, NaN where the log says NaN."""
    columns = {}
    for name in cells.columns:
        values = [_number(value) for value in cells[name]]
        if not any(isinstance(value, str) for value in values) and any(value is not None for value in values):
            columns[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(columns)


def _number(value: Any) -> float | str | None:
    """A number, None for nothing, or the text that is no number."""
    if value is None or isinstance(value, bool):
        return None if value is None else float(value)
    try:
        return float(str(value).strip().removesuffix("%"))
    except ValueError:
        return str(value)


def _given(path: Path, given: Sequence[str], found: list[str]) -> dict[str, str]:
    columns = {}
    for pair in given:
        name, equals, column = pair.partition("=")
        if not equals or not column:
            raise InputError(f"--column is {pair!r}; valid is name=column, as contrastive_loss=loss/con. Give it so.")
        if name not in (*GUESSES, *EXACT):
            near = nearest(name, [*GUESSES, *EXACT], count=2)
            raise InputError(
                f"--column {pair}: there is no name {name!r}; valid are: {', '.join((*GUESSES, *EXACT))}. Give one of them"
                + (f", perhaps {near}." if near else ".")
            )
        if column not in found:
            near = nearest(column, found, count=2)
            raise InputError(
                f"--column {pair}: {path} has no column of numbers {column!r}; it has: {', '.join(found)}. Give one of them"
                + (f", perhaps {near}." if near else ".")
            )
        columns[name] = column
    return columns


def _guessed(found: list[str], taken: set[str]) -> dict[str, str]:
    """The columns that are recognised by their names, each as one thing."""
    free, columns = list(found), {}
    for name in EXACT:
        if name in free and name not in taken:
            columns[name] = name
    for name, pattern in GUESSES.items():
        if name in taken:
            continue
        matching = [column for column in free if column == name or re.search(pattern, _plain(column))]
        if matching:
            columns[name] = min(matching, key=lambda column: _rank(name, column))
            free.remove(columns[name])
    losses = [c for c in free if re.search(r"(^|_)loss(_|$)", _plain(c)) and c not in columns.values()]
    if losses and "contrastive_loss" not in taken | set(columns):
        columns["contrastive_loss"] = min(losses, key=lambda column: _rank("contrastive_loss", column))
    return columns


def _rank(name: str, column: str) -> tuple[bool, bool, int]:
    """The better a column's name fits, the smaller: its own name, held-out metrics and training losses, short ones."""
    held_out = bool(_HELD_OUT.search(_plain(column)))
    return column != name, held_out != name.startswith("val_"), len(column)


def _plain(column: str) -> str:
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", column)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _bad(column: pd.Series) -> pd.Series:
    return column.map(lambda value: value is not None and not np.isfinite(value)).astype(bool)


def _spoilt(column: pd.Series, called: str) -> str:
    bad = _bad(column)
    first = int(np.flatnonzero(bad)[0])
    return f"{called} is {column.iloc[first]} in {int(bad.sum())} of {len(column)} rows, first in row {first + 1}"


def _in_shares(named: pd.DataFrame) -> tuple[str, ...]:
    """Turns percentages into shares, in place; says so."""
    notes = []
    for name in ("val_accuracy", "val_auc"):
        if name in named and 1.5 < named[name].dropna().astype(float).max() <= 100:
            named[name] = named[name].astype(float) / 100
            notes.append(f"{name} is taken for percent")
    return tuple(notes)


def _epochs(named: pd.DataFrame) -> tuple[list[dict[str, Any]], bool]:
    """Rows averaged over each epoch where one has several, then over stretches where there are too many."""
    table, stretched = named.astype(float), False
    if "epoch" in table and table["epoch"].notna().all() and table["epoch"].duplicated().any():
        table = table.groupby("epoch", sort=False, as_index=False).mean()
    if len(table) > _MOST_EPOCHS:
        stretch = np.arange(len(table)) * _STRETCHES // len(table)
        table, stretched = table.groupby(stretch).mean(), True
    table = table.ffill()  # a metric that is measured now and then is what it was last
    table["epoch"] = np.arange(1, len(table) + 1)
    rows = table.to_dict("records")
    return [{name: value for name, value in row.items() if not np.isnan(value)} for row in rows], stretched
