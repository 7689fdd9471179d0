"""All that the tables say of one run, read once: its row, trials, epochs, and the scores of winner and default."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from trainable.config import TrialConfig, idle, sign
from trainable.errors import InputError
from tuner.results import configuration, tables
from tuner.results.reading import ForeignFileWarning, SkippedFileWarning
from tuner.results.trial_record import COMPLETED, FAVOURED, PRUNED, TrialRecord

_TOLD = (
    "trial", "epoch", "diagnoses", "contrastive_loss", "chance_loss", "consistency_loss", "val_accuracy",
    "val_accuracy_solved", "positive_similarity", "negative_similarity",
)  # fmt: skip
"""The columns of `epochs` that messages about a trial need."""


@dataclass(frozen=True)
class WholeRun:
    """One run of any state: finished, interrupted, failed, or still going on."""

    name: str
    root: str
    row: dict[str, Any]
    """The run's row of `runs`; what is missing is None."""
    trials: pd.DataFrame
    """Rows of `trials`, by trial number."""
    epochs: pd.DataFrame
    """Rows of `epochs`, in the order of trials and epochs."""
    scores: dict[int, pd.DataFrame]
    """Rows of `scores` of the leading and of the default trial, as far as there are any."""
    searched: tuple[str, ...]
    """The parameters that the space varies."""
    default: int | None
    """The default configuration's trial, once it has ended."""
    leader: int | None
    """The winner; of a run that has not come to its end the trial that leads; None if no trial can win."""

    @classmethod
    def read(cls, root: str, name: str) -> WholeRun:
        """Raises InputError if there is no such run, or if its tables are gone or cannot be read."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", SkippedFileWarning)  # a part of a run is not the run
            warnings.simplefilter("always", ForeignFileWarning)
            try:
                return cls._read(root, name)
            except SkippedFileWarning as complaint:
                reason = str(complaint).removesuffix(" It is skipped.")
                raise InputError(f"the tables of {name} cannot be read: {reason}") from complaint

    @classmethod
    def _read(cls, root: str, name: str) -> WholeRun:
        (row,) = tables.plain_rows(tables.runs(root, [name]))
        trials = tables.trials(root, [name]).sort_values("trial").set_index("trial", drop=False)
        if trials.empty and row["trials_done"]:
            raise InputError(
                f"the run {name} has ended {row['trials_done']} trials, and their table is not in {root}; valid are results "
                "with the run's file below trials/. Put it back."
            )
        epochs = tables.epochs(root, [name]).sort_values(["trial", "epoch"])
        epochs = epochs[epochs.trial.isin(trials.index)]  # of a run that goes on one more trial may have ended just now
        leader, default = _leader(row, trials), _default(trials)
        wanted = {n for n in (leader, default) if n is not None}
        scores = tables.scores(root, [name], trials=sorted(wanted))
        by_trial = {number: scores[scores.trial == number] for number in sorted(set(scores.trial.tolist()))}
        return cls(name, root, row, trials, epochs, by_trial, _searched(row, trials), default, leader)

    @property
    def leading(self) -> int:
        """`leader`, of a run that has one."""
        assert self.leader is not None, "asked for only where a trial leads"
        return self.leader

    @property
    def tested(self) -> bool:
        """Whether the leading trial met the test pairs."""
        return self.leader is not None and self.row["test_accuracy_winner"] is not None

    @property
    def compared(self) -> bool:
        """Whether the default met them too."""
        return self.tested and self.default is not None and self.row["test_accuracy_default"] is not None

    @property
    def metric(self) -> str:
        """What the trials are ranked by."""
        return self.row["metric"] or "val_accuracy"

    @property
    def sign(self) -> int:
        """+1 if a larger value of the metric is better, -1 if a smaller one is."""
        return sign(self.metric)

    @property
    def threshold(self) -> float | None:
        """The leading trial's threshold on test pairs; where it met none, its threshold on validation pairs."""
        if self.leader is None:
            return None
        given = self.row["threshold_winner"] if self.leader == self.row["winner_trial"] else None
        threshold: float | None = self.value(self.leader, "threshold") if given is None else given
        return threshold

    @property
    def used_threshold(self) -> float:
        """`threshold`, of a run that has one."""
        assert self.threshold is not None, "asked for only where a trial leads"
        return self.threshold

    def value(self, trial: int, column: str) -> Any:
        """A cell of `trials`; None where it is missing."""
        return self._rows[trial][column]

    def trial(self, number: int | None) -> dict[str, Any] | None:
        """A row of `trials`; what is missing is None. None where there is no such trial."""
        return None if number is None else self._rows[number]

    @cached_property
    def _rows(self) -> dict[int, dict[str, Any]]:
        return {row["trial"]: row for row in tables.plain_rows(self.trials)}

    @property
    def asked(self) -> pd.DataFrame:
        """The rows of the trials that were asked for."""
        return asked_for(self.trials)

    def has(self, trial: int, parameter: str) -> bool:
        """Whether the parameter does anything in the trial."""
        return not idle(parameter, self._rows[trial])

    def having(self, parameter: str) -> list[int]:
        """The trials that the parameter does something in, and have a value of it."""
        return [n for n in self._rows if self.has(n, parameter) and self.value(n, parameter) is not None]

    def searched_values(self, trial: int) -> dict[str, Any]:
        """What the trial had of the searched parameters."""
        given = {name: self.value(trial, name) for name in self.searched if self.has(trial, name)}
        return {name: value for name, value in given.items() if value is not None}

    def names_of(self, parameter: str) -> tuple[str, ...]:
        """The values of a searched parameter that are names, sorted; empty where they are numbers."""
        return self._names.get(parameter, ())  # of what is not searched, such as the objective, none

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        return {name: names_among(self.value(n, name) for n in self.having(name)) for name in self.searched}

    def place(self, trial: int, column: str) -> float | None:
        """A cell of `trials` as a figure places it: a name by its place among the names that were tried."""
        value = self.value(trial, column)
        return self.names_of(column).index(value) if isinstance(value, str) else value

    def look(self, trial: int) -> str:
        """How figures show the trial: winner, default, or its state."""
        return "winner" if trial == self.leader else "default" if trial == self.default else self.value(trial, "state")

    def in_front_last(self) -> list[int]:
        """The trials in the order in which to draw them: the sick over the rest, then the default, then the winner."""
        rank = {"pruned": 0, "completed": 1, "sick": 2, "failed": 2, "default": 3, "winner": 4}
        return sorted(self._rows, key=lambda n: (rank.get(self.look(n), 0), n))

    @cached_property
    def records(self) -> list[TrialRecord]:
        """The trials as the driver had them, for what it says of them."""
        epochs: dict[int, dict[int, dict[str, Any]]] = {number: {} for number in self._rows}
        for epoch in tables.plain_rows(self.epochs[list(_TOLD)]):
            epochs[epoch["trial"]][epoch["epoch"]] = epoch
        return [_record(self, number, epochs[number]) for number in self._rows]


