"""Tune's searcher: what is tried next, from a study that outlives the run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import optuna
from ray.tune.search import Searcher

from trainable.config import METRICS, TrialConfig
from trainable.objectives import Objectives
from tuner.analysis.starting_points import StartingPoint
from tuner.inputs.bound_space import BoundSpace
from tuner.results.checkpoints import Saved
from tuner.results.trial_record import FAILED, PRUNED, RUNNING, WAITING
from tuner.search.free_thresholds import FreeThresholds
from tuner.search.recorder import Recorder, ending_state
from tuner.search.study import Suggestion, TrialStudy

START_SHARE = 1 / 4
"""At most so much of a search is what did best in other runs: the rest is for what is different here."""
_MAX_ASKS = 3
"""After so many suggestions in a row that were tried before, the sampler keeps to the best it knows: random draws follow."""
_MAX_DRAWS = 1000
"""So many random draws that were all tried before mean that the space has nothing new left."""


class StudySearch(Searcher):
    """A Searcher of Ray Tune that holds an Optuna study.

    The first configuration is the default one, then those that did best in earlier runs are tried, if any are given, then
    the sampler's follow, none of them twice. Where the threshold is
    searched, what needs no training is answered at once.

    objectives: costs and limits beside the metric; trials: how many to suggest, those of earlier attempts included; parallel:
    how many run at a time; saved: reads a trial's newest saved state; start_from: what other runs offer, the best first;
    exhausted: the space has nothing new left.
    """

    def __init__(
        self,
        bound: BoundSpace,
        recorder: Recorder,
        *,
        metric: str,
        objectives: Objectives | None = None,
        sampler: optuna.samplers.BaseSampler,
        storage: optuna.storages.BaseStorage,
        study_name: str,
        run_seed: int,
        trials: int,
        parallel: int,
        saved: Callable[[int], Saved | None],
        start_from: Sequence[StartingPoint] = (),
    ) -> None:
        super().__init__(metric="objective", mode=METRICS[metric])
        self.study = TrialStudy(
            bound,
            objectives=objectives or Objectives(metric),
            sampler=sampler,
            storage=storage,
            name=study_name,
            run_seed=run_seed,
        )
        self.exhausted = False
        self._bound, self._recorder, self._run_seed = bound, recorder, run_seed
        self._trials, self._parallel, self._saved = trials, parallel, saved
        self._thresholds = FreeThresholds(self.study, recorder, saved)
        self._starts = deque(self.study.starting_points(start_from, math.ceil(trials * START_SHARE)))
        self._running: dict[str, Suggestion] = {}
        """By Tune's id of the trial."""
        self._waiting: deque[Suggestion] = deque()
        """For the end of the trial that trains what they would train."""

    # Tune takes the text FINISHED too, which its annotation leaves out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # Ray's own FINISHED is a str
        """The next trial's `config`, `number`, `title` and `resume_from`; FINISHED when there is none; None: not yet."""
        while True:
            self._thresholds.refine()
            suggestion = self._next()
            if suggestion is None:
                return None if self._waiting else Searcher.FINISHED
            source = self._thresholds.source_of(suggestion)
            if source is None:
                return self._hand_out(trial_id, suggestion)
            if source.ended is None:
                self._waiting.append(suggestion)
            else:
                self._thresholds.replay(suggestion, source)

    def _next(self) -> Suggestion | None:
        """One that need not wait any longer, else one that an earlier attempt had not finished, else a new one."""
        for waiting in self._waiting:
            source = self._thresholds.source_of(waiting)
            if source is None or source.ended is not None:
                self._waiting.remove(waiting)
                return waiting
        if self.study.unfinished:
            return self.study.unfinished.popleft()
        enough = self.study.next_number - self.study.extra >= self._trials
        if enough or self.exhausted or len(self._waiting) >= self._parallel:
            return None
        suggestion = self._default() if self.study.next_number == 0 else self._new()
        self.exhausted = suggestion is None
        return suggestion

    def _hand_out(self, trial_id: str, suggestion: Suggestion) -> dict[str, Any]:
        self._running[trial_id] = suggestion
        record = self.study.record(suggestion)
        saved = self._saved(record.number) if record.number < self.study.first_new else None
        self._recorder.suggested(record)
        folder = saved.folder if saved else None
        return {"number": record.number, "config": record.config, "title": record.title, "resume_from": folder}

    def _default(self) -> Suggestion:
        """The default configuration; where the space cannot suggest it, it is tried beside the study's suggestions."""
        bound = self._bound
        trial, in_space = self.study.ask(bound.in_study(bound.default))
        fixed_by_space = set(TrialConfig.names()) - {*bound.searched, "threshold", "seed"}
        kept = {name: getattr(in_space, name) for name in fixed_by_space}
        config = bound.seeded(replace(bound.default, **kept), self._run_seed)
        outside = any(getattr(in_space, name) != getattr(config, name) for name in bound.searched)
        return self.study.mark(trial, config, is_default=True, outside_space=outside)

    def _new(self) -> Suggestion | None:
        while self._starts:
            parameters, origin = self._starts.popleft()
            trial, config = self.study.ask(parameters)
            if config not in self.study.seen:
                return self.study.mark(trial, config, started_from=origin)
            self.study.drop(trial)
        for _ in range(_MAX_ASKS):
            trial, config = self.study.ask()
            if config not in self.study.seen:
                return self.study.mark(trial, config)
            self.study.drop(trial)
        return self._drawn()

    def _drawn(self) -> Suggestion | None:
        """A random configuration that was not tried, in a finite space that the sampler has narrowed down; or None."""
        draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(self._run_seed + self.study.next_number))
        for _ in range(_MAX_DRAWS):
            drawn = draws.ask()
            if self._bound.configure(drawn, self._run_seed) not in self.study.seen:
                return self.study.mark(*self.study.ask(drawn.params))
        return None

    def close(self) -> None:
        """What is left to do without a worker when the search is over."""
        self._thresholds.refine()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an epoch's objective to the study."""
        self.study.report(self._running[trial_id], result["epoch"], result["objective"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the trial ended; once, whatever Tune says again."""
        if trial_id not in self._running:
            return
        if result and "objective" in result:
            self.on_trial_result(trial_id, result)  # Tune does not pass on the report at which a trial was stopped
        suggestion = self._running.pop(trial_id)
        record = self._recorder.records[suggestion.number]
        self.study.tell(suggestion, record, FAILED if error else ending_state(result))

    def prune_leftovers(self) -> None:
        """Tell and record as pruned what a time budget cut off; a trial without an epoch stays to be resumed."""
        for suggestion in self._running.values():
            record = self._recorder.records[suggestion.number]
            if record.state in (RUNNING, WAITING) and record.epochs:
                self._recorder.end(record, PRUNED)
                self.study.tell(suggestion, record, PRUNED)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for Tuner.restore, which is not how a run is resumed here."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **kwargs: Any) -> None:
        """Nothing: the study's own file is the memory, and Tune's snapshot of it would be an older second one."""
