"""A run's Optuna study, by public names only: its trials under our numbers, and how each of them ended."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from trainable.config import TrialConfig, idle, sign
from trainable.objectives import COSTS, Objectives
from tuner.analysis.starting_points import StartingPoint
from tuner.inputs.bound_space import BoundSpace
from tuner.results.trial_record import COMPLETED, FAILED, SICK, TrialRecord
from tuner.search.samplers import learning_from_stopped

_TOLD = ("state", "diagnoses")
"""What a trial's end adds, for whoever looks at the study."""


@dataclass(frozen=True)
class Suggestion:
    """A trial of the study, with what a run knows of it."""

    trial: Trial | FrozenTrial
    """Frozen: it has ended."""
    number: int
    """Of the run, which counts only what it tries; Optuna's own number counts every question to the sampler."""
    config: TrialConfig
    marks: dict[str, Any]
    """is_default, is_extra (see TrialRecord), outside_space (its parameters in the study are not those it is tried with),
    started_from (RUN/NUMBER), repeat_of (a number); only those that hold."""
    reported: set[int] = field(default_factory=set)
    """The epochs whose objective the study knows."""

    @classmethod
    def stored(cls, frozen: FrozenTrial, fixed: TrialConfig, trial: Trial | None = None) -> Suggestion:
        """As `TrialStudy.mark` wrote it. fixed: what it does not name; trial: with which it goes on; None: it has ended."""
        attributes = dict(frozen.user_attrs)
        number, values = attributes.pop("number"), vars(fixed) | attributes.pop("values")
        for told in _TOLD:
            attributes.pop(told, None)
        config = TrialConfig.of(values)
        return cls(trial or frozen, number, config, attributes, set(frozen.intermediate_values))