def _default(trials: pd.DataFrame) -> int | None:
    found = trials.trial[trials.is_default.fillna(False).astype(bool)]
    return int(found.iloc[0]) if len(found) else None


def _searched(row: dict[str, Any], trials: pd.DataFrame) -> tuple[str, ...]:
    """What the space varies, as the run wrote it down; of a run that did not, what differs between its trials."""
    return tuple(searched_in(trials) if row["searched"] is None else row["searched"])


def _leader(row: dict[str, Any], trials: pd.DataFrame) -> int | None:
    if row["winner_trial"] is not None and row["winner_trial"] in trials.index:
        return int(row["winner_trial"])
    able = trials[trials.state.isin([COMPLETED, PRUNED]) & trials.ranked_epoch.notna() & trials.repeat_of.isna()]
    able = able[able.objective.notna() & ~able.over_limits.map(lambda found: found is not None and len(found) > 0)]
    if able.empty:
        return None
    able = able.reset_index(drop=True).assign(value=able.objective * sign(row["metric"]))
    ranked = able.sort_values(["value", "val_accuracy", "trial"], ascending=[False, False, True], kind="stable")
    return int(ranked.trial.iloc[0])


def _record(run: WholeRun, number: int, epochs: dict[int, dict[str, Any]]) -> TrialRecord:
    return TrialRecord(
        number,
        config=configuration.of_row(run.trial(number) or {}),
        title=f"trial {number}",
        searched=run.searched_values(number),
        is_default=number == run.default,
        state=run.value(number, "state"),
        epochs=epochs,
        best_epoch=run.value(number, "best_epoch") or 0,
        ranked_epoch=run.value(number, "ranked_epoch") or 0,
        error=run.value(number, "error"),
        replay_of=run.value(number, "replay_of"),
        over_limits=run.value(number, "over_limits"),
    )


PARAMETERS = [name for name in TrialConfig.names() if name not in ("seed", "epochs")]


def asked_for(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows of the trials that runs were asked for: those at favoured thresholds come on top of them."""
    return trials[trials.threshold_source != FAVOURED]


def names_among(values: Iterable[Any]) -> tuple[str, ...]:
    """The distinct values, sorted, where all of them are names; empty where they are numbers, or there are none.

    >>> names_among(["b", "a", "b"]), names_among([1, 2])
    (('a', 'b'), ())
    """
    distinct = set(values)
    return tuple(sorted(distinct)) if all(isinstance(value, str) for value in distinct) else ()


def searched_in(trials: pd.DataFrame) -> list[str]:
    """The parameters that vary within a run, for runs that did not note what they searched.

    `threshold` is among them only where it was searched: a solved one follows from the training.
    """
    if trials.empty:
        return []
    most = trials.groupby("run", observed=True)[PARAMETERS].nunique().max()
    threshold_searched = trials.threshold_source.isin(["searched", FAVOURED]).any()
    return [name for name in PARAMETERS if most[name] > 1 and (name != "threshold" or threshold_searched)]
