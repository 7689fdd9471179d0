"""What is wrong with a run that this system did not make, and what cannot be told from its log."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

from trainable.config import TrialConfig
from trainable.diagnosis.collapse import dimensional_collapse, precision_artefact
from trainable.diagnosis.history import FAIL as FATAL
from trainable.diagnosis.history import TrialHistory
from trainable.diagnosis.loss import temperature_too_high, temperature_too_low
from trainable.diagnosis.separation import negatives_pulled_together
from trainable.diagnosis.updates import (
    frozen_part_moved,
    no_gradient,
    trained_part_did_not_move,
    update_too_large,
    update_too_small,
)
from trainable.findings import OK, Finding
from tuner.examination.judged_loss import Loss
from tuner.examination.log_columns import TrainingLog, split_of
from tuner.examination.log_loss import is_range_test, judge_loss
from tuner.examination.log_metrics import judge_metrics, tells_apart
from tuner.examination.log_spread import judge_spread
from tuner.examination.log_verdicts import CERTAIN, LIKELY, NEARLY, Verdict, verdict
from tuner.examination.loss_kinds import COSINE, INFONCE, UNKNOWN, Known

_OF_TRIALS = (
    frozen_part_moved, no_gradient, trained_part_did_not_move, update_too_large, update_too_small,
    negatives_pulled_together, dimensional_collapse, precision_artefact,
)  # fmt: skip
"""Detectors of trials whose numbers a stranger's log has only if it is written as trials write theirs."""
_ORDER = (
    "not-finite", "frozen-part-moved", "no-gradient", "trained-part-did-not-move", "broken-contrastive-formula",
    "negative-contrastive-loss", "update-too-large", "total-collapse", "stuck-at-chance", "diverging", "loss-rising",
    "inverted-separation", "no-separation", "overfit",
)  # fmt: skip


def explain(log: TrainingLog, known: Known) -> list[Finding]:
    """Every symptom of one run, what is fatal first; one `ok` where there is none."""
    well = tells_apart(log)
    loss = Loss.of(log, known, well)
    found: dict[str, Verdict] = {}
    for one in _every(log, known, loss, well):
        before = found.get(one.symptom.name)
        if before is None or (one.fatal and not before.fatal):
            found[one.symptom.name] = one
    names = [*_ORDER, *found]
    ordered = sorted(found.values(), key=lambda one: (not one.fatal, names.index(one.symptom.name)))
    return [one.finding() for one in ordered] or [_nothing(log)]


