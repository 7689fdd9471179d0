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
from trainable.measures import Progress, Retrieved, Spread, Step, Validation
from trainable.metrics import retrieval, spread, thresholds, verification

_CROSS_FIT_SEED = 0  # the folds are the same for every trial, so that trials are compared on equal terms


@dataclass(frozen=True, kw_only=True)
class EpochReport(Validation, Losses, Retrieved, Spread, Step, Progress):
    """What one epoch of one trial came to: the numbers that `trainable.measures` declares, and what the tables do not hold."""

    epoch: int
    """Counted from 1."""
    training_objective: float
    """The objective with accuracies at the solved threshold in any case: how good the training is, whatever the threshold."""
    sick: str | None
    """Why training cannot go on, or None."""
    scores: np.ndarray
    """(n_val,) float32 cosines of the validation pairs."""
    correct: np.ndarray
    """(n_val,) bool: the decision behind `val_accuracy`."""
    findings: list[dict[str, str]] = field(default_factory=list)
    """The diagnoses with severity, evidence, cause and remedy, as plain text that can go anywhere."""

    def numbers(self) -> dict[str, Any]:
        """Every field but the arrays, in order."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("scores", "correct")}

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
    gallery: retrieval.Gallery,
) -> dict[str, Any]:
    """The report's fields that come from validation pairs.

    scores, labels: (n_val,); identities: (n_val,) of the fronts and of the angles; embeddings: (m, E) of their images;
    threshold: the configuration's, None to solve it; gallery: of these pairs.
    """
    of_images = {"feature_std": spread.feature_std(embeddings), **gallery.measures(embeddings)}
    return of_scores(scores, labels, identities, threshold, settings, of_images)


def of_scores(
    scores: np.ndarray,
    labels: np.ndarray,
    identities: tuple[np.ndarray, np.ndarray],
    threshold: float | None,
    settings: Settings,
    of_images: dict[str, Any],
) -> dict[str, Any]:
    """What `measure` gives, with its arguments; of_images: what does not follow from scores, which trials may be ranked by."""
    fitted = thresholds.cross_fitted(scores, labels, *identities, seed=_CROSS_FIT_SEED)
    measures = _named(dataclasses.asdict(verification.verify(scores, labels)))
    measures |= of_images | {"val_accuracy_solved": fitted.accuracy, "scores": scores}
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
    if config.threshold is None or settings.threshold_is_favoured:
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
    thresholds; None will do where a threshold is given that these scores have not chosen.
    """
    used = thresholds.best_threshold(scores, labels).value if threshold is None else threshold
    if threshold is not None and not settings.threshold_is_favoured:
        correct = thresholds.correct_at(scores, labels, threshold)
    else:
        assert solved_correct is not None, "a threshold that scores chose comes with its cross-fitted decisions"
        correct = solved_correct
    return _named(verification.of_decisions(correct, labels)) | {
        "threshold": used,
        "correct": correct,
        "objective": _ranked(measures, correct, labels, settings.metric)
        if settings.threshold_is_searched
        else measures["training_objective"],
    }


def _named(found: dict[str, Any]) -> dict[str, Any]:
    """Measures under the names that the report has for them: most of them say that they are of validation pairs."""
    reported = {item.name for item in fields(Validation)}
    return {f"val_{name}" if f"val_{name}" in reported else name: value for name, value in found.items()}


def _ranked(measures: dict[str, Any], correct: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """The metric; what depends on decisions is of these. NaN where it is undefined."""
    value = (measures | _named(verification.of_decisions(correct, labels)))[metric]
    return math.nan if value is None else float(value)


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
    names = [item.name for item in (*fields(Validation), *fields(Spread))] + ["training_objective"]
    nothing = {"scores": scores, "correct": np.zeros(len(scores), dtype=bool), "val_queries": 0, "val_cmc": []}
    return dict.fromkeys(names, math.nan) | nothing
