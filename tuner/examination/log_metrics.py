"""What is wrong with the metrics of a log: nothing is told apart, what is counted is no such thing, or it gets worse."""

from __future__ import annotations

from collections.abc import Iterator

from trainable.diagnosis.history import FAIL, WARN
from trainable.diagnosis.trends import Trend, Worsened, trend, worsened
from tuner.examination.judged_loss import Loss
from tuner.examination.log_columns import TrainingLog
from tuner.examination.log_verdicts import CERTAIN, LIKELY, NEARLY, Verdict, verdict
from tuner.examination.loss_kinds import INFONCE

_A_COIN = 0.05
"""Up to so far from 0.5 an AUC, or an accuracy on two classes, is that of a coin."""
_DECENT = 0.65
_WORSE, _MUCH_WORSE = 0.03, 0.05
_LOSS_WORSE, _LOSS_MUCH_WORSE = 0.08, 0.2
"""Rise of the validation loss over its lowest, relative to it."""


def tells_apart(log: TrainingLog) -> bool:
    """Whether some held-out metric is decent at the end and no worse than it was, whatever the losses look like."""
    for name in ("val_auc", "val_accuracy"):
        course = trend(log.values(name))
        if course and course.end >= _DECENT and not (course.sank > _WORSE):
            return True
    among_many = [trend(log.values(name)) for name in ("retrieval_accuracy", "class_accuracy")]
    return any(course and course.climbed > 0.05 and course.sank < 0.3 * course.climbed for course in among_many)


def judge_metrics(log: TrainingLog, loss: Loss | None) -> Iterator[Verdict]:
    """Everything that the metrics say by themselves, or beside the loss."""
    yield from _no_separation(log, loss)
    yield from _no_such_accuracy(log, loss)
    yield from _overfit(log, loss)


def _no_separation(log: TrainingLog, loss: Loss | None) -> Iterator[Verdict]:
    """Held-out pairs are told apart no better than by a coin, although there was time to learn."""
    auc = trend(log.values("val_auc"))
    count = len(log.values("val_auc"))
    if auc and count >= 2 and auc.end < 0.4 and auc.high < 0.5:
        told = f"validation AUC {auc.end:.3f}, a coin has 0.5: negative pairs score higher than positive ones"
        yield verdict("inverted-separation", FAIL, told, CERTAIN if auc.end < 0.3 else NEARLY)
        return
    learns = loss is not None and loss.learns
    if auc and count >= (5 if learns else 8) and auc.end < 0.5 + _A_COIN and not _coming(auc):
        severity = FAIL if learns or count >= 10 else WARN
        told = f"validation AUC {auc.end:.3f} at the end, a coin has 0.5{_beside(loss)}"
        yield verdict("no-separation", severity, told, CERTAIN if severity == FAIL else LIKELY, _more_rows(severity))
        return
    for name in ("val_accuracy", "accuracy"):
        values = log.values(name)
        course = trend(values)
        if auc or course is None or len(values) < 4 or abs(course.end - 0.5) > _A_COIN:
            continue
        steady = (
            abs(course.high - 0.5) <= _A_COIN + course.error / 2 and abs(course.low - 0.5) <= _A_COIN + course.error / 2
        )
        if not steady or len(values) < (5 if learns else 10) or _coming(course):
            continue
        severity = FAIL if learns and name == "val_accuracy" else WARN
        told = f"{log.columns[name]} is {course.end:.3f} in all of {len(values)} rows, a coin's on two classes{_beside(loss)}"
        yield verdict("no-separation", severity, told, NEARLY if severity == FAIL else LIKELY, "--column val_auc=…")
        return


def _beside(loss: Loss | None) -> str:
    if loss is None or not loss.moved:
        return ""
    return f"; the training loss has fallen to {loss.course.end:.3g} all the same: labels at random, or nothing carries over"


def _more_rows(severity: str) -> str:
    return "" if severity == FAIL else "a longer log"


def _coming(course: Trend) -> bool:
    """Whether it has risen to what it is at the end: a run that is young."""
    return course.climbed > 0.02 and course.high_at > 0.8


