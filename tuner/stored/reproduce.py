"""A stored trial trained again: every number of its epochs, and every score, beside what the tables say.

To reproduce is to train again. A trial that was *replayed* is something else: the search did not train it, but answered for it
with the scores of a trial of the same training, at another threshold (column `replay_of`). Here it is trained itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainable.data.pairs import PairData
from trainable.errors import InputError
from trainable.model.backbone import Backbone
from trainable.process import prepare_process
from trainable.training.epoch_report import EpochReport
from trainable.training.folds import FoldedTraining, training_of
from trainable.training.loop import Training
from tuner import results
from tuner.cli.console import file_progress, make_console
from tuner.cli.stored_options import TrialSource
from tuner.results.schema import SCHEMAS
from tuner.results.trial_record import FAILED, SICK
from tuner.stored import trial as stored_trial
from tuner.stored.trial import StoredTrial

_NOT_COMPARED = ("trial", "epoch", "epoch_s", "validation_s")
"""What a row is found by, and the clock."""


@dataclass(frozen=True)
class Column:
    """One column, stored and trained again; `at` says where they differ most, or the last place where they do not."""

    name: str
    at: str
    stored: Any
    again: Any
    values: int
    """How many were compared."""
    equal: int

    @property
    def difference(self) -> float | None:
        """Trained again minus stored; None where one of them is no number."""
        numbers = all(isinstance(value, int | float) for value in (self.stored, self.again))
        return self.again - self.stored if numbers else None


def reproduce(run: str, number: int, source: TrialSource) -> int:
    """Train the trial again and print what came out; returns the exit code, 0 if every number is the same, else 1."""
    console = make_console()
    trial = stored_trial.find(source, run, number)
    stored = trial.epochs()
    if not stored:
        why = trial.row["error"] or "no epoch was finished"
        raise InputError(
            f"{trial.title} is {trial.row['state']} and has no epoch to compare: {why}. Name another trial."
        )
    _introduce(console, trial, len(stored))
    stored_trial.check_device(trial)
    backbone = stored_trial.create(trial)
    data = stored_trial.read_data(trial, source, console)
    training, reports = train_again(trial, backbone, data, len(stored), console)
    columns = compare(trial, stored, reports, training)
    _print(console, columns)
    wrong = [column for column in columns if column.equal < column.values]
    values, equal = sum(c.values for c in columns), sum(c.equal for c in columns)
    if not wrong:
        console.print(f"\n[green]All {values:,} numbers are equal, bit for bit.[/green]")
        return 0
    console.print(
        f"\n[red]{values - equal:,} of {values:,} numbers differ[/red], in: {', '.join(c.name for c in wrong)}.",
        soft_wrap=True,
    )
    _print_circumstances(console, trial, backbone)
    return 1


def train_again(
    trial: StoredTrial, backbone: Backbone, data: PairData, epochs: int, console: Console
) -> tuple[Training | FoldedTraining, list[EpochReport]]:
    """The trial's training after so many epochs, or fewer if it falls sick before, and their reports."""
    prepare_process(trial.settings.threads)
    data = stored_trial.with_features(trial, backbone, data)
    training = training_of(trial.config, backbone, data, trial.settings)
    reports: list[EpochReport] = []
    with file_progress(console, "training") as progress:
        while len(reports) < epochs and not training.finished:
            reports.append(training.epoch())
            progress(len(reports), epochs)
    return training, reports


def compare(
    trial: StoredTrial, stored: list[dict[str, Any]], reports: list[EpochReport], training: Training | FoldedTraining
) -> list[Column]:
    """Each column of `epochs` that the run wrote, how the training went, and the scores of its best epoch."""
    numbers = [report.numbers() for report in reports]
    names = [name for name in SCHEMAS["epochs"].names if name not in _NOT_COMPARED]
    columns = [
        _column("epochs", [("", len(stored), len(reports))]),
        _column("best_epoch", [("", trial.row["best_epoch"], training.ranked.best_epoch or None)]),
        _column("ranked_epoch", [("", trial.row["ranked_epoch"], training.ranked.epoch or None)]),
    ]
    if trial.row["state"] == SICK:
        columns.append(_column("error", [("", trial.row["error"], training.sick)]))
    for name in names:
        pairs = zip(stored, numbers, strict=False)  # where the epochs are not as many, the first column says so
        places = [(f"epoch {old['epoch']}", old[name], new[name]) for old, new in pairs]
        if not _came_later(places):
            columns.append(_column(name, places))
    scores = trial.scores()
    if len(scores) and training.ranked.scores is not None:
        columns += _score_columns(scores, training)
    return columns


