"""Detectors that read the losses: not finite, the broken formula, stuck at chance, temperature, diverging, overfitting."""

from __future__ import annotations

import math

from trainable.diagnosis.history import FAIL, WARN, Diagnosis, TrialHistory, diagnosis
from trainable.diagnosis.trends import worsened


def not_finite(course: TrialHistory) -> Diagnosis | None:
    """A loss, a gradient or a score is NaN or infinite."""
    names = (
        "contrastive_loss",
        "consistency_loss",
        "negative_loss",
        "total_loss",
        "grad_norm",
        "score_low",
        "score_high",
    )
    now = course.epochs[-1]
    bad = [name for name in names if isinstance(now.get(name), float) and not math.isfinite(now[name])]
    return diagnosis("not-finite", FAIL, ", ".join(f"{name} {now[name]}" for name in bad)) if bad else None


def negative_loss_value(course: TrialHistory) -> Diagnosis | None:
    """InfoNCE is a cross-entropy, never below 0; minus the mean positive cosine over the temperature it is not at all."""
    loss, aligned = course.value("contrastive_loss"), 1 - (course.value("consistency_loss") or 0)
    if loss is None or loss >= 0:
        return None
    evidence = f"contrastive loss {loss:.4g}, InfoNCE is at least 0"
    for what, cosine in (("1", 1.0), ("mean positive cosine", aligned)):
        floor = -cosine / course.temperature
        if abs(loss - floor) <= 0.05 * abs(floor):
            within = f"{100 * abs(loss / floor - 1):.1f} % from -{what}/temperature = {floor:.4g}"
            return diagnosis("broken-contrastive-formula", FAIL, f"{evidence}; it is {within}")
    return diagnosis("negative-contrastive-loss", FAIL, evidence)


def stuck_at_chance(course: TrialHistory) -> Diagnosis | None:
    """The contrastive loss is what equal scores would have; fatal when validation confirms it for two epochs."""
    loss, chance, auc = (course.value(name) for name in ("contrastive_loss", "chance_loss", "val_auc"))
    if not course.warm_epochs or loss is None or not chance or abs(loss - chance) > 0.01 * chance:
        return None
    evidence = f"contrastive loss {loss:.4f} is within 1 % of chance, {chance:.4f}, after warm-up"
    if _best_loss(chance, course.temperature) > 0.95 * chance:
        return None  # not the trial's doing: at this temperature no embedding is far from chance
    before = course.last("contrastive_loss", 2)
    lasting = course.warm_epochs >= 2 and before and abs(before[0] - chance) <= 0.01 * chance
    hopeless = lasting and auc is not None and auc < 0.55
    return diagnosis("stuck-at-chance", FAIL if hopeless else WARN, evidence)


def temperature_too_high(course: TrialHistory) -> Diagnosis | None:
    """Even a perfect embedding could not take the loss 5 % below chance."""
    chance, temperature = course.value("chance_loss"), course.temperature
    if not course.warm_epochs or not chance or (best := _best_loss(chance, temperature)) <= 0.95 * chance:
        return None
    evidence = f"temperature {temperature:g}: a perfect embedding's loss is {best:.3f}, chance {chance:.3f}"
    return diagnosis("temperature-too-high", WARN, evidence)


def above_chance(course: TrialHistory) -> Diagnosis | None:
    """After warm-up the loss is still far above what equal scores would have."""
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    if not course.warm_epochs or loss is None or not chance or loss <= 1.5 * chance or _is_cold(course):
        return None
    evidence = f"contrastive loss {loss:.3f} after warm-up, chance is {chance:.3f}"
    return diagnosis("loss-above-chance", WARN, f"{evidence}, temperature {course.temperature:g}")


def temperature_too_low(course: TrialHistory) -> Diagnosis | None:
    """A temperature far below those in use, and embeddings in a cone: there the smallest angles are all it asks for."""
    loss, chance, spread = (course.value(name) for name in ("contrastive_loss", "chance_loss", "feature_std"))
    if not course.warm_epochs or not _is_cold(course):
        return None
    above = loss is not None and chance and loss > 1.5 * chance
    if not above and (spread is None or spread >= 0.1):
        return None
    beside = (
        f"contrastive loss {loss:.3f}, chance is {chance:.3f}"
        if above
        else f"spread {spread:.3f} of 1 is enough for it"
    )
    return diagnosis("temperature-too-low", WARN, f"temperature {course.temperature:g}, {beside}")


def _is_cold(course: TrialHistory) -> bool:
    return course.temperature < 0.005


def diverging(course: TrialHistory) -> Diagnosis | None:
    """The loss is above chance and has risen twice in a row."""
    losses, chance = course.last("contrastive_loss", 3), course.value("chance_loss")
    if not course.warm_epochs or not losses or not chance or not chance < losses[-1] > losses[-2] > losses[-3]:
        return None
    if losses[-1] - losses[0] < 0.02 * chance:  # no more than noise
        return None
    rise = " → ".join(f"{loss:.3f}" for loss in losses)
    return diagnosis("diverging", FAIL, f"contrastive loss {rise}, above chance, {chance:.3f}")


def overfit(course: TrialHistory) -> Diagnosis | None:
    """The training loss falls on while validation AUC sinks below its best, by more than noise, however slowly."""
    losses, aucs = course.all("contrastive_loss"), course.all("val_auc")
    worse = worsened(aucs, losses)
    if worse is None or worse.drop < 0.02 or worse.loss_now >= worse.loss_then:
        return None
    fell = f"the contrastive loss fell {worse.loss_then:.3f} → {worse.loss_now:.3f}"
    return diagnosis("overfit", WARN, f"AUC {worse.best:.3f} → {worse.end:.3f}, while {fell}")


def _best_loss(chance: float, temperature: float) -> float:
    """InfoNCE of a perfect embedding, positives at cosine 1 and all others at 0, where chance is ln of their number."""
    others = math.expm1(chance)
    return math.log1p(others * math.exp(-1 / temperature))


DETECTORS = (
    not_finite,
    negative_loss_value,
    temperature_too_low,
    temperature_too_high,
    diverging,
    above_chance,
    stuck_at_chance,
    overfit,
)
