"""The study: Optuna's suggestions for Tune, told correctly how each trial ended, in a file that outlives the run."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from trainable.config import METRICS, TrialConfig
from trainable.trial import scores_by_epoch
from tuner.inputs.bound_space import BoundSpace, can_hold
from tuner.results.checkpoints import Saved
from tuner.results.trial_record import COMPLETED, FAILED, PRUNED, RUNNING, SICK, WAITING, TrialRecord
from tuner.search.recorder import Recorder, ending_state

_MAX_ASKS = 3
"""After so many suggestions in a row that were tried before, the sampler keeps to the best it knows: random draws follow."""
_MAX_DRAWS = 1000
"""So many random draws that were all tried before mean that the space has nothing new left."""


class StudySearch(OptunaSearch):
    """Optuna's suggestions for Tune, from a study that outlives the run.

    Unlike OptunaSearch, a trial that the scheduler stopped is told as PRUNED with all its intermediate values (there:
    COMPLETE, with its early value), a sick or NaN one as infeasible, which samplers avoid (there: running for ever), no
    configuration is suggested twice, the first is the default one, and a study that was interrupted goes on with the
    trials it had not finished.

    Where the threshold is searched, a suggestion that differs from another trial in nothing else is not trained: the
    other's scores answer for it, once it has ended. And each training is tried once more at the threshold that its own
    scores favour, beyond the trials that were asked for: else a good one would be hidden by a bad threshold.

    trials: how many to suggest, those of earlier attempts included; parallel: how many run at a time; load: reads a
    saved training state.
    """

    def __init__(
        self,
        suggested: BoundSpace,
        recorder: Recorder,
        *,
        metric: str,
        sampler: optuna.samplers.BaseSampler,
        storage: optuna.storages.BaseStorage,
        study_name: str,
        run_seed: int,
        trials: int,
        parallel: int,
        saved: Callable[[int], Saved | None],
    ) -> None:
        super().__init__(
            space=lambda trial: suggested.configure(trial, run_seed),
            metric="objective",
            mode=METRICS[metric],
            sampler=sampler,
            storage=storage,
            study_name=study_name,
        )
        self._suggested, self._recorder, self._run_seed = suggested, recorder, run_seed
        self._trials, self._parallel, self._saved = trials, parallel, saved
        self._numbers: dict[str, int] = {}
        self._seen: set[str] = set()
        self._unfinished: deque[Trial] = deque()
        self._waiting: deque[Trial] = deque()
        """For the end of the trial that trains what they would train."""
        self._refined: set[int] = set()
        self._keys: dict[int, str] = {}
        self._extra = 0
        for frozen in self._ot_study.get_trials(deepcopy=False):
            if "number" in frozen.user_attrs:
                self._seen.add(_identity(frozen.user_attrs["values"]))
                self._extra += frozen.user_attrs.get("is_extra", False)
                if frozen.state == TrialState.RUNNING:
                    self._unfinished.append(Trial(self._ot_study, frozen._trial_id))
            elif frozen.state == TrialState.RUNNING:  # the driver was killed before it had a number: nobody trains it
                self._ot_study.tell(frozen.number, state=TrialState.FAIL)
        self._next_number = self._first_new = len(self._seen)
        self.exhausted = False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's `values`, `number`, `title` and `resume_from`; FINISHED when there is none; None: not yet."""
        while True:
            self._refine()
            trial = self._next()
            if trial is None:
                return None if self._waiting else Searcher.FINISHED
            source = self._source_of(trial)
            if source is None:
                return self._hand_out(trial_id, trial)
            if source.ended is None:
                self._waiting.append(trial)
            else:
                self._replay(trial, source)

    def _next(self) -> Trial | None:
        """One that need not wait any longer, else one that an earlier attempt had not finished, else a new one."""
        for trial in self._waiting:
            source = self._source_of(trial)
            if source is None or source.ended is not None:
                self._waiting.remove(trial)
                return trial
        if self._unfinished:
            return self._unfinished.popleft()
        enough = self._next_number - self._extra >= self._trials
        if enough or self.exhausted or len(self._waiting) >= self._parallel:
            return None
        trial = self._default_trial() if self._next_number == 0 else self._new_trial()
        self.exhausted = trial is None
        return trial

    def _hand_out(self, trial_id: str, trial: Trial) -> dict[str, Any]:
        self._ot_trials[trial_id] = trial
        record = self._record(trial.user_attrs)
        saved = self._saved(record.number) if record.number < self._first_new else None
        self._numbers[trial_id] = record.number
        self._recorder.suggested(record)
        folder = saved.folder if saved else None
        return {"number": record.number, "values": record.values, "title": record.title, "resume_from": folder}

    def _record(self, attributes: dict[str, Any]) -> TrialRecord:
        number, values = attributes["number"], attributes["values"]
        searched = {name: values[name] for name in self._suggested.searched if not _idle(name, values)}
        title = f"trial {number:03d} " + " ".join(f"{name}={_short(name, value)}" for name, value in searched.items())
        marks = {mark: attributes.get(mark, False) for mark in ("is_default", "is_extra")}
        return TrialRecord(number, values, title, searched, **marks)

    def ended_before(self) -> list[TrialRecord]:
        """A record, yet without its epochs, of every trial that the study knows to have ended in an earlier attempt."""
        frozen = self._ot_study.get_trials(deepcopy=False)
        return [self._record(t.user_attrs) for t in frozen if "number" in t.user_attrs and t.state.is_finished()]

    def close_finished(self) -> None:
        """End the unfinished trials whose saved state has no epoch to come: the driver was killed before it heard so."""
        for trial in list(self._unfinished):
            record = self._record(trial.user_attrs)
            saved = self._saved(record.number)
            state = saved.state if saved else {"history": [], "sick": None}
            if not state["sick"] and len(state["history"]) < record.values["epochs"]:
                continue
            self._unfinished.remove(trial)
            self._recorder.recover(record, state)
            for numbers in state["history"]:
                self._report(trial, numbers)
            self._tell(trial, record, record.state)

    def _new_trial(self) -> Trial | None:
        for _ in range(_MAX_ASKS):
            trial = self._ot_study.ask()
            values = self._suggested.configure(trial, self._run_seed)
            if _identity(values) not in self._seen:
                return self._marked(trial, values)
            self._ot_study.tell(trial, state=TrialState.FAIL)  # asked again, the sampler draws anew
        return self._drawn_trial()

    def _drawn_trial(self) -> Trial | None:
        """A random configuration that was not tried, in a finite space that the sampler has narrowed down; or None."""
        draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(self._run_seed + self._next_number))
        for _ in range(_MAX_DRAWS):
            drawn = draws.ask()
            if _identity(self._suggested.configure(drawn, self._run_seed)) not in self._seen:
                self._ot_study.enqueue_trial(drawn.params)
                trial = self._ot_study.ask()
                return self._marked(trial, self._suggested.configure(trial, self._run_seed))
        return None

    def _default_trial(self) -> Trial:
        """The default configuration; where the space cannot suggest it, it is tried beside the study's suggestions."""
        suggested = self._suggested
        self._ot_study.enqueue_trial(suggested.in_study(suggested.default))
        trial = self._ot_study.ask()
        in_space = suggested.configure(trial, self._run_seed)
        kept = {name: value for name, value in in_space.items() if name not in (*suggested.searched, "threshold")}
        default = suggested.seeded(suggested.default | kept | {"seed": 0}, self._run_seed)
        asked = {name: in_space[name] for name in suggested.searched}
        trial.set_user_attr("outside_space", asked != {name: default[name] for name in suggested.searched})
        return self._marked(trial, default, is_default=True)

    def _marked(self, trial: Trial, values: dict[str, Any], is_default: bool = False, is_extra: bool = False) -> Trial:
        self._seen.add(_identity(values))
        number, self._next_number = self._next_number, self._next_number + 1
        self._extra += is_extra
        # The number last: a trial that has one has everything, wherever the driver is killed.
        marks = [name for name, given in (("is_default", is_default), ("is_extra", is_extra)) if given]
        for name, value in (("values", values), *((mark, True) for mark in marks), ("number", number)):
            trial.set_user_attr(name, value)
        return trial

    @property
    def _thresholds_are_free(self) -> bool:
        return "threshold" in self._suggested.searched

    def _source_of(self, trial: Trial) -> TrialRecord | None:
        """The trial that trains, or has trained, what this one would train; None if there is none with its scores."""
        if not self._thresholds_are_free:
            return None
        number, key = trial.user_attrs["number"], _training(trial.user_attrs["values"])
        for record in self._recorder.records.values():
            other = record.number != number and record.replay_of is None and record.state != FAILED
            if other and self._key(record) == key and (record.ended is None or self._has_scores(record)):
                return record
        return None

    def _key(self, record: TrialRecord) -> str:
        if record.number not in self._keys:
            self._keys[record.number] = _training(record.values)
        return self._keys[record.number]

    def _has_scores(self, record: TrialRecord) -> bool:
        """Whether the scores of all its epochs are there, or can be read from its saved state."""
        if not record.epoch_scores and (saved := self._saved(record.number)):
            record.epoch_scores = scores_by_epoch(saved.state["score_history"])
        return record.epoch_scores.keys() >= record.epochs.keys()

    def _replay(self, trial: Trial, source: TrialRecord) -> None:
        """End the trial with the source's epochs at its own threshold; nothing is trained."""
        record = self._record(trial.user_attrs)
        self._recorder.suggested(record)
        self._recorder.replay(record, source)
        for numbers in record.epochs.values():
            self._report(trial, numbers)
        self._tell(trial, record, record.state)

    def _refine(self) -> None:
        """Try each training that is complete once more, at the threshold that its scores favour."""
        if not self._thresholds_are_free:
            return
        trained = [r for r in self._recorder.records.values() if r.state == COMPLETED and r.replay_of is None]
        for record in trained:
            if record.number not in self._refined and self._has_scores(record):
                self._refined.add(record.number)
                self._try_favoured(record)

    def _try_favoured(self, source: TrialRecord) -> None:
        threshold = self._recorder.favoured_threshold(source)
        frozen = next(
            t for t in self._ot_study.get_trials(deepcopy=False) if t.user_attrs.get("number") == source.number
        )
        range_of = frozen.distributions.get("threshold")
        if range_of is None or not can_hold(range_of, threshold):
            return
        self._ot_study.enqueue_trial({**frozen.params, "threshold": threshold})
        trial = self._ot_study.ask()
        values = self._suggested.configure(trial, self._run_seed)
        if _training(values) != self._key(source) or _identity(values) in self._seen:
            self._ot_study.tell(trial, state=TrialState.FAIL)  # the space makes something else of the same parameters
            return
        self._replay(self._marked(trial, values, is_extra=True), source)

    def close(self) -> None:
        """What is left to do without a worker when the search is over."""
        self._refine()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an epoch's objective as the trial's intermediate value, once an epoch and never NaN."""
        self._report(self._ot_trials[trial_id], result)

    def _report(self, trial: Trial, numbers: dict[str, Any]) -> None:
        value, epoch = numbers["objective"], numbers["epoch"]
        known = self._ot_study._storage.get_trial(trial._trial_id).intermediate_values
        if math.isfinite(value) and epoch not in known:
            trial.report(value, epoch)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell how the trial ended: COMPLETE with the best epoch's objective, PRUNED with what it reported, infeasible
        if it was sick, or FAIL."""
        if trial_id in self._completed_trials or trial_id not in self._ot_trials:
            return
        if result and "objective" in result:
            self.on_trial_result(trial_id, result)  # Tune does not pass on the report at which a trial was stopped
        record = self._recorder.records[self._numbers[trial_id]]
        self._tell(self._ot_trials[trial_id], record, FAILED if error else ending_state(result))
        self._completed_trials.add(trial_id)

    def _tell(self, trial: Trial, record: TrialRecord, state: str) -> None:
        outside = trial.user_attrs.get(
            "outside_space", False
        )  # its value would be told of other parameters than it had
        undefined = state == COMPLETED and not record.best_epoch  # the metric, in every epoch
        if outside or undefined or state == FAILED:
            self._ot_study.tell(trial, state=TrialState.FAIL)  # which samplers ignore
            return
        trial.set_constraint("sick", float(state == SICK))  # above 0: infeasible, worse than every other
        value = self._worst() if state == SICK else record.best.get("objective") if state == COMPLETED else None
        self._ot_study.tell(trial, value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE)

    def _worst(self) -> float | None:
        """The worst objective that any epoch of any trial had: what stands for a sick trial's own, which may be NaN."""
        trials = self._ot_study.get_trials(deepcopy=False)
        values = [value for trial in trials for value in trial.intermediate_values.values()]
        worst = min if self._ot_study.direction == optuna.study.StudyDirection.MAXIMIZE else max
        return worst(values, default=None)

    def prune_leftovers(self) -> None:
        """Tell and record as pruned what a time budget cut off; a trial without an epoch stays to be resumed."""
        for trial_id, trial in self._ot_trials.items():
            record = self._recorder.records[self._numbers[trial_id]]
            if record.state in (RUNNING, WAITING) and record.epochs:
                self._recorder.end(record, PRUNED)
                self._tell(trial, record, PRUNED)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for Tuner.restore, which is not how a run is resumed here."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **kwargs: Any) -> None:
        """Nothing: the study's own file is the memory, and Tune's snapshot of it would be an older second one."""


def _idle(name: str, values: dict[str, Any]) -> bool:
    """The parameter is in the configuration but does nothing there."""
    return name == "backbone_lr_ratio" and values["trainable_blocks"] == 0


def _identity(values: dict[str, Any]) -> str:
    """Equal for configurations that are equal in everything."""
    return json.dumps(values, sort_keys=True)


def _training(values: dict[str, Any]) -> str:
    """Equal for configurations that train the same."""
    return TrialConfig.of(values).training_key()


def _short(name: str, value: Any) -> str:
    if value is None:
        return "all" if name == "trainable_blocks" else "solved"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