def _came_later(places: list[tuple[str, Any, Any]]) -> bool:
    """Whether the run knew nothing of a column that has a value today: it was written by an older program."""
    return all(_missing_as_none(old) is None for _, old, _ in places) and any(
        _missing_as_none(new) is not None for _, _, new in places
    )


def _score_columns(scores: pd.DataFrame, training: Training | FoldedTraining) -> list[Column]:
    rows, ranked = results.plain_rows(scores), training.ranked
    assert ranked.scores is not None and ranked.correct is not None, "asked for only where an epoch was ranked"
    again = {"score": ranked.scores.tolist(), "correct": ranked.correct.tolist()}
    columns = []
    for name, values in again.items():
        places = [(f"pair {row['pair']}", row[name], value) for row, value in zip(rows, values, strict=True)]
        if not _came_later(places):
            columns.append(_column(name, places))
    return columns


def _column(name: str, places: list[tuple[str, Any, Any]]) -> Column:
    """places: (at, stored, again) of every value."""
    cleaned = [(at, _missing_as_none(old), _missing_as_none(new)) for at, old, new in places]
    wrong = [place for place in cleaned if place[1] != place[2]]
    at, old, new = max(wrong, key=_size, default=cleaned[-1])
    return Column(name, at, old, new, len(cleaned), len(cleaned) - len(wrong))


def _size(place: tuple[str, Any, Any]) -> float:
    """How large a difference is; that of what is no number is larger than any."""
    _, old, new = place
    return abs(new - old) if all(isinstance(value, int | float) for value in (old, new)) else math.inf


def _missing_as_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _introduce(console: Console, trial: StoredTrial, epochs: int) -> None:
    row, settings = trial.row, trial.settings
    said = f"{trial.title}, {row['state']}: {epochs} of {row['max_epochs']} epochs"
    said += (
        f", on {settings.device} in {settings.precision} with {settings.threads} thread{'s' * (settings.threads > 1)}"
    )
    console.print(f"[bold]reproducing[/bold]  {escape(said)}", soft_wrap=True)
    notes = []
    if row["replay_of"] is not None:
        notes.append(f"the search judged it by the scores of trial {row['replay_of']}; here it is trained itself")
    if row["state"] == FAILED:
        notes.append(f"it failed ({row['error']}); compared are the epochs before that")
    if trial.run["trial_cpus"] is None:
        notes.append("the run did not write down its threads, as runs do now; 1 is the default")
    for note in notes:
        console.print(f"[bold]note[/bold]         {escape(note)}", soft_wrap=True)


def _print(console: Console, columns: list[Column]) -> None:
    """Every column; where in it only if something differs, so that the table fits a narrow terminal otherwise."""
    places = any(column.equal < column.values for column in columns)
    table = Table(box=None, pad_edge=False)
    for name in ("column", "equal", "stored", "again", "difference", *(["at"] * places)):
        table.add_column(name, justify="left" if name in ("column", "at") else "right")
    for column in columns:
        same = column.equal == column.values
        difference = "0" if same else "-" if column.difference is None else f"{column.difference:.3g}"
        cells = [
            column.name,
            f"{column.equal}/{column.values}",
            _text(column.stored),
            _text(column.again),
            difference,
        ]
        table.add_row(*map(escape, cells), *([column.at] * places), style=None if same else "red")
    console.print()
    console.print(table)
    shown = (
        "Shown are values where they differ most, else those of the last epoch."
        if places
        else "Shown is the last epoch."
    )
    console.print(f"[dim]{shown}[/dim]")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)


def _print_circumstances(console: Console, trial: StoredTrial, backbone: Backbone) -> None:
    """What is other than it was, of all that numbers depend on: the likely reasons."""
    found = stored_trial.circumstances(trial, backbone)
    if not found:
        console.print("Nothing that was written down of the run is different here; the data are the same.")
        return
    console.print("What is not as it was when the trial was trained:")
    for line in found:
        console.print(f"  {escape(line)}", soft_wrap=True)
