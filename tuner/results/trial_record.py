"""One trial as the driver knows it: configuration, epochs so far, how it ended. Light: the page of a run needs no Ray."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainable.config import TrialConfig, sign

COMPLETED, PRUNED, SICK, FAILED, RUNNING, WAITING = "completed", "pruned", "sick", "failed", "running", "waiting"


@dataclass
class TrialRecord:
    """One trial as the driver knows it: its configuration, its epochs so far, how it ended."""

    number: int
    config: TrialConfig
    title: str
    searched: dict[str, Any]
    is_default: bool
    state: str = WAITING
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)
    best_epoch: int = 0
    best_arrays: dict[str, np.ndarray] | None = None
    node: str | None = None
    checkpoint: str | None = None
    error: str | None = None
    retries: int = 0
    epoch_scores: dict[int, np.ndarray] = field(default_factory=dict)
    """Validation scores by epoch, where the threshold is searched."""
    replay_of: int | None = None
    """The trial whose scores answered for this one, which differs from it in the threshold only and trained nothing."""
    is_extra: bool = False
    """Beyond the trials that were asked for: a training once more at the threshold that its scores favour."""
    started_from: str | None = None
    """RUN/TRIAL of an earlier run that did well with its parameters; they were not suggested by the sampler."""
    saved: float = 0.0
    """When its training was saved last, or started if it has not been since."""
    started: float = field(default_factory=time.time)
    ended: float | None = None

    @property
    def last(self) -> dict[str, Any]:
        """The numbers of the latest epoch; empty before the first."""
        return self.epochs[max(self.epochs)] if self.epochs else {}

    @property
    def best(self) -> dict[str, Any]:
        """The numbers of the best epoch; of the latest where no epoch could be ranked."""
        return self.epochs.get(self.best_epoch) or self.last

    @property
    def diagnoses(self) -> list[str] | None:
        """Names of all sicknesses found so far, as they came; None when no epoch was checked."""
        checked = [epoch["diagnoses"] for _, epoch in sorted(self.epochs.items()) if epoch.get("diagnoses") is not None]
        return list(dict.fromkeys(name for names in checked for name in names)) if checked else None

    @property
    def eligible(self) -> bool:
        """Can win: it has an epoch that was ranked, and did not fall sick or fail."""
        return self.best_epoch > 0 and self.state in (COMPLETED, PRUNED)


def best_of(records: list[TrialRecord], metric: str) -> TrialRecord | None:
    """The winner: the best objective at its best epoch, the earlier trial among equals; None if no trial is eligible."""
    better = sign(metric)
    eligible = [record for record in records if record.eligible]
    return max(eligible, key=lambda r: (better * r.best["objective"], -r.number), default=None)
