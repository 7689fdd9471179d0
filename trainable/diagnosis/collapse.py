"""Detectors of collapse: embeddings that no longer tell one thing from another. Part of `trainable.diagnosis.diagnose`."""

from __future__ import annotations

import math
from collections.abc import Callable

from trainable.diagnosis.history import FAIL, WARN, Diagnosis, TrialHistory, diagnosis


def consistency_without_spread(course: TrialHistory) -> Diagnosis | None:
    """A consistency loss of 0 together with a constant embedding, or with a spread that nobody measured."""
    loss, spread = course.value("consistency_loss"), course.value("feature_std")
    if (
        not course.warm_epochs
        or loss is None
        or loss > 1e-3
        or (spread is not None and spread >= 0.1)
        or learns(course)
    ):
        return None
    auc = course.value("val_auc")
    beside = "no measure of spread beside it" if spread is None else f"spread of the embeddings {spread:.3f} of 1"
    severity = FAIL if auc is None or auc < 0.65 else WARN
    return diagnosis("consistency-without-spread", severity, f"consistency loss {loss:.2g}, {beside}")


def total_collapse(course: TrialHistory) -> Diagnosis | None:
    """Embeddings of different identities point the same way."""
    name = "negative_similarity" if course.value("mean_cosine") is None else "mean_cosine"
    severity = _crowded(course, name, lambda cosine: max(0.0, 1 - cosine), warn=0.25, fail=0.01)
    if severity is None:
        return None
    evidence = f"mean cosine of different identities {course.value(name):.4f}, healthy is near 0"
    return diagnosis("total-collapse", severity, evidence)


def low_feature_std(course: TrialHistory) -> Diagnosis | None:
    """The embeddings hardly vary from image to image."""
    severity = _crowded(course, "feature_std", lambda spread: spread, warn=0.5, fail=0.1)
    if severity is None:
        return None
    return diagnosis("low-feature-std", severity, f"spread {course.value('feature_std'):.3f}, 1 when even")


def low_uniformity(course: TrialHistory) -> Diagnosis | None:
    """The embeddings crowd in a part of the sphere."""
    severity = _crowded(course, "uniformity", lambda value: max(0.0, -value), warn=1, fail=0.1)
    if severity is None:
        return None
    return diagnosis("low-uniformity", severity, f"uniformity {course.value('uniformity'):.3f}, about -3.9 when even")


def _crowded(
    course: TrialHistory, name: str, spread_of: Callable[[float], float], warn: float, fail: float
) -> str | None:
    """The severity of a measure whose spread is below these levels; None: healthy.

    A cone is no sickness by itself: an encoder may begin in one, and at a low temperature small angles are enough. So
    what spreads from epoch to epoch, or separates well, is let go, and a warning takes two epochs in a row; fatal, at
    once, is only what does not separate at all.
    """
    severity = _crowded_now(course, name, spread_of, warn, fail)
    earlier = TrialHistory(course.epochs[:-1], course.config)
    if severity == WARN and not (earlier.epochs and _crowded_now(earlier, name, spread_of, warn, fail)):
        return None
    return severity


def _crowded_now(
    course: TrialHistory, name: str, spread_of: Callable[[float], float], warn: float, fail: float
) -> str | None:
    spread = [spread_of(value) for value in course.last(name, 2) or course.last(name, 1)]
    if not course.warm_epochs or not spread or spread[-1] >= warn:
        return None
    if len(spread) > 1 and spread[-1] > 1.05 * spread[0] + 1e-3:
        return None
    auc, of_chance = course.value("val_auc"), _of_chance(course)
    if learns(course) or (auc is not None and auc >= 0.7 and spread[-1] >= fail):
        return None
    at_chance = of_chance is None or of_chance >= 0.95
    return FAIL if spread[-1] < fail and at_chance and (auc is None or auc < 0.65) else WARN


def learns(course: TrialHistory) -> bool:
    """The loss is well below chance, and scores separate: whatever else the embeddings look like."""
    auc, of_chance = course.value("val_auc"), _of_chance(course)
    return auc is not None and auc >= 0.65 and of_chance is not None and of_chance < 0.75


def _of_chance(course: TrialHistory) -> float | None:
    """The contrastive loss over what equal scores would have."""
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    return loss / chance if loss is not None and loss >= 0 and chance else None  # below 0 it is no InfoNCE


def dimensional_collapse(course: TrialHistory) -> Diagnosis | None:
    """The embeddings use hardly more than one dimension, or a tenth of few, two epochs in a row. Raw, the rank sees a cone;
    centred, lost dimensions."""
    known = {words: ranks for words, name in _RANKS.items() if (ranks := course.last(name, 2))}
    limit = course.value("rank_limit")
    used = [min(both) for both in zip(*known.values(), strict=True)]
    if not course.warm_epochs or not used or max(used) >= min(1.9, 0.1 * (limit or math.inf)):
        return None
    told = ", ".join(f"{words} {ranks[-1]:.1f}" for words, ranks in known.items())
    return diagnosis("dimensional-collapse", WARN, told + (f", of {limit:.0f}" if limit else ""))


_RANKS = {"RankMe": "rank_raw", "centred": "rank_centred"}


def precision_artefact(course: TrialHistory) -> Diagnosis | None:
    """Scores are equal, at 1 for instance, that in higher precision are not."""
    rounded, exact = course.value("scores_tied"), course.value("scores_tied_exact")
    if rounded is None or exact is None or rounded - exact <= 0.01:
        return None
    evidence = f"{100 * rounded:.1f} % of the scores equal another one, {100 * exact:.1f} % in full precision"
    return diagnosis("precision-artefact", WARN, evidence)


DETECTORS = (
    total_collapse,
    low_feature_std,
    low_uniformity,
    dimensional_collapse,
    consistency_without_spread,
    precision_artefact,
)
