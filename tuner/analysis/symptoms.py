"""What went wrong in a search, and where in its space: a line a symptom, printed when a run ends. Silent when nothing did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.results.trial_record import SICK, TrialRecord


@dataclass(frozen=True)
class Symptom:
    """A diagnosis, the trials that have it, and the parameter range in which it occurs."""

    name: str
    trials: tuple[int, ...]
    ended: int
    """How many of these trials it, or another fatal one, ended."""
    parameter: str | None
    """The searched parameter whose range of sick values holds the fewest trials without the symptom."""
    low: float | None
    high: float | None
    others_there: int
    """Trials in that range that do not have it."""

    @property
    def where(self) -> str:
        """The range in words."""
        if self.parameter is None:
            return "anywhere"
        low, high = ("all" if value == math.inf else f"{value:.3g}" for value in (self.low, self.high))
        span = f"{self.parameter} {low}" if low == high else f"{self.parameter} {low} to {high}"
        return span if not self.others_there else f"{span} (and {self.others_there} trials there without it)"


def symptoms_of(records: Sequence[TrialRecord]) -> list[Symptom]:
    """Every symptom of the trials, the most frequent first; records that no epoch was checked of count as neither."""
    checked = [record for record in records if record.diagnoses is not None]
    names = dict.fromkeys(name for record in checked for name in record.diagnoses or ())
    found = [_symptom(name, checked) for name in names]
    return sorted(found, key=lambda symptom: (-len(symptom.trials), symptom.name))


def _symptom(name: str, records: list[TrialRecord]) -> Symptom:
    having = [record for record in records if name in (record.diagnoses or ())]
    others = [record for record in records if name not in (record.diagnoses or ())]
    best: tuple[str | None, float | None, float | None, int] = (None, None, None, len(others))
    narrowest = math.inf
    for parameter in dict.fromkeys(p for record in having for p in record.searched):
        values = _values(parameter, having)
        if len(values) < len(having):
            continue  # not every sick trial has it
        low, high = min(values), max(values)
        there = sum(low <= value <= high for value in _values(parameter, others))
        share = _share(low, high, values + _values(parameter, others))
        if others and (there, share) < (best[3], narrowest):
            best, narrowest = (parameter, low, high, there), share
    trials = tuple(sorted(record.number for record in having))
    return Symptom(name, trials, sum(record.state == SICK for record in having), *best)


def _share(low: float, high: float, tried: list[float]) -> float:
    """How much of what was tried lies from low to high: places in the order of values, whatever their scale."""
    return sum(low <= value <= high for value in tried) / len(tried)


def _values(parameter: str, records: list[TrialRecord]) -> list[float]:
    """The parameter's numbers in these trials; all of a backbone counts as more than any number of blocks."""
    given = [record.searched[parameter] for record in records if parameter in record.searched]
    whole = parameter == "trainable_blocks"
    return [float(math.inf if value is None and whole else value) for value in given if _is_number(value) or whole]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