class TrialStudy:
    """A run's study, which outlives the run's process.

    Unlike Ray's OptunaSearch, a trial that the scheduler stopped is told as PRUNED with all its intermediate values
    (there: COMPLETE, with its early value), a sick or NaN one as infeasible, which samplers avoid (there: running for
    ever), and a study that was interrupted goes on with the trials it had not finished.

    seen: every configuration that was tried; unfinished, unfinished_repeats: of earlier attempts, those that have not ended;
    first_new: the first number of this attempt.
    """

    def __init__(
        self,
        bound: BoundSpace,
        *,
        objectives: Objectives,
        sampler: optuna.samplers.BaseSampler,
        storage: optuna.storages.BaseStorage,
        name: str,
        run_seed: int,
    ) -> None:
        self.bound, self._storage, self._run_seed, self._objectives = bound, storage, run_seed, objectives
        self._better = sign(objectives.metric)
        self.optuna = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=sampler if objectives.costs else learning_from_stopped(sampler, storage),
            pruner=optuna.pruners.NopPruner(),  # Tune's scheduler stops trials
            directions=objectives.directions(),
            load_if_exists=True,
        )
        if self.optuna.metric_names is None:
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                self.optuna.set_metric_names([objectives.metric, *objectives.costs])
        self.seen: set[TrialConfig] = set()
        self.unfinished: deque[Suggestion] = deque()
        self.unfinished_repeats: deque[Suggestion] = deque()
        self.next_number = self.extra = 0
        self._numbers: dict[int, int] = {}
        """Optuna's number of each trial, by ours."""
        self._ended: dict[int, Suggestion] = {}
        """Those that had ended before this attempt, until they are taken up."""
        self._worst: float | None = None
        """The worst objective that any epoch of any trial had: what stands for a sick trial's own, which may be NaN."""
        for frozen in self._frozen():
            self._take_up(frozen)
        self.first_new = self.next_number

    def _take_up(self, frozen: FrozenTrial) -> None:
        if "number" in frozen.user_attrs:
            trial = None if frozen.state.is_finished() else Trial(self.optuna, self._trial_id(frozen.number))
            suggestion = Suggestion.stored(frozen, self.bound.fixed, trial)
            self.seen.add(suggestion.config)
            self._numbers[suggestion.number] = frozen.number
            if trial is None:
                self._ended[suggestion.number] = suggestion
            self._reported(frozen.intermediate_values.values())
            self.next_number += 1
            self.extra += not _asked_for(suggestion.marks)
            if trial is not None:
                (self.unfinished_repeats if "repeat_of" in suggestion.marks else self.unfinished).append(suggestion)
        elif frozen.state == TrialState.RUNNING:  # the driver was killed before it had a number: nobody trains it
            self.optuna.tell(frozen.number, state=TrialState.FAIL)
        elif frozen.state == TrialState.WAITING:  # or before it was asked for; this asks for the oldest that waits
            self.optuna.tell(self.optuna.ask(), state=TrialState.FAIL)

    def _trial_id(self, optuna_number: int) -> int:
        study_id = self._storage.get_study_id_from_name(self.optuna.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, optuna_number)

    def _frozen(self) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False)

    def ended(self) -> list[Suggestion]:
        """Every numbered trial that the study knows to have ended."""
        ended = [t for t in self._frozen() if "number" in t.user_attrs and t.state.is_finished()]
        known, self._ended = self._ended, {}
        return [known.get(t.user_attrs["number"]) or Suggestion.stored(t, self.bound.fixed) for t in ended]

    def parameters_of(self, number: int) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """What the study asked for in the trial of this number, and from which ranges."""
        frozen = self._storage.get_trial(self._trial_id(self._numbers[number]))
        return frozen.params, frozen.distributions

    def ask(self, parameters: dict[str, Any] | None = None) -> tuple[Trial, TrialConfig]:
        """A trial with these parameters, the others as the sampler suggests; it has no number yet, and must be told."""
        if parameters is not None:
            self.optuna.enqueue_trial(parameters)
        trial = self.optuna.ask()
        return trial, self.bound.configure(trial, self._run_seed)

    def starting_points(self, offered: Sequence[StartingPoint], most: int) -> list[tuple[dict[str, Any], str]]:
        """Parameters that the study is to try and that are not tried yet, each with where it is from.

        offered: the first `most` that differ in what the space can hold are kept in the study, by its first attempt; later
        ones go on with those.
        """
        key = "starting_points"
        if key not in self.optuna.user_attrs:
            distinct: dict[str, tuple[dict[str, Any], str]] = {}
            for point in offered:
                parameters = self.bound.in_study(point.config)
                if parameters:
                    distinct.setdefault(json.dumps(parameters, sort_keys=True), (parameters, point.origin))
            self.optuna.set_user_attr(key, list(distinct.values())[:most])
        tried = {t.user_attrs.get("started_from") for t in self._frozen()}
        return [(parameters, origin) for parameters, origin in self.optuna.user_attrs[key] if origin not in tried]

    def drop(self, trial: Trial) -> None:
        """Forget a trial that is not tried; asked again, the sampler draws anew."""
        self.optuna.tell(trial, state=TrialState.FAIL)

    def beside(self, config: TrialConfig, **marks: Any) -> Suggestion:
        """A trial of this configuration that the sampler is never told of: the space did not suggest it."""
        return self.mark(self.optuna.ask(), config, **marks)

    def mark(self, trial: Trial, config: TrialConfig, **marks: Any) -> Suggestion:
        """Give the trial its number: it will be tried with this configuration."""
        number, self.next_number = self.next_number, self.next_number + 1
        self.seen.add(config)
        marks = {name: mark for name, mark in marks.items() if mark is not None and mark is not False}
        self.extra += not _asked_for(marks)
        # The number last: a trial that has one has everything, wherever the driver is killed.
        for name, value in {"values": self._short_of(config), **marks, "number": number}.items():
            trial.set_user_attr(name, value)
        self._numbers[number] = trial.number
        return Suggestion(trial, number, config, marks)

    def _short_of(self, config: TrialConfig) -> dict[str, Any]:
        """What is searched, and what is not as for all trials: as a person reads it in optuna-dashboard."""
        fixed = dataclasses.asdict(self.bound.fixed)
        values = dataclasses.asdict(config).items()
        return {name: value for name, value in values if name in self.bound.searched or value != fixed[name]}

    def record(self, suggestion: Suggestion) -> TrialRecord:
        """The suggestion as the driver's record of a trial."""
        config = suggestion.config
        searched = {name: getattr(config, name) for name in self.bound.searched if not idle(name, vars(config))}
        title = " ".join([f"trial {suggestion.number:03d}", *(f"{n}={_short(n, v)}" for n, v in searched.items())])
        marks = suggestion.marks
        return TrialRecord(
            suggestion.number,
            config,
            title,
            searched,
            is_default=bool(marks.get("is_default")),
            is_extra=bool(marks.get("is_extra")),
            started_from=marks.get("started_from"),
            repeat_of=marks.get("repeat_of"),
        )

    def report(self, suggestion: Suggestion, epoch: int, objective: float) -> None:
        """Report an epoch's objective as an intermediate value: once an epoch, and never NaN. Optuna has none of several."""
        if self._objectives.costs:
            return
        if math.isfinite(objective) and epoch not in suggestion.reported:
            _running(suggestion).report(objective, epoch)
            suggestion.reported.add(epoch)
            self._reported([objective])

    def tell(self, suggestion: Suggestion, record: TrialRecord, state: str) -> None:
        """Tell how the trial ended: COMPLETE with its ending value, PRUNED with what it reported, infeasible if it was
        sick, or FAIL, which samplers ignore."""
        trial, values = _running(suggestion), ending_values(record, self._objectives)
        for name, said in zip(_TOLD, (state, _diagnoses(record)), strict=True):
            if said:
                trial.set_user_attr(name, said)
        undefined = state == COMPLETED and values is None
        # The value of one outside the space would be told of other parameters than it had.
        not_in_space = suggestion.marks.get("outside_space") or "repeat_of" in suggestion.marks
        sick_of_several = state == SICK and self._objectives.costs  # it has no values, and there are no worst ones to take
        if not_in_space or undefined or sick_of_several or state == FAILED:
            self.optuna.tell(trial, state=TrialState.FAIL)
            return
        trial.set_constraint("sick", float(state == SICK))  # above 0: infeasible, worse than every other
        for words, excess in self._objectives.exceeded(record.cells()).items() if self._objectives.limits else ():
            trial.set_constraint(words, excess)
        worst = None if self._worst is None else [self._worst]
        told = worst if state == SICK else values if state == COMPLETED else None
        self.optuna.tell(trial, told, state=TrialState.PRUNED if told is None else TrialState.COMPLETE)

    def _reported(self, objectives: Iterable[float]) -> None:
        known = [] if self._worst is None else [self._worst]
        self._worst = min([*known, *objectives], key=lambda value: self._better * value, default=None)


def _diagnoses(record: TrialRecord) -> str:
    """All that was found in any epoch, each once."""
    return ", ".join(dict.fromkeys(name for epoch in record.epochs.values() for name in epoch.get("diagnoses") or ()))


def ending_values(record: TrialRecord, objectives: Objectives) -> list[float] | None:
    """The objective that a completed trial is told with, its ranked epoch's, and its costs; None if one is unknown."""
    cells = record.cells() if objectives.costs else {}
    found = [record.best["objective"] if record.best_epoch else None]
    found += [cells[COSTS[name].column] for name in objectives.costs]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def _asked_for(marks: dict[str, Any]) -> bool:
    """Whether the trial is one of those that the run was asked to try."""
    return "is_extra" not in marks and "repeat_of" not in marks


def _running(suggestion: Suggestion) -> Trial:
    if isinstance(suggestion.trial, FrozenTrial):
        raise ValueError(f"trial {suggestion.number} has ended; only a running one can be reported or told")
    return suggestion.trial


def _short(name: str, value: Any) -> str:
    if value is None:
        return "all" if name == "trainable_blocks" else "solved"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
