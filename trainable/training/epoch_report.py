"""What one epoch came to: the report, and how validation scores become its numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from trainable.config import Losses, Settings, TrialConfig
from trainable.diagnosis.diagnose import as_plain, diagnose, rediagnosed
from trainable.diagnosis.history import FAIL
from trainable.metrics import spread, thresholds, verification
from trainable.metrics.step_probe import PROBED, Vitals

_CROSS_FIT_SEED = 0  # the folds are the same for every trial, so that trials are compared on equal terms


@dataclass(frozen=True)
class EpochReport(Losses, Vitals):
    """What one epoch of one trial came to. Losses are means over its batches; val_* come from validation pairs."""

    epoch: int
    grad_norm: float
    threshold: float
    val_accuracy: float
    val_accuracy_solved: float
    val_balanced_accuracy: float
    val_auc: float
    val_average_precision: float
    val_eer: float
    val_d_prime: float | None
    val_tar_at_far_1e1: float | None
    val_tar_at_far_1e2: float | None
    val_tar_at_far_1e3: float | None
    positive_similarity: float
    negative_similarity: float
    similarity_gap: float
    feature_std: float
    objective: float
    """What this epoch is ranked by: `Settings.metric`, accuracies at the solved threshold unless it is searched. NaN
    where that is undefined: such an epoch is never the best."""
    training_objective: float
    """The same with accuracies at the solved threshold in any case: how good the training is, whatever the threshold."""
    sick: str | None
    """Why training cannot go on, or None."""
    scores: np.ndarray
    """(n_val,) float32 cosines of the validation pairs."""
    correct: np.ndarray
    """(n_val,) bool: the decision behind `val_accuracy`."""
    epoch_s: float
    validation_s: float
    learning_rate: float
    """The head's learning rate at the end of the epoch."""
    diagnoses: list[str] = field(default_factory=list)
    """Names of what is wrong with the trial, as far as this epoch and those before it tell; what is fatal first."""
    findings: list[dict[str, str]] = field(default_factory=list)
    """The same diagnoses with severity, evidence, cause and remedy, as plain text that can go anywhere."""

    def numbers(self) -> dict[str, Any]:
        """Every field but the arrays, in order."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("scores", "correct")}

    def same_as(self, other: EpochReport) -> bool:
        """Equal to the bit in everything but the clock."""
        clock = ("epoch_s", "validation_s")
        mine, theirs = ({k: v for k, v in r.numbers().items() if k not in clock} for r in (self, other))
        equal_numbers = all(a == b or (a != a and b != b) for a, b in zip(mine.values(), theirs.values(), strict=True))
        same_scores = np.array_equal(self.scores, other.scores, equal_nan=True)
        return equal_numbers and same_scores and np.array_equal(self.correct, other.correct)


def measure(
    scores: np.ndarray,
    labels: np.ndarray,
    identities: tuple[np.ndarray, np.ndarray],
    embeddings: np.ndarray,
    threshold: float | None,
    settings: Settings,
) -> dict[str, Any]:
    """The report's fields that come from validation pairs.

    scores, labels: (n_val,); identities: (n_val,) of the fronts and of the angles; embeddings: (m, E) of their images;
    threshold: the configuration's, None to solve it.
    """
    fitted = thresholds.cross_fitted(scores, labels, *identities, seed=_CROSS_FIT_SEED)
    found = verification.verify(scores, labels)
    measures = {
        "val_accuracy_solved": fitted.accuracy,
        "val_auc": found.auc,
        "val_average_precision": found.average_precision,
        "val_eer": found.eer,
        "val_d_prime": found.d_prime,
        "val_tar_at_far_1e1": found.tar_at_far_1e1,
        "val_tar_at_far_1e2": found.tar_at_far_1e2,
        "val_tar_at_far_1e3": found.tar_at_far_1e3,
        "positive_similarity": found.positive_similarity,
        "negative_similarity": found.negative_similarity,
        "similarity_gap": found.similarity_gap,
        "feature_std": spread.feature_std(embeddings),
        "scores": scores,
    }
    measures["training_objective"] = _ranked(measures, fitted.correct, labels, settings.metric)
    return measures | _judged(measures, scores, labels, fitted.correct, threshold, settings)


def rejudged(
    numbers: dict[str, Any],
    scores: np.ndarray,
    labels: np.ndarray,
    identities: tuple[np.ndarray, np.ndarray],
    config: TrialConfig,
    settings: Settings,
) -> dict[str, Any]:
    """An epoch's `numbers` and `correct` as they are for a trial that differs in nothing but its threshold.

    scores: (n_val,) of that epoch; config: with the other threshold; the other arguments as for `measure`. Equal, to the
    bit, to what training gives.
    """
    if not np.isfinite(scores).all():
        return numbers | {"correct": np.zeros(len(scores), dtype=bool)}
    numbers = numbers | rediagnosed(numbers, config)
    solved_correct = None  # only a solved threshold needs it, and folds take time
    if config.threshold is None:
        solved_correct = thresholds.cross_fitted(scores, labels, *identities, seed=_CROSS_FIT_SEED).correct
    return numbers | _judged(numbers, scores, labels, solved_correct, config.threshold, settings)


def _judged(
    measures: dict[str, Any],
    scores: np.ndarray,
    labels: np.ndarray,
    solved_correct: np.ndarray | None,
    threshold: float | None,
    settings: Settings,
) -> dict[str, Any]:
    """The fields that depend on the threshold. solved_correct: (n_val,) decisions at cross-fitted
    thresholds; None will do where a threshold is given.
    """
    if threshold is None:
        used, correct = thresholds.best_threshold(scores, labels).value, solved_correct
    else:
        used, correct = threshold, thresholds.correct_at(scores, labels, threshold)
    return {
        "threshold": used,
        "val_accuracy": float(correct.mean()),
        "val_balanced_accuracy": _balanced(correct, labels),
        "correct": correct,
        "objective": _ranked(measures, correct, labels, settings.metric)
        if settings.threshold_is_searched
        else measures["training_objective"],
    }


def _ranked(measures: dict[str, Any], correct: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """The metric; accuracies from these decisions. NaN where it is undefined."""
    if metric == "val_accuracy":
        return float(correct.mean())
    value = _balanced(correct, labels) if metric == "val_balanced_accuracy" else measures[metric]
    return math.nan if value is None else value


def diagnosed(
    report: EpochReport, history: Sequence[dict[str, Any]], config: TrialConfig, settings: Settings
) -> EpochReport:
    """The report with what is wrong with it; a fatal diagnosis makes it sick, unless sick trials are to train on.

    history: the numbers of the epochs before.
    """
    found = diagnose([*history, report.numbers()], config)
    sick = report.sick
    if found and found[0].severity == FAIL and not settings.keep_sick:
        sick = sick or f"{found[0].name}: {found[0].evidence}"
    return dataclasses.replace(report, sick=sick, **as_plain(found))


def unmeasured(scores: np.ndarray) -> dict[str, Any]:
    """The same fields, NaN, for scores (n_val,) that are not all finite."""
    given = {"epoch", "sick", "scores", "correct", "epoch_s", "validation_s", "learning_rate", "grad_norm"}
    given |= {"diagnoses", "findings", *Losses.names(), *PROBED}
    empty = {f.name: math.nan for f in fields(EpochReport) if f.name not in given}
    return empty | {"scores": scores, "correct": np.zeros(len(scores), dtype=bool)}


def _balanced(correct: np.ndarray, labels: np.ndarray) -> float:
    return float((correct[labels == 1].mean() + correct[labels == 0].mean()) / 2)
