"""A study as a sampler is shown it: of many trials the few hundred that tell it nearly all, so that what a suggestion takes
does not grow with the search."""

from __future__ import annotations

import bisect
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

MOST = 320
"""No more ended trials are shown than this. Up to `LATEST` fewer a sampler sees all, and suggests what it would by itself."""
BEST = LATEST = 64
"""TPE takes the best tenth of all trials, 25 at most, for its picture of good ones: those are always among the best 64. Of the
rest, its picture of all others, the latest 25 count in full and older ones the less the older they are."""
_SPREAD = MOST - BEST - LATEST
_GOLDEN, _RANGE = 2654435761, 2**32
"""2**32 over the golden ratio: multiples of it, taken modulo 2**32, are spread evenly whatever the pattern of the numbers."""


class FewTrials:
    """Which trials of a study a sampler is shown, kept up to date trial by trial.

    Shown are all that run, the `BEST` by TPE's own order (complete ones by value, then stopped ones by how far they went,
    then infeasible ones), the `LATEST`, and of those between a share that is spread evenly over the search: each counts for
    as many as are left out beside it, and a trial once left out stays out. Failed ones, which TPE does not look at, are not.
    """

    def __init__(self, storage: BaseStorage, study_id: int) -> None:
        self._storage = storage
        (direction,) = storage.get_study_directions(study_id)
        self._better = 1 if direction == StudyDirection.MAXIMIZE else -1
        self._running: dict[int, FrozenTrial] = {}
        """By Optuna's id."""
        self._numbers: list[int] = []
        """Of those that ended, in order."""
        self._best: list[tuple[Any, ...]] = []
        self._spread: dict[int, FrozenTrial] = {}
        self._latest: dict[int, FrozenTrial] = {}
        self._stride = 1
        for trial in storage.get_all_trials(study_id, deepcopy=False):
            self.add(trial)

    def add(self, trial: FrozenTrial) -> None:
        """A trial that was asked for, or is there already."""
        self._running[trial._trial_id] = trial
        self._sort_in(trial)

    def shown(self) -> list[FrozenTrial]:
        """By number."""
        for trial_id in list(self._running):
            self._sort_in(self._storage.get_trial(trial_id))
        found = {trial.number: trial for trial in self._running.values()} | self._spread | self._latest
        found |= {key[-2]: key[-1] for key in self._best}
        return [found[number] for number in sorted(found)]

    def _sort_in(self, trial: FrozenTrial) -> None:
        if not trial.state.is_finished():
            self._running[trial._trial_id] = trial
            return
        del self._running[trial._trial_id]
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        bisect.insort(self._best, (*self._rank(trial), trial.number, trial), key=lambda key: key[:-1])
        del self._best[BEST:]
        self._latest[trial.number] = trial
        if len(self._latest) > LATEST:
            oldest = min(self._latest)
            self._pass_on(self._latest.pop(oldest))

    def _pass_on(self, trial: FrozenTrial) -> None:
        """To those between, which are thinned out when there are too many."""
        if self._is_in(trial.number):
            self._spread[trial.number] = trial
        while len(self._spread) > _SPREAD:
            self._stride *= 2
            self._spread = {number: trial for number, trial in self._spread.items() if self._is_in(number)}

    def _is_in(self, number: int) -> bool:
        return number * _GOLDEN % _RANGE < _RANGE // self._stride

    def _rank(self, trial: FrozenTrial) -> tuple[float, float, float]:
        """Smaller is better, as TPE splits trials."""
        violation = sum(value for value in trial.constraints.values() if value > 0)
        if violation > 0:
            return 2, violation, 0.0
        if trial.state == TrialState.COMPLETE:
            return 0, -self._better * (trial.value or 0.0), 0.0
        if not trial.intermediate_values:
            return 1, 1, 0.0
        step, value = max(trial.intermediate_values.items())
        return 1, -step, float("inf") if value != value else -self._better * value


class ShownFew(BaseSampler):
    """A sampler that is shown a study's `FewTrials`; their trials must come from `Study.ask`."""

    def __init__(self, sampler: BaseSampler, storage: BaseStorage) -> None:
        self._sampler, self._storage = sampler, _Few(storage)

    def _shown(self, study: Study) -> Study:
        """Made anew every time: a Study object remembers the trials that it has read once."""
        shown: Any = self._storage
        return optuna.load_study(study_name=study.study_name, storage=shown, sampler=self._sampler)

    def reseed_rng(self) -> None:
        """As BaseSampler has it, and so are the methods below."""
        self._sampler.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Of the shown study."""
        return self._sampler.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """From the shown study."""
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """From the shown study."""
        return self._sampler.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """The trial is shown from now on."""
        shown = self._shown(study)
        self._storage.of(shown._study_id).add(trial)
        self._sampler.before_trial(shown, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Told to the sampler itself."""
        self._sampler.after_trial(self._shown(study), trial, state, values)


class _Few:
    """A study's storage that shows few trials; everything else, all that is written too, is passed on."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._by_study: dict[int, FewTrials] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def of(self, study_id: int) -> FewTrials:
        """Of this study."""
        if study_id not in self._by_study:
            self._by_study[study_id] = FewTrials(self._storage, study_id)
        return self._by_study[study_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As BaseStorage has it."""
        return [trial for trial in self.of(study_id).shown() if states is None or trial.state in states]
