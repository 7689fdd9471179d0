"""A search driven by hand: searcher and recorder get the calls that Tune makes, in Tune's order, without a cluster."""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import search_spaces
from tests.tools.synthetic import pair_data
from trainable.config import Settings, TrialConfig
from trainable.objectives import Objectives
from trainable.trial import Carried
from tuner.analysis.starting_points import StartingPoint
from tuner.inputs.space import examine
from tuner.results.checkpoints import Saved
from tuner.results.writer import RunTables
from tuner.search.recorder import Recorder
from tuner.search.resume import take_up_trials
from tuner.search.samplers import make_sampler
from tuner.search.searcher import StudySearch
from tuner.search.study_file import open_study

DATA = pair_data(size_px=4)
VAL_PAIRS = len(DATA.rows("val"))
FIXED = TrialConfig(epochs=3)
BLOCKS = 4


def space_of(folder: Path, body: str, name: str = "own"):
    """A space from the body of its `suggest(trial, blocks)`."""
    path = folder / f"{name}.py"
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    path.write_text(f'"""A question?"""\n\n\ndef suggest(trial, blocks):\n{lines}\n')
    return search_spaces.load(path)


def numbers(epoch: int, objective: float, sick: str | None = None) -> dict[str, Any]:
    """An epoch as PairTrial reports it, without what only the driver is told."""
    return {
        "epoch": epoch,
        "objective": objective,
        "training_objective": objective,
        "sick": sick,
        "threshold": 0.4,
        "val_accuracy": objective,
        "val_accuracy_solved": objective,
        "val_auc": 0.75,
        "contrastive_loss": math.nan if sick else 2.0 - 0.5 * epoch,
        "chance_loss": 3.4657,
        "consistency_loss": 0.8 - 0.1 * epoch,
        "positive_similarity": 0.7,
        "negative_similarity": 0.1,
        "val_tar_at_far_1e3": None,
        "learning_rate": 1e-3 / epoch,
        "epoch_s": 0.25,
        "validation_s": 0.05,
    }


def arrays(epoch: int) -> dict[str, np.ndarray]:
    """Scores and decisions on the validation pairs that tell one epoch from another."""
    scores = np.linspace(-1, 1 - epoch / 10, VAL_PAIRS, dtype=np.float32)
    return {"scores": scores, "correct": np.arange(VAL_PAIRS) % 4 >= epoch % 4}


class Trial:
    """What Tune knows of one of its trials, and the numbers that its actor would keep."""

    def __init__(self, trial_id: str, config: dict[str, Any]) -> None:
        self.trial_id, self.config = trial_id, config
        self.last_result: dict[str, Any] = {}
        self.checkpoint = None
        self.temporary_state = SimpleNamespace(ray_actor=None)
        self.error: Exception | None = None
        self.best_epoch, self.best_objective = 0, -math.inf

    @property
    def pickled_error_file(self) -> str | None:
        if self.error is None:
            return None
        file = Path(tempfile.mkdtemp()) / "error.pkl"
        file.write_bytes(pickle.dumps(self.error))
        return str(file)


class Search:
    """One attempt at a run."""

    def __init__(
        self,
        folder: Path,
        space: Any,
        sampler: str = "random",
        metric: str = "val_accuracy",
        seed: int = 0,
        attempt: int = 1,
        fixed: TrialConfig = FIXED,
        saved: dict[int, Saved] | None = None,
        trials: int = 10**6,
        start_from: Sequence[StartingPoint] = (),
        objectives: Objectives | None = None,
    ) -> None:
        self.study_file = folder / "study.log"
        self._tables = RunTables(folder / "results", space.name, "run-a")
        self.bound = examine(space, fixed, BLOCKS)
        self.changes: list[tuple[int, str]] = []
        self.recorder = Recorder(
            self._tables,
            DATA,
            self.bound.count,
            Settings(metric=metric, rank_by="best", threshold_is_searched="threshold" in self.bound.searched),
            changed=lambda record: self.changes.append((record.number, record.state)),
            objectives=objectives,
        )
        self._saved = (saved or {}).get
        self.searcher = StudySearch(
            self.bound,
            self.recorder,
            metric=metric,
            sampler=make_sampler(sampler, seed + 1000 * (attempt - 1)),
            storage=open_study(self.study_file),
            study_name="run-a",
            run_seed=seed,
            trials=trials,
            parallel=2,
            saved=self._saved,
            start_from=start_from,
            objectives=objectives,
        )
        self._attempt, self._count = attempt, 0
        self.writes_at_once = True
        """What ended is in the tables before anything else happens."""

    def take_up(self) -> None:
        """Go on where the attempts before ended."""
        take_up_trials(self.searcher.study, self.recorder, self._saved)

    @property
    def tables(self) -> RunTables:
        """What is written."""
        self._write()
        return self._tables

    @property
    def study(self):
        """Optuna's study, as the searcher sees it."""
        return self.searcher.study.optuna

    def frozen(self, number: int):
        """The study's trial that has this number of ours."""
        (found,) = [t for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get("number") == number]
        return found

    def start(self) -> Trial | None:
        """Ask for a trial and start it; None when the searcher has no more, or none yet (`answer` tells which)."""
        self._count += 1
        trial_id = f"{self._attempt}-{self._count}"
        config = self.answer = self.searcher.suggest(trial_id)
        self._write()
        if config in ("FINISHED", None):
            return None
        trial = Trial(trial_id, config)
        self.recorder.on_trial_start(0, [], trial)
        return trial

    def report(
        self,
        trial: Trial,
        objective: float,
        stop: bool = False,
        sick: str | None = None,
        costs: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """One more epoch; stop: the scheduler ends the trial at it. Tune passes no last report on to searchers."""
        epoch = trial.last_result.get("epoch", 0) + 1
        if not sick and objective > trial.best_objective:
            trial.best_epoch, trial.best_objective = epoch, objective
        finished = sick is not None or epoch == FIXED.epochs
        result = numbers(epoch, objective, sick) | {
            "best_epoch": trial.best_epoch,
            "ranked_epoch": trial.best_epoch,
            "finished": finished,
            "done": finished,
            "node": "host/12345678",
            "carried": Carried(
                arrays=arrays(epoch) if epoch == trial.best_epoch else None,
                epoch_scores={epoch: arrays(epoch)["scores"]} if "threshold" in self.bound.searched else {},
                costs=costs or {},
            ),
            **more,
        }
        ends = finished or stop
        if not ends:
            self.searcher.on_trial_result(trial.trial_id, result)
        self.recorder.on_trial_result(0, [], trial, result)
        trial.last_result = result
        if ends:
            self.searcher.on_trial_complete(trial.trial_id, result=result)
            self.recorder.on_trial_complete(0, [], trial)
            self._write()

    def run(self, trial: Trial, *objectives: float, stop: bool = False) -> Trial:
        """The trial's epochs; stop: the last of them is where the scheduler stops it."""
        for index, objective in enumerate(objectives, 1):
            self.report(trial, objective, stop=stop and index == len(objectives))
        return trial

    def fail(self, trial: Trial, error: Exception) -> None:
        """The trial's actor raised, and Tune gives it up."""
        trial.error = error
        self.searcher.on_trial_complete(trial.trial_id, error=True)
        self.recorder.on_trial_error(0, [], trial)
        self._write()

    def _write(self) -> None:
        if self.writes_at_once:
            self.recorder.flush()
