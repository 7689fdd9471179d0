"""What the embeddings of a log look like: their spread in either convention, their cosines, and a consistency of nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainable.diagnosis.history import FAIL, WARN
from trainable.diagnosis.trends import trend
from tuner.examination.judged_loss import Loss
from tuner.examination.log_columns import TrainingLog
from tuner.examination.log_verdicts import CERTAIN, LIKELY, NEARLY, Verdict, verdict
from tuner.examination.loss_kinds import COSINE

_SAME = 0.99
_LEAST = 1 / 128
"""1/sqrt(d) for 16,384 dimensions: no embedding that is spread evenly has less, in either convention."""
_LOST = 0.15
"""Share of its own largest spread that is left of one that collapsed."""


def judge_spread(log: TrainingLog, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    """Collapse as embeddings show it."""
    yield from _low_std(log, loss, well)
    yield from _strangers_alike(log, loss, well)
    yield from _everywhere_similar(log, loss, well)
    yield from _crowded(log, loss, well)
    yield from _consistency(log, loss, well)
    yield from _dimensions_lost(log, well)


def _low_std(log: TrainingLog, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    """Spread of 1, or of 1/sqrt(d), is even; what is lost of its own largest is lost in either convention."""
    values = log.values("feature_std")
    course = trend(values)
    if course is None or well or len(values) < 2:
        return
    told = f"spread {course.end:.3g}; even is 1, or 1/sqrt(dimensions)"
    if course.end < _LEAST:
        yield verdict("low-feature-std", FAIL, f"{told}, as small for no number of them", CERTAIN)
        yield verdict("total-collapse", FAIL, f"{log.columns['feature_std']} {course.end:.3g}: the embeddings are the same",
                      NEARLY, "--column mean_cosine=…")  # fmt: skip
    elif course.sank and course.end < _LOST * course.high:
        told += f"; it was {course.high:.3g}"
        yield verdict("low-feature-std", FAIL, told, NEARLY, "--column mean_cosine=…")
        yield verdict("total-collapse", FAIL, f"{log.columns['feature_std']} fell {course.high:.3g} → {course.end:.3g}",
                      NEARLY, "--column mean_cosine=…")  # fmt: skip
    elif course.sank and course.end < 0.5 * course.high and course.high > 0.2 and not (loss and loss.learns):
        yield verdict("low-feature-std", WARN, f"{told}; it was {course.high:.3g}", LIKELY, "--column val_auc=…")


def _strangers_alike(log: TrainingLog, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    """Embeddings of different identities point the same way."""
    name = next((name for name in ("mean_cosine", "negative_similarity") if name in log.columns), None)
    course = trend(log.values(name)) if name else None
    if name is None or course is None or well or len(log.values(name)) < 2:
        return
    learns = loss is not None and loss.learns
    told = f"{log.columns[name]} {course.end:.4f}: cosine of different things, healthy is near 0"
    positive = log.last("positive_similarity")
    apart = positive is not None and positive - course.end > 0.05
    falling = course.high - course.end > max(course.error, 0.02) and course.high_at < 0.7
    if course.end > _SAME:
        severity = WARN if learns else FAIL
        yield verdict(
            "total-collapse", severity, told, LIKELY if learns else CERTAIN, "--column val_auc=…" if learns else ""
        )
    elif course.end > 0.75 and not learns and not falling and not apart:
        yield verdict("total-collapse", WARN, told, LIKELY, "--column val_auc=…")
    elif course.end > 0.9 and course.end - course.low > 0.5 and not apart:
        yield verdict("total-collapse", FAIL, f"{told}; it was {course.low:.2f}", NEARLY, "--column val_auc=…")


def _everywhere_similar(log: TrainingLog, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    """A similarity of 1 of which nobody says whether it is of positive pairs only, beside nothing that is well."""
    course = trend(log.values("similarity"))
    if course is None or course.end < _SAME or well or (loss is not None and loss.learns and course.start < _SAME):
        return
    if loss is not None and loss.learns and loss.kind != COSINE and loss.course.low >= 0:
        return
    spread = log.last("feature_std")
    if spread is not None and spread >= 0.3:
        return
    told = f"{log.columns['similarity']} {course.end:.4f}, and nothing beside it says that strangers are apart"
    yield verdict("total-collapse", FAIL, told, NEARLY, "--column negative_similarity=… (or positive_similarity=…)")


def _crowded(log: TrainingLog, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    """The embeddings crowd in a part of the sphere."""
    values = log.values("uniformity")
    course = trend(values)
    if course is None or well or len(values) < 2 or course.end < -1:
        return
    learns = loss is not None and loss.learns
    spreading = course.high - course.end > max(course.error, 0.05)
    if course.end > -0.1 and not learns:
        yield verdict("low-uniformity", FAIL, f"uniformity {course.end:.3f}, about -3.9 when even", CERTAIN)
        yield verdict(
            "total-collapse", FAIL, f"{log.columns['uniformity']} {course.end:.3f}: all are at one place", NEARLY
        )
    elif not learns and not spreading:
        told = f"uniformity {course.end:.3f}, about -3.9 when even"
        yield verdict("low-uniformity", WARN, told, LIKELY, "--column val_auc=…")


def _consistency(log: TrainingLog, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    """A consistency loss of 0 together with a constant embedding, or with a spread that nobody measured."""
    values = log.values("consistency_loss")
    spread = log.last("feature_std")
    if not len(values) or well or (loss is not None and loss.learns and loss.course.low >= 0):
        return
    late = values[len(values) // 2 :]
    if float(np.abs(late).max()) > 1e-6 or (spread is not None and spread >= 0.1):
        return
    beside = "no measure of spread beside it" if spread is None else f"spread of the embeddings {spread:.3f}"
    told = f"consistency loss {late[-1]:.2g}, {beside}"
    yield verdict("consistency-without-spread", FAIL, told, NEARLY, "--column feature_std=…" if spread is None else "")


def _dimensions_lost(log: TrainingLog, well: bool) -> Iterator[Verdict]:
    """The embeddings use a small part of the dimensions that they once used, and few of them."""
    course = trend(log.values("rank_raw"))
    if course is None or well or len(log.values("rank_raw")) < 4 or not course.sank:
        return
    limit = log.last("rank_limit")
    few = course.end < (0.1 * limit if limit else 4)
    if few and course.end < _LOST * course.high:
        told = f"{log.columns['rank_raw']} fell {course.high:.1f} → {course.end:.1f}" + (f", of {limit:.0f}" if limit else "")
        yield verdict("dimensional-collapse", WARN, told, LIKELY, "--column val_auc=…")
