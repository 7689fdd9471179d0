"""A loss that stands where equal scores put it: from the beginning on, or since a collapse that came late."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from trainable.diagnosis.history import FAIL, WARN
from tuner.examination.judged_loss import FELL, Loss
from tuner.examination.log_verdicts import CERTAIN, LIKELY, NEARLY, Verdict, verdict
from tuner.examination.loss_kinds import (
    INFONCE,
    SIGMOID,
    TRIPLET,
    UNKNOWN,
    Chance,
    Known,
    chances,
    likely_chance,
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
_JUMPY = 0.05
"""Noise from row to row, relative to the loss, from which on it is flat in no sense."""


def at_margin(loss: Loss) -> Iterator[Verdict]:
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


def at_chance(loss: Loss) -> Iterator[Verdict]:
    """A loss at what equal scores have: all along, or at the end."""
    whole = not loss.moved and loss.course.climbed <= FELL * abs(loss.course.start)
    if len(loss.values) < 2 or loss.well:
        return
    if whole:
        yield from _never_fell(loss)
    elif _flat_late(loss):
        yield from _arrived(loss)


def _never_fell(loss: Loss) -> Iterator[Verdict]:
    level = float(np.median(loss.values))
    if loss.course.noise > _JUMPY * abs(level):
        yield from _jumping(loss, level)
        return
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


def _jumping(loss: Loss, level: float) -> Iterator[Verdict]:
    """So much noise that no level can be told from another; what can be told is that it lies above chance all along."""
    size = loss.known.batch_size
    if size and len(loss.values) >= 8 and loss.kind in (INFONCE, UNKNOWN):
        most = max(chance.value for chance in _means(loss.known))
        low = float(np.percentile(loss.values, 10))
        if low > 1.05 * most:
            told = f"contrastive loss {level:.4g} in the middle, jumping by {loss.course.noise:.2g}, in nine of ten rows above"
            yield verdict("loss-above-chance", WARN, f"{told} chance, {most:.4g} at most", LIKELY, "--column val_auc=…")


def _means(known: Known) -> list[Chance]:
    """Formulas of losses that are means over the batch, and of one direction."""
    return [chance for chance in chances(known) if not re.search("sum|directions", chance.meaning)]


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


def came_back(loss: Loss) -> Iterator[Verdict]:
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
