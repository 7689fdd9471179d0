"""Repeats: after a search its leading trials and the default are trained with other seeds, the same ones for each."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ray.tune.search import Searcher

from trainable.config import METRICS, TrialConfig, sign
from trainable.metrics.intervals import LinkedPairs, linked_pairs
from trainable.metrics.over_seeds import Estimate, auc_difference, over_seeds
from tuner.analysis.choice import ValidationPairs, representatives
from tuner.results.checkpoints import Saved
from tuner.results.trial_record import FAILED, FAVOURED, TrialRecord, training_of
from tuner.search.recorder import Recorder, ending_state
from tuner.search.study import Suggestion, TrialStudy

MOST_LEADING = 4


def seed_of(run_seed: int, round_: int) -> int:
    """The seed of a round, from 1: the same for every trial (common random numbers)."""
    return int(hashlib.sha256(f"repeat {run_seed} {round_}".encode()).hexdigest(), 16) % 2**31


class Judge:
    """Compares trials on the validation pairs, trained once or several times."""

    def __init__(self, pairs: ValidationPairs, metric: str) -> None:
        self._pairs, self._metric = pairs, metric
        self._linked: LinkedPairs = linked_pairs(pairs.front_identity, pairs.angle_identity)

    def difference(self, ahead: Sequence[TrialRecord], behind: Sequence[TrialRecord]) -> Estimate:
        """Of the first trial's value less the second's, seed by seed: by accuracy where that ranks, else by AUC."""
        a, b = (np.stack([_arrays(record)["scores"] for record in side]) for side in (ahead, behind))
        if self._metric != "val_accuracy":
            return auc_difference(a, b, self._pairs.labels, self._linked)
        right = (np.stack([_arrays(record)["correct"] for record in side]).astype(float) for side in (ahead, behind))
        return over_seeds(np.subtract(*right), self._linked)

    def surely_behind(self, ahead: Sequence[TrialRecord], behind: Sequence[TrialRecord]) -> bool:
        """Whether the 95 % interval of the difference lies above 0."""
        return self.difference(ahead, behind).interval()[0] > 0


class Repeats:
    """Which trials are repeated, and what came of it."""

    def __init__(
        self, records: dict[int, TrialRecord], pairs: ValidationPairs, metric: str, count: int, run_seed: int
    ) -> None:
        self._records, self._judge, self._sign = records, Judge(pairs, metric), sign(metric)
        self.seeds = [seed_of(run_seed, round_) for round_ in range(1, count + 1)]
        searched = [record for record in records.values() if record.repeat_of is None]
        rows, default = representatives(searched, metric, MOST_LEADING)
        self.default: TrialRecord | None = default
        """The trial that stands for the default's model."""
        leading = [r for r in rows[:MOST_LEADING] if r is rows[0] or not self._judge.surely_behind([rows[0]], [r])]
        self.candidates = leading + [r for r in (default,) if r is not None and r not in leading]
        if self.candidates == [default]:
            self.candidates = []  # nothing to compare it with

    def of(self, trial: TrialRecord, rounds: int | None = None) -> list[TrialRecord]:
        """The trial's repeats that can be judged, in the order of seeds; of so many first rounds."""
        found = {r.config.seed: r for r in self._records.values() if r.repeat_of == trial.number and r.can_be_judged}
        return [found[seed] for seed in self.seeds[:rounds] if seed in found]

    def complete(self, trial: TrialRecord, rounds: int | None = None) -> bool:
        """Whether it was trained with every seed of so many rounds, and none fell sick or failed."""
        return len(self.of(trial, rounds)) == len(self.seeds[:rounds])

    def going_on(self, rounds: int) -> list[TrialRecord]:
        """Candidates for the round after so many: not those that are surely behind, or have fallen sick. One seed alone does
        not tell how much seeds matter: nobody is dropped after the first."""
        able = [trial for trial in self.candidates if self.complete(trial, rounds)]
        if rounds < 2 or not able:
            return able
        first = max(able, key=lambda trial: self.mean(trial, rounds))
        ahead = self.of(first, rounds)
        return [
            t for t in able if t in (first, self.default) or not self._judge.surely_behind(ahead, self.of(t, rounds))
        ]

    def mean(self, trial: TrialRecord, rounds: int | None = None) -> float:
        """Of its objective over seeds, larger is better."""
        return self._sign * float(np.mean([record.best["objective"] for record in self.of(trial, rounds)]))

    def winner(self) -> TrialRecord | None:
        """The best mean over all seeds; None if no trial was trained with all of them."""
        able = [trial for trial in self.candidates if self.complete(trial)]
        return max(able, key=lambda trial: (self.mean(trial), -trial.number), default=None)

    def beats_default(self, winner: TrialRecord) -> float | None:
        """How surely the winner is ahead of the default; None where it is the default's model, or that was not repeated."""
        default = self.default
        if default is None or not self.complete(default) or training_of(winner) == training_of(default):
            return None
        return self._judge.difference(self.of(winner), self.of(default)).above_zero


