"""A user's own training log in any format, read into the numbers that detectors know, whatever its columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainable.errors import InputError, nearest
from tuner.examination.reading.cells import numbers
from tuner.examination.reading.formats import VALID, read_cells
from tuner.examination.reading.names import (
    EXACT,
    MEASURES,
    NAMES,
    is_gradient,
    is_held_out,
    is_loss,
    is_training,
    recognised,
)
from tuner.examination.reading.rows import Rows, runs
from tuner.examination.reading.series import epochs, floats, spoilt

_SHARES = ("val_accuracy", "accuracy", "train_accuracy", "retrieval_accuracy", "class_accuracy", "val_auc", "train_auc")


@dataclass(frozen=True)
class TrainingLog:
    """One run's numbers under the names that detectors know."""

    source: str
    run: str
    """Which of the log's runs; empty where it holds one."""
    kind: str
    """What the file is."""
    rows: int
    columns: dict[str, str]
    """Name that detectors know -> the log's own."""
    guessed: frozenset[str]
    """Those names whose column was recognised, not given."""
    unused: tuple[str, ...]
    """Columns with numbers that are mapped to nothing."""
    unreadable: tuple[str, ...]
    """Columns of words, each with an example cell."""
    series: dict[str, np.ndarray]
    """The finite numbers by name, oldest first; NaN for a gap."""
    epochs: list[dict[str, float]]
    """Numbers by name, the newest last, with `epoch` from 1. A long log is averaged over stretches."""
    stretched: bool
    """Whether an epoch here is such a stretch."""
    not_finite: tuple[str, ...]
    """Which losses and gradients are NaN or infinite to the end, and from which row on."""
    notes: tuple[str, ...] = field(default=())

    def last(self, name: str) -> float | None:
        """The last number of this name."""
        return self.epochs[-1].get(name)

    def values(self, name: str) -> np.ndarray:
        """The finite numbers of this name, oldest first; empty if there is none."""
        series = self.series.get(name, np.array([]))
        finite: np.ndarray = series[np.isfinite(series)]
        return finite


def read_log(path: Path, given: Sequence[str] = ()) -> list[TrainingLog]:
    """The runs of a log. given: columns as `name=column`, which come before any guess. Raises InputError."""
    cells = read_cells(path)
    read = numbers(cells.frame, cells.european)
    if not read.columns:
        words = f" It has columns of words: {', '.join(read.unreadable)}." if read.unreadable else ""
        raise InputError(
            f"{path} has no column of numbers; {VALID}. Write losses and metrics into it as plain numbers.{words}"
        )
    found = runs(read)
    notes = (*cells.notes, *read.notes)
    logs = [_log(path, cells.kind, rows, given, read.unreadable, notes) for rows in found]
    return [log for log in logs if set(log.columns) & MEASURES] or logs[:1]


def _log(
    path: Path, kind: str, rows: Rows, given: Sequence[str], unreadable: tuple[str, ...], notes: tuple[str, ...]
) -> TrainingLog:
    frame = rows.frame
    every = {str(name): floats(frame[name]) for name in frame}
    known = _given(path, given, list(every))
    finite = {c: v[np.isfinite(v)] for c, v in every.items() if c not in known.values()}
    guessed, refuted = recognised(finite, tuple(known))
    if not {"contrastive_loss", "triplet_loss"} & (set(known) | set(guessed)) and (lost := _never_finite(every)):
        guessed["contrastive_loss"] = lost
    columns = known | guessed
    if not set(columns) & MEASURES:
        raise InputError(
            f"{path}: none of its columns is recognised as a loss or a metric: {', '.join(every)}. "
            + (f"These hold words and no numbers: {', '.join(unreadable)}. " if unreadable else "")
            + f"Valid names are: {', '.join((*NAMES, *EXACT))}. Say which column is what: --column contrastive_loss=COLUMN."
        )
    named = {name: every[column] for name, column in columns.items()}
    said = [*notes, *rows.notes, *refuted, *_in_shares(named, columns, rows.percent)]
    fatal = []
    for column in every:
        if column in columns.values() or is_loss(column) or is_gradient(column):
            if np.isnan(every[column]).all() and column not in columns.values():
                continue  # never logged: a table has a column for it all the same
            bad = spoilt(column, frame, column in rows.spelt, is_gradient(column))
            if bad and bad.fatal and _matters(column, columns, bad.blank):
                fatal.append(bad.what)
            elif bad:
                said.append(bad.what)
    named = {name: np.where(np.isinf(values), np.nan, values) for name, values in named.items()}
    by_epoch, stretched = epochs(named)
    unused = tuple(c for c in every if c not in columns.values())
    return TrainingLog(
        str(path), rows.run, kind, len(frame), columns, frozenset(guessed), unused, unreadable, named, by_epoch, stretched,
        tuple(fatal), tuple(said),
    )  # fmt: skip


def _never_finite(every: dict[str, np.ndarray]) -> str:
    """The training loss that is NaN or infinite from the first row on; empty if there is none."""
    losses = [c for c, values in every.items() if is_loss(c) and not is_held_out(c) and not np.isfinite(values).any()]
    return next(iter(losses), "")


def _matters(column: str, columns: dict[str, str], blank: bool) -> bool:
    """Whether NaN to the end is fatal here: in a loss or a gradient, and not in a metric that a split may lack. Blank
    cells tell so of the loss that is judged alone: others may belong to a phase that is over."""
    judged = [c for name, c in columns.items() if name in ("contrastive_loss", "triplet_loss")]
    losses = [c for name, c in columns.items() if name.endswith("_loss")]
    return column in judged if blank else column in losses or is_loss(column) or is_gradient(column)


def _given(path: Path, given: Sequence[str], found: list[str]) -> dict[str, str]:
    columns = {}
    for pair in given:
        name, equals, column = pair.partition("=")
        if not equals or not column:
            raise InputError(f"--column is {pair!r}; valid is name=column, as contrastive_loss=loss/con. Give it so.")
        if name not in (*NAMES, *EXACT):
            near = nearest(name, [*NAMES, *EXACT], count=2)
            raise InputError(
                f"--column {pair}: there is no name {name!r}; valid are: {', '.join((*NAMES, *EXACT))}. Give one of them"
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


def _in_shares(named: dict[str, np.ndarray], columns: dict[str, str], percent: frozenset[str]) -> list[str]:
    """Turns percentages into shares, in place; says so. A percent sign is enough, or one value above 1: an
    accuracy may be of so few percent, an AUC is not."""
    notes = []
    for name in _SHARES:
        values = named.get(name)
        if values is None or not np.isfinite(values).any():
            continue
        if columns[name] in percent:
            notes.append(f"{name} is taken for percent")
        elif np.nanmax(values[np.isfinite(values)]) > (1.5 if name.endswith("auc") else 1.0001):
            named[name] = values / 100
            notes.append(f"{name} is taken for percent")
    return notes


def split_of(column: str) -> str:
    """Of which pairs a column's name says that it is: `held out`, `training`, or empty."""
    return "training" if is_training(column) else "held out" if is_held_out(column) else ""
