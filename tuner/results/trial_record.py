"""One trial as the driver knows it: configuration, epochs so far, how it ended. Light: the page of a run needs no Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from trainable import columns
from trainable.columns import about, column, computed
from trainable.config import TrialConfig, sign

FAVOURED = "favoured"
COMPLETED, PRUNED, SICK, FAILED, RUNNING, WAITING = "completed", "pruned", "sick", "failed", "running", "waiting"


Arrays = dict[str, np.ndarray] | None


class Kept(NamedTuple):
    """What all epochs of a trial came to."""

    epochs: int
    train_s: float
    diagnoses: list[str] | None


@dataclass
class TrialRecord:
    """One trial as the driver knows it: its configuration, its epochs so far, how it ended.

    What is a column here is one of the table `trials`: a field, or a property computed of the others.
    """

    number: int = field(metadata=about("number of the trial in its run, from 0", key=True, stored_as="trial"))
    config: TrialConfig
    title: str
    searched: dict[str, Any]
    """Its values of the parameters that the space varies."""
    is_default: bool = field(metadata=about("whether this is the default configuration that every run tries first"))
    state: str = column(
        "`completed`, `pruned` (stopped early), `sick` (stopped by a diagnosis) or `failed`", key=True, default=WAITING
    )
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The numbers of each epoch, by epoch."""
    best_epoch: int = 0
    """The epoch with the best objective; 0: no epoch could be ranked."""
    ranked_epoch: int = 0
    """The epoch that the trial is ranked by: the last or the best, as the run says; 0: no epoch could be ranked."""
    arrays: Arrays | Callable[[], Arrays] = None
    """What `best_arrays` gives, or how to read it back."""
    kept: Kept | None = None
    """Of a trial that is written down, and has let go of its epochs: what they came to."""
    node: str | None = column("cluster node that ran it", default=None)
    checkpoint: str | None = column("folder of its model; null if none was kept", default=None)
    error: str | None = column("the error that failed it", default=None)
    retries: int = column("how often it was started again after an error", default=0)
    epoch_scores: dict[int, np.ndarray] = field(default_factory=dict)
    """Validation scores by epoch, where the threshold is searched."""
    replay_of: int | None = column(
        "the trial whose scores answered for this one, which differs in the threshold only; or null", default=None
    )
    """It trained nothing itself."""
    repeat_of: int | None = column(
        "the trial that this one repeats with another seed, to see what seeds change; or null. It cannot win itself",
        default=None,
    )
    is_extra: bool = False
    """Beyond the trials that were asked for: a training once more at the threshold that its scores favour."""
    started_from: str | None = column(
        "run/trial of an earlier run whose parameters it was given; null if they were suggested", default=None
    )
    saved: float = 0.0
    """When its training was saved last, or started if it has not been since."""
    started: float = field(default_factory=time.time)
    """Unix time, as `ended` and `saved` are."""
    ended: float | None = None
    val_accuracy_low: float | None = column(
        "lower end of the 95 % interval of `val_accuracy`, identities resampled", "0 to 1", default=None
    )
    val_accuracy_high: float | None = column("upper end of the same interval", "0 to 1", default=None)
    val_auc_low: float | None = column(
        "lower end of the 95 % interval of `val_auc`, shared identities counted once; null in older rows",
        "0 to 1",
        default=None,
    )
    val_auc_high: float | None = column("upper end of the same interval", "0 to 1", default=None)
    win_share: float | None = column(
        "share of resamples of the validation identities in which this trial would have won; null: not among the best, or of "
        "a training that a better trial stands for",
        "0 to 1",
        default=None,
    )
    parameters: int | None = column("parameters of its model, backbone and head", default=None)
    image_ms: float | None = column(
        "time to embed an image with its model, in batches of 32; measured where a run's objectives or limits need it",
        "ms",
        default=None,
    )
    over_limits: list[str] | None = column("the run's limits that it exceeds, so that it cannot win", default=None)
    completion_order: int | None = column(
        "its place in the order in which the run's trials ended, from 0", default=None
    )

    @property
    def best_arrays(self) -> Arrays:
        """`scores` and `correct` of the epoch that the trial is ranked by, (n_val,) each; None if there is none."""
        return self.arrays() if callable(self.arrays) else self.arrays

    def let_go(self, read_back: Callable[[], Arrays]) -> None:
        """Once written down it holds the epoch that it is ranked by and its last one only, and no scores. A driver of many
        thousand trials does not grow with their epochs and pairs.

        read_back: reads its `best_arrays`.
        """
        self.kept = Kept(self.epochs_trained, self.train_s, self.diagnoses)
        self.epochs = {
            epoch: self.epochs[epoch] for epoch in self.epochs if epoch in (self.ranked_epoch, max(self.epochs))
        }
        self.arrays = read_back

    @property
    @computed(
        "where the threshold is from: `searched`, `fixed`, `solved`, or `favoured`: solved at the end of a training, which is "
        "tried once more at it; older rows call that `searched`, and their `val_accuracy` is in-sample"
    )
    def threshold_source(self) -> str:
        """Searched by the space, fixed by the configuration, solved on validation scores, or what these favour."""
        if self.is_extra:
            return FAVOURED
        if self.config.threshold is None:
            return "solved"
        return "searched" if "threshold" in self.searched else "fixed"

    @property
    @computed(
        "the epoch that the metrics above are from, by which the trial is ranked; from 1", stored_as="ranked_epoch"
    )
    def ranked_epoch_if_any(self) -> int | None:
        """None where no epoch could be ranked."""
        return self.ranked_epoch or None

    @property
    @computed("the epoch with the best `objective`, counted from 1", stored_as="best_epoch")
    def best_epoch_if_any(self) -> int | None:
        """None where no epoch could be ranked."""
        return self.best_epoch or None

    @property
    @computed("epochs trained", "epochs", stored_as="epochs")
    def epochs_trained(self) -> int:
        """How many epochs were trained, or judged anew where another trial's scores answered."""
        return len(self.epochs) if self.kept is None else self.kept.epochs

    @property
    @computed("time spent training and validating", "s")
    def train_s(self) -> float:
        """Over all epochs."""
        epochs = self.epochs.values()
        return float(sum(numbers["epoch_s"] for numbers in epochs)) if self.kept is None else self.kept.train_s

    @property
    @computed("the rest of the time between `started_at` and `ended_at`: queue, worker, data", "s")
    def wait_s(self) -> float | None:
        """None before the trial's end."""
        return None if self.ended is None else max(0.0, self.ended - self.started - self.train_s)

    @property
    @computed("when its configuration was suggested", "UTC")
    def started_at(self) -> datetime:
        """The same time as `started`."""
        return datetime.fromtimestamp(self.started, UTC)

    @property
    @computed("when the trial ended", "UTC")
    def ended_at(self) -> datetime | None:
        """The same time as `ended`."""
        return None if self.ended is None else datetime.fromtimestamp(self.ended, UTC)

    @property
    @computed("names of the sicknesses found; empty is healthy, null was never checked")
    def diagnoses(self) -> list[str] | None:
        """Over all epochs, in the order in which they came."""
        if self.kept is not None:
            return self.kept.diagnoses
        checked = [epoch["diagnoses"] for _, epoch in sorted(self.epochs.items()) if epoch.get("diagnoses") is not None]
        return list(dict.fromkeys(name for names in checked for name in names)) if checked else None

    def cells(self) -> dict[str, Any]:
        """What the record itself knows of its row in `trials`, by column."""
        return {said.stored: getattr(self, name) for name, said in columns.of(TrialRecord).items()}

    @property
    def last(self) -> dict[str, Any]:
        """The numbers of the latest epoch; empty before the first."""
        return self.epochs[max(self.epochs)] if self.epochs else {}

    @property
    def best(self) -> dict[str, Any]:
        """The numbers of the epoch that the trial is ranked by; of the latest where no epoch could be ranked."""
        return self.epochs.get(self.ranked_epoch) or self.last

    @property
    def eligible(self) -> bool:
        """Can win: it can be judged, is no repeat of another trial, and exceeds no limit."""
        return self.can_be_judged and self.repeat_of is None and not self.over_limits

    @property
    def can_be_judged(self) -> bool:
        """It has an epoch that was ranked, and did not fall sick or fail."""
        return self.ranked_epoch > 0 and self.state in (COMPLETED, PRUNED)

    @property
    def asked_for(self) -> bool:
        """One of the trials that the run was asked to try: neither beyond them nor a repeat."""
        return not self.is_extra and self.repeat_of is None


def best_of(records: list[TrialRecord], metric: str) -> TrialRecord | None:
    """The winner: the best by `value_of`; None if no trial is eligible."""
    eligible = [record for record in records if record.eligible]
    return max(eligible, key=lambda record: value_of(record, sign(metric)), default=None)


def value_of(record: TrialRecord, better: int) -> tuple[float, float, float, int]:
    """What trials are sorted by: the objective; among equal ones, as trials of one training have by AUC, validation accuracy
    at their thresholds, then AUC, then who came first. better: +1 if larger objectives are better, else -1."""
    values = record.best
    accuracy, auc = (values.get(name) for name in ("val_accuracy", "val_auc"))
    return better * values["objective"], accuracy or 0.0, auc or 0.0, -record.number


def training_of(record: TrialRecord) -> int:
    """The trial that trained what this one was judged by."""
    return record.number if record.replay_of is None else record.replay_of