class RepeatSearch(Searcher):
    """A Searcher of Ray Tune that hands out the repeats, round by round; they are in the study, which learns nothing of them.

    saved: reads a trial's newest saved state.
    """

    def __init__(
        self, repeats: Repeats, study: TrialStudy, recorder: Recorder, metric: str, saved: Callable[[int], Saved | None]
    ) -> None:
        super().__init__(metric="objective", mode=METRICS[metric])
        self._repeats, self._study, self._recorder, self._saved = repeats, study, recorder, saved
        self._round, self._queue = 0, deque[tuple[TrialRecord, int]]()
        self._running: dict[str, Suggestion] = {}

    # Tune takes the text FINISHED too, which its annotation leaves out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # Ray's own FINISHED is a str
        """The next repeat; None while a round is not over; FINISHED after the last."""
        while not self._queue:
            if self._running:
                return None
            if self._round == len(self._repeats.seeds):
                return Searcher.FINISHED
            seed = self._repeats.seeds[self._round]
            self._queue.extend(
                (trial, seed) for trial in self._repeats.going_on(self._round) if not self._ended(trial, seed)
            )
            self._round += 1
        suggestion = self._suggestion(*self._queue.popleft())
        self._running[trial_id] = suggestion
        record = self._study.record(suggestion)
        saved = self._saved(record.number)
        self._recorder.suggested(record)
        folder = saved.folder if saved else None
        return {"number": record.number, "config": record.config, "title": record.title, "resume_from": folder}

    def _ended(self, trial: TrialRecord, seed: int) -> bool:
        """In an earlier attempt at the run."""
        records = self._recorder.records.values()
        return any(r.repeat_of == trial.number and r.config.seed == seed and r.ended is not None for r in records)

    def _suggestion(self, trial: TrialRecord, seed: int) -> Suggestion:
        config = repeated(trial, seed)
        for begun in self._study.unfinished_repeats:
            if begun.marks["repeat_of"] == trial.number and begun.config == config:
                self._study.unfinished_repeats.remove(begun)
                return begun
        return self._study.beside(config, repeat_of=trial.number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The study learns nothing of repeats."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Once, whatever Tune says again."""
        suggestion = self._running.pop(trial_id, None)
        if suggestion is not None:
            record = self._recorder.records[suggestion.number]
            # The recorder hears of the end after the searcher, which Tune asks for the next trial only then.
            self._study.tell(suggestion, record, FAILED if error else ending_state(result))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for Tuner.restore, which is not how a run is resumed here."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **kwargs: Any) -> None:
        """Nothing: the study's own file is the memory."""


def repeated(trial: TrialRecord, seed: int) -> TrialConfig:
    """The trial's configuration with another seed. A threshold that scores have chosen is solved anew, as they are others."""
    anew = trial.threshold_source in ("solved", FAVOURED)
    return replace(trial.config, seed=seed, threshold=None if anew else trial.config.threshold)


def _arrays(record: TrialRecord) -> dict[str, np.ndarray]:
    assert record.best_arrays is not None, "only trials with scores are compared"
    return record.best_arrays