def _every(log: TrainingLog, known: Known, loss: Loss | None, well: bool) -> Iterator[Verdict]:
    if log.not_finite:
        yield verdict("not-finite", FATAL, "; ".join(log.not_finite), CERTAIN)
    gradients = log.values("grad_norm")
    if len(gradients) >= 2 and not gradients[len(gradients) // 2 :].any():
        told = f"{log.columns['grad_norm']} is 0 in the last {len(gradients) - len(gradients) // 2} rows"
        yield verdict("no-gradient", FATAL, told, CERTAIN)
    if loss:
        yield from judge_loss(loss)
    yield from judge_spread(log, loss, well)
    yield from judge_metrics(log, loss)
    yield from _by_detectors(log, known, loss)


def _by_detectors(log: TrainingLog, known: Known, loss: Loss | None) -> Iterator[Verdict]:
    """The detectors of trials, without those whose answer would rest on a temperature that nobody gave."""
    config = TrialConfig(temperature=known.temperature or 0.07, warmup_epochs=1.0 if len(log.epochs) > 2 else 0.0)
    rates = log.values("learning_rate")
    if len(rates) and rates.max() > 0:
        config = dataclasses.replace(config, learning_rate=float(rates.max()))
    infonce = loss is not None and loss.kind in (INFONCE, UNKNOWN) and loss.course.low >= 0
    chance = {"chance_loss": loss.chance} if loss and infonce else {}
    course = TrialHistory([{**chance, **epoch} for epoch in log.epochs], config)
    checks = [*_OF_TRIALS]
    size = known.batch_size or 0
    mean = loss is not None and size > 1 and abs(loss.chance - math.log(size)) <= 0.25 * math.log(size)
    if infonce and loss and mean and known.temperature and not loss.learns:
        checks += [temperature_too_high, temperature_too_low]
    for check in checks:
        if one := check(course):
            if not len(rates):  # the configuration's is a default, and not the log's
                one = dataclasses.replace(one, evidence=re.sub(r"[,;] learning rate \S+$", "", one.evidence))
            yield Verdict(one, CERTAIN if one.severity == FATAL else LIKELY)


def remarks(log: TrainingLog, known: Known) -> list[str]:
    """What is no symptom, and yet to be known: which loss this was taken for, what is no held-out metric."""
    loss = Loss.of(log, known, tells_apart(log))
    said = [loss.why] if loss and loss.why else []
    if loss and loss.kind == COSINE:
        said.append("what is said of InfoNCE, chance among them, is not asked of it")
    if is_range_test(log):
        said.append("the learning rate grows to the end in equal factors: a range test, whose loss is to rise at last")
    if "accuracy" in log.columns and not split_of(log.columns["accuracy"]):
        said.append(f"{log.columns['accuracy']} does not say of which pairs it is: never taken for held out")
    if "retrieval_accuracy" in log.columns:
        chance = f"1/{known.batch_size}" if known.batch_size else "1/batch size"
        said.append(f"{log.columns['retrieval_accuracy']} is taken for retrieval among a batch, chance {chance}")
    if "class_accuracy" in log.columns:
        said.append(f"{log.columns['class_accuracy']} is taken for accuracy among many classes, and no pairs' told right")
    if "train_accuracy" in log.columns or "train_auc" in log.columns:
        columns = [log.columns[name] for name in ("train_accuracy", "train_auc") if name in log.columns]
        said.append(f"{', '.join(columns)}: of training pairs, and never taken for held out")
    return said


def not_judged(log: TrainingLog, known: Known) -> list[tuple[str, str]]:
    """What cannot be told for want of a number: the option that gives it, and what it would tell."""
    missing = []
    loss = Loss.of(log, known, False)
    contrastive = loss is None or loss.kind in (INFONCE, UNKNOWN)
    if known.temperature is None and contrastive:
        missing.append(("--temperature", "is a negative loss -similarity/temperature? does the temperature fit?"))
    if known.batch_size is None and contrastive:
        missing.append(("--batch-size", "is the loss at chance, ln(batch size), or above it? does it diverge?"))
    return missing + [
        (f"--column {name}=…", what) for name, others, what in _TOLD if not {name, *others} & set(log.columns)
    ]


_TOLD = (
    ("contrastive_loss", ("triplet_loss",), "is the loss sound at all?"),
    ("val_accuracy", ("accuracy",), "are held-out pairs told right?"),
    ("val_auc", (), "do scores separate held-out pairs? is it overfitting?"),
    (
        "negative_similarity",
        ("mean_cosine", "similarity", "feature_std", "uniformity"),
        "is it collapsed? (seen directly)",
    ),
)


def _nothing(log: TrainingLog) -> Finding:
    held_out = {"val_auc", "val_accuracy"} & set(log.columns)
    spread = {"negative_similarity", "mean_cosine", "feature_std", "uniformity"} & set(log.columns)
    sure = NEARLY if held_out and (spread or tells_apart(log)) else LIKELY
    settle = "" if held_out else "; --column val_auc=… would settle whether held-out pairs are told apart"
    if held_out and not spread and not tells_apart(log):
        settle = "; --column negative_similarity=… would settle whether it is collapsed"
    return Finding("symptoms", OK, f"none in {log.rows} rows\nhow sure: {sure}{settle}")
