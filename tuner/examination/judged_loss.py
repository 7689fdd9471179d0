"""The loss of a log that is judged: its numbers, its kind, and whether it learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainable.diagnosis.trends import Trend, trend
from tuner.examination.log_columns import TrainingLog
from tuner.examination.loss_kinds import INFONCE, UNKNOWN, Known, chances, kind_of, loss_column

FELL = 0.02
"""Share of where it began by which a loss that learns falls at least."""


@dataclass(frozen=True)
class Loss:
    """The loss to be judged, with all that is known about it."""

    log: TrainingLog
    known: Known
    values: np.ndarray
    course: Trend
    kind: str
    why: str
    """Why it is taken for this kind; empty where it is not."""
    column: str
    well: bool
    """Whether held-out pairs are told apart ever better, whatever the loss says."""

    @classmethod
    def of(cls, log: TrainingLog, known: Known, well: bool) -> Loss | None:
        """The log's loss; None if it has none."""
        name = loss_column(log)
        values = log.values(name) if name else np.array([])
        course = trend(values)
        if name is None or course is None:
            return None
        kind, why = kind_of(log, course, known)
        return cls(log, known, values, course, kind, why, log.columns[name], well)

    @property
    def learns(self) -> bool:
        """Whether it has fallen well below where it began, and stayed there."""
        scale = max(abs(self.course.start), 1e-12)
        return self.course.fell > 0.1 * scale and self.course.rose_again < 0.5 * (self.course.start - self.course.low)

    @property
    def moved(self) -> bool:
        """Whether it ever fell by more than noise and a few percent."""
        return self.course.fell > FELL * abs(self.course.start)

    @property
    def chance(self) -> float:
        """What it is at chance, as far as one can tell: where it began, or the formula that this is near."""
        start = self.course.start
        if self.known.batch_size is None or self.kind not in (INFONCE, UNKNOWN):
            return start
        near = [c.value for c in chances(self.known) if abs(start - c.value) < 0.15 * c.value]
        return min(near, key=lambda value: abs(start - value), default=start)
