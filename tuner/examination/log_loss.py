"""What is wrong with the loss of a log: judged by its own course, after its kind, in whatever scale it is."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from trainable.diagnosis.history import FAIL, WARN
from trainable.diagnosis.trends import Trend
from tuner.examination.judged_loss import Loss
from tuner.examination.log_columns import TrainingLog
from tuner.examination.log_verdicts import CERTAIN, LIKELY, NEARLY, Verdict, verdict
from tuner.examination.loss_kinds import COSINE, INFONCE, TRIPLET, UNBOUNDED, UNKNOWN
from tuner.examination.stuck_loss import at_chance, at_margin, came_back


def judge_loss(loss: Loss) -> Iterator[Verdict]:
    """Everything that is wrong with it, by its kind."""
    if loss.kind == COSINE:
        yield from _cosine(loss)
    elif loss.course.low < 0 and loss.course.end < 0:
        yield from _negative(loss)
    else:
        stuck = list(at_margin(loss) if loss.kind == TRIPLET else at_chance(loss))
        yield from stuck or ([] if loss.well else list(came_back(loss))) or _rising(loss)


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


def _rising(loss: Loss) -> Iterator[Verdict]:
    """It gets worse: explodes, drifts, or is a bound whose sign is turned."""
    course, values = loss.course, loss.values
    if len(values) < 4 or loss.well or not course.rose_again or _recovering(values, course) or is_range_test(loss.log):
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


def is_range_test(log: TrainingLog) -> bool:
    """Whether the learning rate grows in equal factors over the whole log, as in a search for the rate at which it breaks."""
    rates = log.values("learning_rate")
    if len(rates) < 10 or rates.min() <= 0 or rates[-1] < 1e3 * rates[0]:
        return False
    steps = np.diff(np.log(rates))
    return bool(np.all(steps > 0) and steps.max() < 2 * steps.min())


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
