"""A threshold costs no training: the scores of one training answer for every threshold."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from trainable.trial import scores_by_epoch
from tuner.inputs.bound_space import can_hold
from tuner.results.checkpoints import Saved
from tuner.results.trial_record import COMPLETED, FAILED, WAITING, TrialRecord
from tuner.search.recorder import Recorder
from tuner.search.study import Suggestion, TrialStudy

HELD = 64
"""Trainings that ended and whose scores of all epochs stay in memory."""


class FreeThresholds:
    """Answers suggestions that need no training; does nothing where the threshold is not searched.

    A suggestion that differs from another trial in nothing but the threshold is not trained: the other's scores answer
    for it, once it has ended. And each training is tried once more at the threshold that its own scores favour, beyond
    the trials that were asked for: else a good one would be hidden by a bad threshold.

    saved: reads a trial's newest saved state, by its number.
    """

    def __init__(self, study: TrialStudy, recorder: Recorder, saved: Callable[[int], Saved | None]) -> None:
        self._study, self._recorder, self._saved = study, recorder, saved
        self._searched = "threshold" in study.bound.searched
        self._keys: dict[int, str] = {}
        self._trainings: dict[str, list[TrialRecord]] = {}
        """By key: the trials that have it."""
        self._unrefined: dict[int, TrialRecord] = {}
        self._held: deque[TrialRecord] = deque()
        self._known = 0
        """So many of the records, which only become more, are in these."""

    def source_of(self, suggestion: Suggestion) -> TrialRecord | None:
        """The trial that trains, or has trained, what this one would train; None if there is none with its scores."""
        if not self._searched:
            return None
        key = suggestion.config.training_key()
        self._take_up()
        for record in self._trainings.get(key, ()):
            other = record.number != suggestion.number and record.replay_of is None and record.state != FAILED
            if other and (record.ended is None or self._has_scores(record)):
                return record
        return None

    def replay(self, suggestion: Suggestion, source: TrialRecord) -> None:
        """End the trial with the source's epochs at its own threshold; nothing is trained."""
        record = self._study.record(suggestion)
        self._recorder.suggested(record)
        self._recorder.replay(record, source)
        for epoch, numbers in record.epochs.items():
            self._study.report(suggestion, epoch, numbers["objective"])
        self._study.tell(suggestion, record, record.state)

    def refine(self) -> None:
        """Try each training that is complete once more, at the threshold that its scores favour."""
        if not self._searched:
            return
        self._take_up()
        for record in list(self._unrefined.values()):
            if record.ended is None or record.state == WAITING:
                continue
            del self._unrefined[record.number]
            self._hold(record)
            if record.state != COMPLETED or record.replay_of is not None or record.repeat_of is not None:
                continue
            if record.ranked_epoch and self._has_scores(record):
                self._try_favoured(record)

    def _take_up(self) -> None:
        """Records that came since the last look."""
        records = self._recorder.records
        for number in list(itertools.islice(records, self._known, None)):
            record = records[number]
            self._trainings.setdefault(self._key(record), []).append(record)
            self._unrefined[number] = record
        self._known = len(records)

    def _hold(self, record: TrialRecord) -> None:
        """The scores of all epochs stay in memory of a few trainings only; those of others are in their saved states."""
        self._held.append(record)
        if len(self._held) > HELD:
            self._held.popleft().epoch_scores = {}

    def _try_favoured(self, source: TrialRecord) -> None:
        threshold = self._recorder.favoured_threshold(source)
        parameters, ranges = self._study.parameters_of(source.number)
        if "threshold" not in ranges or not can_hold(ranges["threshold"], threshold):
            return
        trial, config = self._study.ask({**parameters, "threshold": threshold})
        if config.training_key() != self._key(source) or config in self._study.seen:
            self._study.drop(trial)  # the space makes something else of the same parameters
            return
        self.replay(self._study.mark(trial, config, is_extra=True), source)

    def _key(self, record: TrialRecord) -> str:
        if record.number not in self._keys:
            self._keys[record.number] = record.config.training_key()
        return self._keys[record.number]

    def _has_scores(self, record: TrialRecord) -> bool:
        """Whether the scores of all its epochs are there, or can be read from its saved state."""
        if not record.epoch_scores and (saved := self._saved(record.number)):
            record.epoch_scores = scores_by_epoch(saved.state["score_history"])
            self._hold(record)
        return len(record.epoch_scores) >= record.epochs_trained
