"""What is wrong with the loss of a log: judged by its own course, after its kind, in whatever scale it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainable.diagnosis.history import FAIL, WARN
from trainable.diagnosis.trends import Trend, trend
from tuner.examination.log_columns import TrainingLog
from tuner.examination.log_verdicts import CERTAIN, LIKELY, NEARLY, Verdict, verdict
from tuner.examination.loss_kinds import (
    COSINE,
    INFONCE,
    SIGMOID,
    TRIPLET,
    UNBOUNDED,
    UNKNOWN,
    Chance,
    Known,
    chances,
    kind_of,
    likely_chance,
    loss_column,
    margins,
    nearest_chance,
    rarer_chances,
)

_FLAT = 5e-3
"""Change of the loss over a stretch of the log, relative to it, up to which it is flat."""
_EXACTLY = 2e-3
"""Relative distance within which a flat loss is taken for a formula's value."""
_SHARP = 0.3
"""Up to this temperature only nearly equal scores have exactly the loss of equal ones."""
_FELL = 0.02
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
        return self.course.fell > _FELL * abs(self.course.start)

    @property
    def chance(self) -> float:
        """What it is at chance, as far as one can tell: where it began, or the formula that this is near."""
        start = self.course.start
        if self.known.batch_size is None or self.kind not in (INFONCE, UNKNOWN):
            return start
        near = [c.value for c in chances(self.known) if abs(start - c.value) < 0.15 * c.value]
        return min(near, key=lambda value: abs(start - value), default=start)


def judge_loss(loss: Loss) -> Iterator[Verdict]:
    """Everything that is wrong with it, by its kind."""
    if loss.kind == COSINE:
        yield from _cosine(loss)
    elif loss.course.low < 0 and loss.course.end < 0:
        yield from _negative(loss)
    else:
        stuck = list(_at_margin(loss) if loss.kind == TRIPLET else _at_chance(loss))
        yield from stuck or ([] if loss.well else list(_came_back(loss))) or _rising(loss)


