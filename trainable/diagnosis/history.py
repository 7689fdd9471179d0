"""The history of a trial, epoch by epoch, as detectors read it, and the diagnosis that one of them makes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainable.config import TrialConfig
from trainable.diagnosis.remedies import REMEDIES

WARN, FAIL = "warn", "fail"
_NUMBERS = (int, float)


@dataclass(frozen=True)
class Diagnosis:
    """A named symptom. A severity of `fail` ends a trial: what follows would be time lost."""

    name: str
    severity: str
    evidence: str
    """The numbers that show it."""
    cause: str
    """What most likely causes it."""
    remedy: str
    """What to do."""

    def as_dict(self) -> dict[str, str]:
        """Plain text, for a file or another process."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class TrialHistory:
    """A trial's epochs so far: the numbers of each, the newest last. Missing names and NaN count as unknown."""

    epochs: Sequence[Mapping[str, Any]]
    config: TrialConfig

    def value(self, *names: str) -> float | None:
        """The newest epoch's number of the first of these names that has one."""
        newest = self.epochs[-1]
        for name in names:
            found = number(newest.get(name))
            if found is not None:
                return found
        return None

    def last(self, name: str, count: int) -> list[float]:
        """The numbers of the last `count` epochs, oldest first; empty if there are fewer, or one is unknown."""
        values = [number(epoch.get(name)) for epoch in self.epochs[-count:]]
        known = [value for value in values if value is not None]
        return known if len(known) == count else []

    def all(self, name: str) -> list[float]:
        """Every known number of this name, oldest first."""
        return [value for epoch in self.epochs if (value := number(epoch.get(name))) is not None]

    @property
    def temperature(self) -> float:
        """Of the contrastive loss in the newest epoch: what was learnt, or the configuration's."""
        return self.value("loss_temperature") or self.config.temperature

    @cached_property
    def warm_epochs(self) -> int:
        """Epochs since the learning rate's warm-up: before it is over, little can be expected."""
        return sum(epoch["epoch"] > self.config.warmup_epochs for epoch in self.epochs)


def diagnosis(name: str, severity: str, evidence: str) -> Diagnosis:
    """With the cause and the remedy that `trainable.diagnosis.remedies` has for the name."""
    return Diagnosis(name, severity, evidence, *REMEDIES[name])


def number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    return float(value) if isinstance(value, _NUMBERS) and math.isfinite(value) else None