def _no_such_accuracy(log: TrainingLog, loss: Loss | None) -> Iterator[Verdict]:
    """Two classes, and fewer right than guessing gives: what was counted is not whether pairs are told right."""
    for name in ("val_accuracy", "accuracy", "train_accuracy", "retrieval_accuracy"):
        values = log.values(name)
        course = trend(values)
        auc = log.last("val_auc")
        below = 0.25 if auc is None or auc < _DECENT else 0.45
        if course is None or course.end >= (0.25 if name == "retrieval_accuracy" else below):
            continue
        if len(values) < 2 or _counts_in_batch(course, name, log, loss):
            continue
        what = "of retrieval in a batch" if name == "retrieval_accuracy" else "on two classes"
        told = f"accuracy {course.end:.4f} {what}" + ("" if auc is None else f", AUC {auc:.3f}")
        if loss and loss.moved:
            told += f", while the loss has fallen from {loss.course.start:.3g} to {loss.course.end:.3g}"
        yield verdict(
            "accuracy-contradicts-scores", FAIL, told, NEARLY, "" if auc is not None else "--column val_auc=…"
        )
        return


def _counts_in_batch(course: Trend, name: str, log: TrainingLog, loss: Loss | None) -> bool:
    """Whether it may well be how often the own pair comes first in its batch, or a class of many: it rises as the loss
    falls, above chance, and fits the loss."""
    size = loss.known.batch_size if loss else None
    if name == "retrieval_accuracy":
        return size is None or loss is None or not loss.learns or course.high > 1.5 / size + course.error
    # A pair with more than half of the probability comes first: fewer than loss/ln 2 of them can fail to.
    if loss and loss.kind == INFONCE and name == "accuracy" and 0 <= loss.course.end < 0.4 and course.end < 0.25:
        return False
    rises = course.end > course.start + course.error and course.end > 3 * course.start
    return rises and not (loss and size and loss.learns and course.end <= 1.5 / size)


def _overfit(log: TrainingLog, loss: Loss | None) -> Iterator[Verdict]:
    """Held-out numbers get worse while the training loss falls on, over however many rows."""
    if loss is not None and loss.column == log.columns.get("val_loss"):
        return
    for name, label in (("val_auc", "AUC"), ("val_accuracy", "accuracy")):
        values = log.values(name)
        course = trend(values)
        if course is None or len(values) < 4 or course.sank < _WORSE or course.high < 0.5 + _A_COIN:
            continue
        told = f"validation {label} {course.high:.3f} → {course.end:.3f}"
        if loss is None:
            told += "; the log has no training loss beside it"
            yield verdict("overfit", WARN, told, LIKELY, "--column contrastive_loss=…")
            return
        worse = worsened(values, loss.values)
        if worse and (
            worse.drop >= _MUCH_WORSE or (worse.loss_now < worse.loss_then and worse.drop > 1.5 * course.error)
        ):
            severe = worse.drop >= _MUCH_WORSE
            yield verdict("overfit", FAIL if severe else WARN, f"{told}, {_meanwhile(worse)}", CERTAIN if severe else LIKELY,
                          "" if severe else "a longer log")  # fmt: skip
            return
    if loss is not None and not tells_apart(log):
        yield from _overfit_by_loss(log, loss)


def _overfit_by_loss(log: TrainingLog, loss: Loss) -> Iterator[Verdict]:
    values = log.values("val_loss")
    course, worse = trend(values), worsened(-values, loss.values)
    if course is None or worse is None or not loss.moved:
        return
    rise = worse.drop / max(abs(course.low), 0.05 * abs(course.start), 1e-9)
    if rise < _LOSS_WORSE or worse.drop < 0.1 * course.fell:
        return
    told = f"validation loss {course.low:.4g} → {course.end:.4g}, {_meanwhile(worse)}"
    severe = rise >= _LOSS_MUCH_WORSE
    yield verdict("overfit", FAIL if severe else WARN, told, NEARLY if severe else LIKELY, "--column val_auc=…")


def _meanwhile(worse: Worsened) -> str:
    return f"while the training loss went {worse.loss_then:.3g} → {worse.loss_now:.3g}"