def _cosine(loss: Loss) -> Iterator[Verdict]:
    """-1 at once, where no spread says otherwise, is what a constant encoder has."""
    spread = loss.log.last("feature_std")
    early = loss.values[: max(2, len(loss.values) // 5)]
    perfect = loss.course.end <= -0.98 * max(1.0, round(-loss.course.low))
    if spread is None and not loss.well and perfect and early.min() <= -0.97 and len(loss.values) >= 3:
        evidence = (
            f"{loss.column} {loss.course.end:.4f}, a negative cosine that was perfect at once: two views of a constant"
        )
        yield verdict("total-collapse", WARN, evidence, LIKELY, "--column feature_std=…")


def _negative(loss: Loss) -> Iterator[Verdict]:
    """InfoNCE is a cross-entropy, never below 0; the broken formula is minus a cosine over the temperature."""
    end, temperature = loss.course.end, loss.known.temperature
    if loss.kind == UNBOUNDED or (loss.kind == UNKNOWN and loss.well):
        return
    evidence = f"contrastive loss {end:.4g}, InfoNCE is at least 0"
    if temperature and abs(end + 1 / temperature) <= 0.05 / temperature:
        within = f"{100 * abs(-end * temperature - 1):.1f} % from -1/temperature = {-1 / temperature:.4g}"
        yield verdict("broken-contrastive-formula", FAIL, f"{evidence}; it is {within}", CERTAIN)
    elif temperature:
        yield verdict(
            "negative-contrastive-loss", FAIL, f"{evidence}; -1/temperature is {-1 / temperature:.4g}", CERTAIN
        )
    else:
        evidence += f"; it is -1/temperature where that is {-1 / end:.3g}"
        sure = CERTAIN if loss.kind == INFONCE else NEARLY
        yield verdict("negative-contrastive-loss", FAIL, evidence, sure, "--temperature")


def _at_margin(loss: Loss) -> Iterator[Verdict]:
    """A triplet loss of exactly its margin: all distances are equal, as all embeddings are."""
    if not _flat_late(loss) or loss.well:
        return
    end = float(np.median(loss.values[len(loss.values) // 2 :]))
    same = (loss.log.last("similarity") or 0) >= 0.99
    matched = nearest_chance(end, margins(loss.log), _tolerance(loss))
    if matched is None and not same and loss.moved:
        return
    level = f"{loss.column} {end:.4g}, flat since the middle of the log"
    if matched or same:
        what = f": {matched.formula}, which is its value when all distances are equal" if matched else ""
        beside = f"; similarity {loss.log.last('similarity'):.4f}" if same else ""
        sure = CERTAIN if same else NEARLY
        yield verdict("total-collapse", FAIL, level + what + beside, sure, "" if same else "--column feature_std=…")
    else:
        yield verdict("stuck-at-chance", WARN, f"{level}, and it never fell", LIKELY, "--column feature_std=…")


def _at_chance(loss: Loss) -> Iterator[Verdict]:
    """A loss at what equal scores have: all along, or at the end."""
    whole = not loss.moved and loss.course.climbed <= _FELL * abs(loss.course.start)
    if len(loss.values) < 2 or loss.well:
        return
    if whole:
        yield from _never_fell(loss)
    elif _flat_late(loss):
        yield from _arrived(loss)


def _never_fell(loss: Loss) -> Iterator[Verdict]:
    level = float(np.median(loss.values))
    quiet = loss.course.noise <= _FLAT * abs(level)
    formulas = [*chances(loss.known), *(rarer_chances(loss.known) if quiet else ())]
    if loss.kind == SIGMOID:
        formulas = [Chance(math.log(2), "ln 2", "a cell of a sigmoid loss")]
    matched = nearest_chance(level, formulas, _tolerance(loss))
    told = f"contrastive loss {loss.course.end:.4f}, flat since the beginning of the log"
    if matched and (loss.known.batch_size or loss.kind == SIGMOID):
        yield verdict("stuck-at-chance", FAIL, f"{told}: chance, {matched}", NEARLY)
        yield from _equal_scores(loss, matched, quiet)
    elif loss.known.batch_size is None and (likely := likely_chance(level, _tolerance(loss))):
        size, chance = likely
        evidence = f"{told}: chance, {chance}, if a batch has {size} pairs"
        yield verdict("stuck-at-chance", WARN, evidence, LIKELY, "--batch-size")
    elif len(loss.values) < 5 or loss.course.fell > _FLAT * abs(level):
        return
    elif level >= _least_chance(loss) or _still(loss, level):
        yield verdict("stuck-at-chance", WARN, f"{told}; it never fell", LIKELY, "--column val_auc=…")


def _still(loss: Loss, level: float) -> bool:
    """Whether it is the same in every batch, which no loss of a model that sees its data is."""
    return len(loss.values) >= 8 and level > 0.5 and loss.course.noise < 5e-4 * level


def _least_chance(loss: Loss) -> float:
    """Below this a flat loss is rather one that has learnt before the log begins."""
    size = loss.known.batch_size
    return 0.9 * math.log(size) if size else math.log(8)


def _arrived(loss: Loss) -> Iterator[Verdict]:
    """Flat in the second half: at a formula's value, reached from above or, after it had fallen, from below."""
    level = float(np.median(loss.values[len(loss.values) // 2 :]))
    from_below = loss.course.low < 0.9 * level
    matched = nearest_chance(level, chances(loss.known), _tolerance(loss)) if loss.known.batch_size else None
    back = from_below and abs(level - loss.course.start) <= 0.1 * abs(loss.course.start)
    if matched and (from_below or level >= 0.8 * loss.course.start or matched.formula.startswith("ln")):
        told = f"contrastive loss {loss.course.end:.4f}, flat since the middle of the log: chance, {matched}"
        yield verdict("stuck-at-chance", FAIL, told, NEARLY)
        yield from _equal_scores(loss, matched, quiet=True)
    elif back:
        yield from _late(loss, level)


def _came_back(loss: Loss) -> Iterator[Verdict]:
    """It had fallen, jumped up to about where it began, and stands still there to the end: collapse that came late."""
    values, start = loss.values, max(loss.course.start, float(loss.values[0]))
    for width in range(len(values) - 2, 1, -1):
        late, before = values[-width:], float(values[-width - min(width, 3) : -width].mean())
        level = float(late.mean())
        if late.max() - late.min() > 0.01 * abs(level):
            continue
        formulas = margins(loss.log) if loss.kind == TRIPLET else chances(loss.known)
        matched = nearest_chance(level, formulas, max(_tolerance(loss), 0.005))
        jumped = level - before > max(0.08 * abs(level), 6 * loss.course.noise)
        if jumped and before < 0.95 * start and (matched or 0.7 * start <= level <= 1.1 * start):
            yield from _late(loss, level, matched)
        return


def _late(loss: Loss, level: float, matched: Chance | None = None) -> Iterator[Verdict]:
    where = f"chance, {matched}" if matched else f"about where it began, {loss.course.start:.4g}"
    evidence = f"{loss.column} had fallen to {loss.course.low:.4g} and stands at {level:.4g} to the end: {where}"
    yield verdict("total-collapse", FAIL, evidence, NEARLY, "--column feature_std=…")


def _equal_scores(loss: Loss, matched: Chance, quiet: bool) -> Iterator[Verdict]:
    temperature = loss.known.temperature
    if quiet and (temperature is None or temperature <= _SHARP):
        at = "at any temperature in use" if temperature is None else f"at temperature {temperature:g}"
        evidence = (
            f"{at} the loss is exactly {matched.formula} only if all scores are equal: every embedding is the same"
        )
        evidence += f" ({matched.meaning})" if matched.meaning else ""
        yield verdict("total-collapse", FAIL, evidence, NEARLY, "--column feature_std=…")


def _rising(loss: Loss) -> Iterator[Verdict]:
    """It gets worse: explodes, drifts, or is a bound whose sign is turned."""
    course, values = loss.course, loss.values
    if len(values) < 4 or loss.well or not course.rose_again or _recovering(values, course):
        return
    rise, fall = course.end - course.low, course.start - course.low
    told = f"contrastive loss {course.start:.4g} at first, {course.low:.4g} at its lowest, {course.end:.4g} at the end"
    temperature = loss.known.temperature
    if (
        temperature
        and fall < 0.1 * rise
        and abs(course.end * temperature - 1) <= 0.05
        and loss.kind in (INFONCE, UNKNOWN)
    ):
        evidence = f"{told}: it rises to 1/temperature = {1 / temperature:.4g}, the bound of similarity/temperature"
        yield verdict("broken-contrastive-formula", FAIL, f"{evidence} with its sign turned", NEARLY)
    elif rise < max(0.03 * abs(course.start), 0.2 * fall):
        return
    elif (course.end > 1.15 * course.start and fall > 0.1 * abs(course.start)) or _explodes(loss):
        yield verdict("diverging", FAIL, told, CERTAIN)
    elif fall < 0.1 * rise:
        evidence = f"{told}: it gets worse from the beginning on, or is a bound whose sign is turned"
        clear = rise >= 0.1 * abs(course.start) or rise > 3 * course.error
        yield verdict("loss-rising", FAIL if clear else WARN, f"{evidence} (1/temperature, where that is {1 / course.end:.3g})",
                      NEARLY if clear else LIKELY, "" if temperature else "--temperature")  # fmt: skip
    else:
        severity = FAIL if rise >= 0.4 * fall else WARN
        sure = NEARLY if severity == FAIL else LIKELY
        yield verdict(
            "loss-rising", severity, f"{told}: it drifts away from what it reached", sure, "--column val_auc=…"
        )


def _explodes(loss: Loss) -> bool:
    """Far above all that equal scores cost."""
    size = loss.known.batch_size
    bound = max(1.15 * loss.course.start, math.log(size) if size else 0.0)
    return loss.course.end > bound and loss.course.end > 3 * max(loss.course.start, 1e-9)


def _recovering(values: np.ndarray, course: Trend) -> bool:
    """Whether the loss has its worst behind it and falls again, as after a spike, or while a queue fills."""
    quarter, peak = max(1, len(values) // 4), course.high - course.low
    falls = values[-2 * quarter : -quarter].mean() - values[-quarter:].mean()
    return bool(falls > max(course.error / 2, 0.03 * peak) and course.end < course.high - 0.1 * peak)


def _flat_late(loss: Loss) -> bool:
    """Whether it stands still over the second half, but for a few rows."""
    late = loss.values[len(loss.values) // 2 :]
    if len(loss.values) < 2:
        return False
    low, high = np.percentile(late, [5, 95]) if len(late) >= 20 else (late.min(), late.max())
    return bool(high - low <= _FLAT * abs(float(np.median(late))))


def _tolerance(loss: Loss) -> float:
    """Relative distance up to which a level is a formula's value: its own standard error, or a fifth of a percent."""
    count = max(1, len(loss.values) // 2)
    return max(_EXACTLY, 3 * loss.course.noise / math.sqrt(count) / max(abs(loss.course.end), 1e-12))
