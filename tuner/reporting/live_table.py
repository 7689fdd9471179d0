"""What a person sees while a search runs: a progress bar and a live table, or plain lines where the output is a file."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tuner.results.trial_record import COMPLETED, FAILED, PRUNED, RUNNING, SICK, TrialRecord, best_of

_STYLES = {COMPLETED: "green", PRUNED: "yellow", SICK: "red", FAILED: "red", RUNNING: "cyan"}
_HEARTBEAT_S = 30.0
_NUMBER_WIDTH = 7


class Display:
    """The search as it goes. records: by trial number, shared with the recorder; trials: how many there will be."""

    def __init__(self, console: Console, trials: int, max_epochs: int, metric: str, searched: tuple[str, ...]) -> None:
        self._console, self._trials, self._max_epochs, self._metric = console, trials, max_epochs, metric
        self._searched = searched
        self._records: dict[int, TrialRecord] = {}
        self._started = self._last_line = time.monotonic()
        self._done_before = 0.0
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
            self._console.print(self._footnote(), end="")

    def show(self, records: dict[int, TrialRecord]) -> None:
        """These are the records from now on; what they hold already was done before this start."""
        self._records = records
        self._done_before = self._done()

    def changed(self, record: TrialRecord) -> None:
        """Something happened to a trial: in a file, a line when it ends and a sign of life every half minute."""
        if self._live:
            return
        now = time.monotonic()
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
        parts = [f"{record.title} · {state} at epoch {len(record.epochs)}/{self._max_epochs}"]
        parts += [f"{name} {_number(numbers.get(name))}" for name in ("val_accuracy", "val_auc", *_LOSSES)]
        return " · ".join(parts) + (f" · {record.error}" if record.error else "")

    def _ended(self) -> int:
        return sum(record.ended is not None for record in self._asked_for())

    def _asked_for(self) -> list[TrialRecord]:
        return [record for record in self._records.values() if not record.is_extra]

    def _done(self) -> float:
        """Trials done, a running one counted by its share of the epochs that a trial takes on average."""
        ended = [record for record in self._asked_for() if record.ended is not None]
        mean = sum(len(r.epochs) for r in ended) / len(ended) if ended else self._max_epochs
        running = [len(r.epochs) / max(mean, len(r.epochs) + 1) for r in self._asked_for() if r.ended is None]
        return len(ended) + sum(running)

    def _clock(self) -> str:
        elapsed, done = time.monotonic() - self._started, self._done()
        fresh = done - self._done_before
        known = fresh >= 0.25  # before that it would be a wild guess
        left = f"{_duration(elapsed * (self._trials - done) / fresh)} left" if known else "time left not known yet"
        return f"{_duration(elapsed)} so far, {left}"

    def _render(self) -> Group:
        done, width = self._done(), 40
        filled = round(width * min(1.0, done / self._trials))
        bar = Text("━" * filled, style="green") + Text("━" * (width - filled), style="bright_black")
        line = bar + Text(f"  {self._ended()}/{self._trials} trials · {self._clock()}")
        rows = sorted(self._records.values(), key=lambda record: record.number)
        room = max(4, self._console.height - 8)
        if len(rows) > room:  # the running ones and the latest
            rows = sorted(
                sorted(rows, key=lambda r: (r.ended or float("inf"), r.number))[-room:], key=lambda r: r.number
            )
        footnote = self._footnote()
        return Group(self.table(rows), *([footnote] if footnote else []), line)

    def _footnote(self) -> Text:
        """What trials are ranked by, where that is not the number that the default's row shows."""
        best = next((r.best for r in self._records.values() if r.is_default and r.best_epoch), None)
        if best is None or self._metric != "val_accuracy" or best["objective"] == best["val_accuracy"]:
            return Text()
        ranked = f"it ranks by {best['objective']:.4f}, at a solved one\n"
        return Text(f"default: val acc is at its threshold {best['threshold']:g}; {ranked}", style="dim")

    def table(self, records: list[TrialRecord]) -> Table:
        """The trials, one a row, the best so far in bold."""
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        table.add_column("trial", justify="right", no_wrap=True)
        names = [name.replace("_", " ") for name in self._searched]
        for name in (*names, "epoch", "val acc", "AUC", "contrastive", "consistency"):
            # In a narrow terminal the heading breaks, never a number.
            table.add_column(name, justify="right", overflow="fold", min_width=_NUMBER_WIDTH)
        table.add_column("state", overflow="fold")
        best = best_of(list(self._records.values()), self._metric)
        for record in sorted(records, key=lambda record: record.number):
            table.add_row(*self._cells(record), style="bold" if record is best else None)
        return table

    def _cells(self, record: TrialRecord) -> list[Any]:
        numbers = record.best if record.ended else record.last
        values = [_parameter(n, getattr(record.config, n)) if n in record.searched else "-" for n in self._searched]
        epochs = f"{len(record.epochs)}/{self._max_epochs}"
        measured = [_number(numbers.get(n)) for n in ("val_accuracy", "val_auc", *_LOSSES)]
        state = Text(_state(record), style=_STYLES.get(record.state, ""))
        number = f"default {record.number}" if record.is_default else str(record.number)
        return [number, *values, epochs, *measured, state]


def _state(record: TrialRecord) -> str:
    return record.state if record.replay_of is None else f"{record.state}, scores of {record.replay_of}"


_LOSSES = ("contrastive_loss", "consistency_loss")


def _parameter(name: str, value: Any) -> str:
    return "all" if name == "trainable_blocks" and value is None else _number(value)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.4f}"
    return str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
