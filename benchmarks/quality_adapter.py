"""The one place where `search_quality` touches the product's searcher, scheduler and choice of winner. Port this file only.

No Ray runs: what Tune's controller would call is called in the order in which it calls it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from benchmarks.quality_replay import DONE, WAIT, Asked, Measured, Search, Task
from benchmarks.quality_tables import ValidationSet
from search_spaces import load
from trainable.config import TrialConfig, sign
from tuner.analysis.choice import ValidationPairs, chosen, evidence
from tuner.analysis.starting_points import StartingPoint
from tuner.inputs.bound_space import BoundSpace
from tuner.results.trial_record import COMPLETED, PRUNED, RUNNING, SICK, TrialRecord, best_of
from tuner.search.samplers import make_sampler
from tuner.search.scheduler import make_scheduler
from tuner.search.searcher import StudySearch

_SPACE = Path(__file__).with_name("quality_space.py")


@dataclass(frozen=True)
class SystemSettings:
    """How the product searches; the defaults are the product's own."""

    sampler: str = "tpe"
    scheduler: str = "asha"
    metric: str = "val_auc"


@dataclass(frozen=True)
class Winner:
    """What the product says of a search."""

    trial: str
    epoch: int
    """The epoch whose weights it keeps."""
    accuracy: float
    """The value it promises, on pairs like the validation pairs."""
    auc: float


class System:
    """The product's own searcher and scheduler, as a Method of the replay."""

    def __init__(
        self,
        settings: SystemSettings,
        task: Task,
        trials: int,
        parallel: int,
        start_from: Sequence[dict[str, Any]] = (),
    ) -> None:
        """start_from: other runs' best configurations, the best first, tried after the default as --start-from tries them."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.settings = settings
        self._recorder = _Recorder(settings.metric)
        self._searcher = StudySearch(
            _suggested(task.blocks, task.epochs),
            self._recorder,  # type: ignore[arg-type]
            metric=settings.metric,
            sampler=make_sampler(settings.sampler, task.seed),
            storage=optuna.storages.InMemoryStorage(),
            study_name="replayed",
            run_seed=task.seed,
            trials=trials,
            parallel=parallel,
            saved=lambda number: None,
            start_from=[StartingPoint(TrialConfig(**values), f"other/{n}") for n, values in enumerate(start_from)],
        )
        self._scheduler = make_scheduler(settings.scheduler, settings.metric, task.epochs)
        self._trials: dict[str, SimpleNamespace] = {}

    def ask(self) -> Asked | str:
        """The searcher's next suggestion, a trial of the scheduler's from then on."""
        trial_id = f"{len(self._trials):05d}"
        suggested = self._searcher.suggest(trial_id)
        if suggested is None:
            return WAIT
        if isinstance(suggested, str):
            assert suggested == Searcher.FINISHED
            return DONE
        trial = SimpleNamespace(trial_id=trial_id, config=suggested, last_result={})
        self._trials[trial_id] = trial
        self._scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        return Asked(trial_id, dataclasses.asdict(suggested["config"]))

    def report(self, trial_id: str, measured: Measured) -> bool:
        """An epoch's numbers to scheduler, searcher and records; whether the trial goes on."""
        trial, result = self._trials[trial_id], self._result(measured)
        record = self._recorder.records[trial.config["number"]]
        done = measured.finished or measured.sick is not None
        decision = TrialScheduler.STOP
        if not done:
            decision = self._scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]
        if decision not in (TrialScheduler.CONTINUE, TrialScheduler.STOP):
            raise NotImplementedError(f"the replay knows no scheduler that says {decision}: none pauses here")
        self._recorder.epoch(record, result)
        if decision != TrialScheduler.STOP:
            self._searcher.on_trial_result(trial_id, result)
            return True
        self._scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
        self._searcher.on_trial_complete(trial_id, result)
        record.state = SICK if measured.sick else COMPLETED if measured.finished else PRUNED
        record.ended = 0.0
        return False

    def _result(self, measured: Measured) -> dict[str, Any]:
        """The numbers of an epoch that search and choice look at, under the names that a training reports them by."""
        found = {"val_auc": measured.auc, "val_accuracy": math.nan if measured.sick else measured.accuracy()}
        objective = found[self.settings.metric]
        return found | {
            "epoch": measured.epoch,
            "objective": objective,
            "training_objective": objective,
            "sick": measured.sick,
            "finished": measured.finished,
            "done": measured.finished,
        }

    def winner(self, search: Search, validation: ValidationSet) -> Winner | None:
        """The product's choice and what it promises; None if no trial can win."""
        records = list(self._recorder.records.values())
        best = best_of(records, self.settings.metric)
        if best is None:
            return None
        names = {trial.config["number"]: name for name, trial in self._trials.items()}
        pairs = ValidationPairs(validation.labels, validation.front_identity, validation.angle_identity)
        for record in records:
            if record.eligible:
                scores = validation.scores(search.trials[names[record.number]].at(record.ranked_epoch))
                record.arrays = {"scores": scores, "correct": pairs.fitted(scores)}
        found = evidence(records, pairs, self.settings.metric, threshold_is_searched=False)
        default = next(record for record in records if record.is_default)
        taken = chosen(best, default, found.value.beats_default if found else None)
        accuracy, auc = taken.best["val_accuracy"], taken.best["val_auc"]
        if found is not None and taken is best and best is not default:
            accuracy, auc = found.value.accuracy, found.value.auc
        return Winner(names[taken.number], taken.ranked_epoch, accuracy, auc)


class _Recorder:
    """What the searcher asks of the product's recorder; nothing is written."""

    def __init__(self, metric: str) -> None:
        self.records: dict[int, TrialRecord] = {}
        self._better = sign(metric)

    def suggested(self, record: TrialRecord) -> None:
        record.state = RUNNING
        self.records[record.number] = record

    def epoch(self, record: TrialRecord, result: dict[str, Any]) -> None:
        """Keep the epoch; the trial is ranked by its last one that was neither sick nor undefined."""
        record.epochs[result["epoch"]] = result
        value = self._better * result["objective"]
        if result["sick"] or not math.isfinite(value):
            return
        best = record.epochs[record.best_epoch]["objective"] if record.best_epoch else None
        if best is None or value > self._better * best:
            record.best_epoch = result["epoch"]
        record.ranked_epoch = result["epoch"]


def _suggested(blocks: int, epochs: int) -> BoundSpace:
    """The space of the problem; of the head alone nothing else is trained."""
    space = load(str(_SPACE))
    searched = ("learning_rate", "temperature", *(("trainable_blocks", "backbone_lr_ratio") if blocks else ()))
    fixed = TrialConfig(epochs=epochs, trainable_blocks=None if blocks else 0)
    return BoundSpace(space, fixed, blocks, searched, space.probe(blocks).distributions)
