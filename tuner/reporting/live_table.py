"""What a person sees while a search runs: a progress bar and a live table, or plain lines where the output is a file."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tuner.analysis.text import duration
from tuner.results.trial_record import COMPLETED, FAILED, PRUNED, RUNNING, SICK, WAITING, TrialRecord, best_of

_STYLES = {COMPLETED: "green", PRUNED: "yellow", SICK: "red", FAILED: "red", RUNNING: "cyan"}
_HEARTBEAT_S = 30.0
_LOSSES = ("contrastive_loss", "consistency_loss")
_SHORT = {
    "learning_rate": "lr",
    "temperature": "τ",
    "threshold": "thr",
    "trainable_blocks": "blocks",
    "backbone_lr_ratio": "lr ratio",
    "val_accuracy": "acc",
    "val_auc": "AUC",
    "contrastive_loss": "contr.",
    "consistency_loss": "consist.",
}
"""Headings, so that a row fits a terminal of 80 columns; other names have their underscores as blanks."""
_DROPPED_FIRST = ("consistency_loss", "contrastive_loss", "val_accuracy", "epoch")
"""What a narrow terminal goes without, in this order; then the last of the parameters. Trial, AUC and state stay."""


class Display:
    """The search as it goes. records: by trial number, shared with the recorder; trials: how many there will be."""

    def __init__(self, console: Console, trials: int, max_epochs: int, metric: str, searched: tuple[str, ...]) -> None:
        self._console, self._trials, self._max_epochs, self._metric = console, trials, max_epochs, metric
        self._searched = searched
        self._records: dict[int, TrialRecord] = {}
        self._started = self._last_line = time.monotonic()
        self._training_since: float | None = None
        self._done_before = 0.0
        self._open: set[int] = set()
        self._epochs_of: dict[int, int] = {}
        """Of the trials asked for: those that have not ended, and the epochs of each that has."""
        self._epochs_ended = 0
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=2)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live:
            self._live.__exit__(*error)
        elif not any(error) and self._records:
            self._console.print(self.table(list(self._records.values())))
            for note in self._notes(list(self._records.values())):
                self._console.print(Text(note, style="dim"))

    def show(self, records: dict[int, TrialRecord]) -> None:
        """These are the records from now on; what they hold already was done before this start."""
        self._records = records
        for number in records:
            self._count(number)
        self._done_before = self._done()

    def changed(self, record: TrialRecord) -> None:
        """Something happened to a trial: in a file, a line when it ends and a sign of life every half minute."""
        self._count(record.number)
        now = time.monotonic()
        if self._training_since is None and record.state != WAITING:
            self._training_since = now
        if self._live:
            return
        ended = record.ended is not None
        if ended or (record.epochs and now - self._last_line > _HEARTBEAT_S):
            self._last_line = now
            state = _state(record) if ended else f"{RUNNING} "
            self._console.print(
                Text(f"[{self._ended():3}/{self._trials}] {self._line(record, state)} · {self._clock()}"),
                soft_wrap=True,
            )

    def _line(self, record: TrialRecord, state: str) -> str:
        numbers = record.best if record.ended else record.last
        parts = [f"{record.title} · {state} at epoch {record.epochs_trained}/{self._max_epochs}"]
        parts += [f"{name} {_number(numbers.get(name))}" for name in ("val_accuracy", "val_auc", *_LOSSES)]
        return " · ".join(parts) + (f" · {record.error}" if record.error else "")

    def _ended(self) -> int:
        for number in list(self._open):
            self._count(number)
        return len(self._epochs_of)

    def _count(self, number: int) -> None:
        """Of many thousand trials those are walked over that have not ended."""
        record = self._records.get(number)
        if record is None or not record.asked_for:
            return
        if record.ended is None:
            self._open.add(number)
        elif number not in self._epochs_of:
            self._open.discard(number)
            self._epochs_of[number] = record.epochs_trained
            self._epochs_ended += record.epochs_trained

    def _done(self) -> float:
        """Trials done, a running one counted by its share of the epochs that a trial takes on average."""
        ended = self._ended()
        mean = self._epochs_ended / ended if ended else self._max_epochs
        running = [
            r.epochs_trained / max(mean, r.epochs_trained + 1) for r in map(self._records.__getitem__, list(self._open))
        ]
        return ended + sum(running)

    def _clock(self) -> str:
        elapsed = time.monotonic() - self._started
        if self._training_since is None:
            return f"{duration(elapsed)} so far, time left not known yet"
        training, done = time.monotonic() - self._training_since, self._done()
        fresh = done - self._done_before
        known = fresh >= 0.25  # before that it would be a wild guess
        left = f"{duration(training * (self._trials - done) / fresh)} left" if known else "time left not known yet"
        return f"{duration(elapsed)} so far, {left}"

    def _render(self) -> Group:
        done, width = self._done(), min(40, max(10, self._console.width - 50))
        filled = round(width * min(1.0, done / self._trials))
        bar = Text("━" * filled, style="green") + Text("━" * (width - filled), style="bright_black")
        line = bar + Text(f"  {self._ended()}/{self._trials} trials{self._extra()} · {self._clock()}")
        rows = sorted(self._records.values(), key=lambda record: record.number)
        room = max(4, self._console.height - 8)
        if len(rows) > room:  # the running ones and the latest
            rows = sorted(
                sorted(rows, key=lambda r: (r.ended or float("inf"), r.number))[-room:], key=lambda r: r.number
            )
        notes = [Text(note, style="dim") for note in self._notes(rows)]
        return Group(self.table(rows), *notes, line)

    def _extra(self) -> str:
        """The rows beyond the trials that were asked for."""
        extra = sum(record.is_extra for record in self._records.values())
        return f" + {extra} at favoured thresholds" if extra else ""

    def _notes(self, records: list[TrialRecord]) -> list[str]:
        """What the table's cells do not say by themselves."""
        notes = []
        best = next((r.best for r in self._records.values() if r.is_default and r.best_epoch), None)
        if best is not None and self._metric == "val_accuracy" and best["objective"] != best["val_accuracy"]:
            own = f"acc is at its threshold {best['threshold']:g}"
            notes.append(f"default: {own}; it ranks by {best['objective']:.4f}, at a solved one")
        if any(record.replay_of is not None for record in records):
            notes.append("= N: judged by the scores of trial N, which differs in its threshold only")
        if any(record.repeat_of is not None for record in records):
            notes.append("~ N: trial N again with another seed")
        if any(record.is_extra for record in records):
            notes.append("+: beyond the trials asked for, at the threshold that a training's own scores favour")
        left_out = [name for name in self._columns(records, None) if name not in self._columns(records)]
        if left_out:
            names = ", ".join(name.replace("_", " ") for name in left_out)
            notes.append(f"not shown at this width: {names}")
        return notes

    def table(self, records: list[TrialRecord]) -> Table:
        """The trials, one a row, the best so far in bold. What does not fit the width is left out, the state never."""
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 1))
        columns = self._columns(records)
        for name in columns:
            table.add_column(_heading(name), justify="left" if name == "state" else "right", no_wrap=True)
        best = best_of(list(self._records.values()), self._metric)
        for record in sorted(records, key=lambda record: record.number):
            cells = self._cells(record)
            style = _STYLES.get(record.state, "")
            row = [Text(cells[name], style=style if name == "state" else "") for name in columns]
            table.add_row(*row, style="bold" if record is best else None)
        return table

    def _columns(self, records: list[TrialRecord], width: int | None = 0) -> list[str]:
        """The columns that fit; width: 0 for the console's, None for no limit."""
        columns = ["trial", *self._searched, "epoch", "val_auc", "val_accuracy", *_LOSSES, "state"]
        limit = self._console.width if width == 0 else width
        rows = [{name: _heading(name) for name in columns}, *map(self._cells, records)]
        needed = {name: max(len(row[name]) for row in rows) + 2 for name in columns}
        for name in (*_DROPPED_FIRST, *reversed(self._searched[1:])):
            if limit is not None and sum(needed[column] for column in columns) > limit + 2:
                columns.remove(name)
        return columns

    def _cells(self, record: TrialRecord) -> dict[str, str]:
        numbers = record.best if record.ended else record.last
        cells = {
            name: _parameter(name, record.searched[name]) if name in record.searched else "-" for name in self._searched
        }
        cells |= {name: _number(numbers.get(name)) for name in ("val_accuracy", "val_auc", *_LOSSES)}
        number = f"default {record.number}" if record.is_default else f"{'+' * record.is_extra}{record.number}"
        epochs = f"{record.epochs_trained}/{self._max_epochs}"
        return cells | {"trial": number, "epoch": epochs, "state": _state(record)}


def _heading(name: str) -> str:
    return _SHORT.get(name, name.replace("_", " "))


def _state(record: TrialRecord) -> str:
    """How the trial stands; `= N` where another trial's scores answered for it."""
    if record.repeat_of is not None:
        return f"{record.state} ~ {record.repeat_of}"
    return record.state if record.replay_of is None else f"{record.state} = {record.replay_of}"


def _parameter(name: str, value: Any) -> str:
    return "all" if name == "trainable_blocks" and value is None else _number(value)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.4f}"
    return str(value)
