"""Is the trial sick? Detectors over the numbers of its epochs: symptom, evidence, likely cause and remedy.

Every check is a pure function of a `Course`, the numbers of a trial's epochs so far; it returns a Diagnosis or None, and
None where a number that it needs is missing. A healthy trial gets none: the levels were set on trials that learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainable.collapse import (
    consistency_without_spread,
    dimensional_collapse,
    low_feature_std,
    low_uniformity,
    precision_artefact,
    total_collapse,
)
from trainable.config import TrialConfig
from trainable.course import FAIL, WARN, Course, Diagnosis, diagnosis, number
from trainable.trends import worsened


def diagnose(history: Sequence[Mapping[str, Any]], config: TrialConfig) -> list[Diagnosis]:
    """Everything that is wrong at the newest epoch, what is fatal first.

    history: the numbers of a trial's epochs, as `EpochReport.numbers()` gives them, the newest last.
    """
    course = Course(history, config)
    found = [symptom for check in CHECKS if (symptom := check(course))]
    return sorted(found, key=lambda symptom: symptom.severity != FAIL)


def as_plain(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """The names as `diagnoses`, and all that is known as `findings`, in plain text that can go anywhere."""
    return {"diagnoses": [one.name for one in diagnoses], "findings": [one.as_dict() for one in diagnoses]}


def rediagnosed(numbers: Mapping[str, Any], config: TrialConfig) -> dict[str, Any]:
    """`diagnoses` and `findings` of an epoch as they are for a trial that differs in its threshold only.

    numbers: the epoch's; empty if it was not diagnosed. config: with the other threshold.
    """
    if numbers.get("diagnoses") is None:
        return {}
    name, found = "threshold-out-of-place", threshold_out_of_place(Course([numbers], config))
    again = as_plain([found] if found else [])
    kept = [finding for finding in numbers.get("findings") or [] if finding["name"] != name]
    names = [other for other in numbers["diagnoses"] if other != name]
    return {"diagnoses": names + again["diagnoses"], "findings": kept + again["findings"]}


def not_finite(course: Course) -> Diagnosis | None:
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


def negative_loss_value(course: Course) -> Diagnosis | None:
    """InfoNCE is a cross-entropy, never below 0; minus the mean positive cosine over the temperature it is not at all."""
    loss, aligned = course.value("contrastive_loss"), 1 - (course.value("consistency_loss") or 0)
    if loss is None or loss >= 0:
        return None
    evidence = f"contrastive loss {loss:.4g}, InfoNCE is at least 0"
    for what, cosine in (("1", 1.0), ("mean positive cosine", aligned)):
        floor = -cosine / course.config.temperature
        if abs(loss - floor) <= 0.05 * abs(floor):
            within = f"{100 * abs(loss / floor - 1):.1f} % from -{what}/temperature = {floor:.4g}"
            return diagnosis("broken-contrastive-formula", FAIL, f"{evidence}; it is {within}")
    return diagnosis("negative-contrastive-loss", FAIL, evidence)


def stuck_at_chance(course: Course) -> Diagnosis | None:
    """The contrastive loss is what equal scores would have; fatal when validation confirms it for two epochs."""
    loss, chance, auc = (course.value(name) for name in ("contrastive_loss", "chance_loss", "val_auc"))
    if not course.warm_epochs or loss is None or not chance or abs(loss - chance) > 0.01 * chance:
        return None
    evidence = f"contrastive loss {loss:.4f} is within 1 % of chance, {chance:.4f}, after warm-up"
    if _best_loss(chance, course.config.temperature) > 0.95 * chance:
        return None  # not the trial's doing: at this temperature no embedding is far from chance
    before = course.last("contrastive_loss", 2)
    lasting = course.warm_epochs >= 2 and before and abs(before[0] - chance) <= 0.01 * chance
    hopeless = lasting and auc is not None and auc < 0.55
    return diagnosis("stuck-at-chance", FAIL if hopeless else WARN, evidence)


def temperature_too_high(course: Course) -> Diagnosis | None:
    """Even a perfect embedding could not take the loss 5 % below chance."""
    chance, temperature = course.value("chance_loss"), course.config.temperature
    if not course.warm_epochs or not chance or (best := _best_loss(chance, temperature)) <= 0.95 * chance:
        return None
    evidence = f"temperature {temperature:g}: a perfect embedding's loss is {best:.3f}, chance {chance:.3f}"
    return diagnosis("temperature-too-high", WARN, evidence)


def above_chance(course: Course) -> Diagnosis | None:
    """After warm-up the loss is still far above what equal scores would have."""
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    if not course.warm_epochs or loss is None or not chance or loss <= 1.5 * chance or _is_cold(course):
        return None
    evidence = f"contrastive loss {loss:.3f} after warm-up, chance is {chance:.3f}"
    return diagnosis("loss-above-chance", WARN, f"{evidence}, temperature {course.config.temperature:g}")


def temperature_too_low(course: Course) -> Diagnosis | None:
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
    return diagnosis("temperature-too-low", WARN, f"temperature {course.config.temperature:g}, {beside}")


def _is_cold(course: Course) -> bool:
    return course.config.temperature < 0.005


def diverging(course: Course) -> Diagnosis | None:
    """The loss is above chance and has risen twice in a row."""
    losses, chance = course.last("contrastive_loss", 3), course.value("chance_loss")
    if not course.warm_epochs or not losses or not chance or not chance < losses[-1] > losses[-2] > losses[-3]:
        return None
    if losses[-1] - losses[0] < 0.02 * chance:  # no more than noise
        return None
    rise = " → ".join(f"{loss:.3f}" for loss in losses)
    return diagnosis("diverging", FAIL, f"contrastive loss {rise}, above chance, {chance:.3f}")


def inverted_separation(course: Course) -> Diagnosis | None:
    """Scores of positive and negative validation pairs are the wrong way round."""
    aucs = course.last("val_auc", 2)
    if course.warm_epochs < 2 or not aucs or max(aucs) >= 0.4:
        return None
    evidence = f"validation AUC {aucs[-1]:.3f} after warm-up, a coin has 0.5"
    return diagnosis("inverted-separation", FAIL, f"{evidence}: negative pairs score higher than positive ones")


def no_separation(course: Course) -> Diagnosis | None:
    """Scores of positive and negative validation pairs are mixed; where training pairs are learnt all the same, labels
    are no matter of what images show."""
    aucs = course.last("val_auc", min(2, len(course.epochs)))
    if not course.warm_epochs or not aucs or aucs[-1] >= 0.55 or inverted_separation(course):
        return None
    evidence = f"validation AUC {aucs[-1]:.3f} after warm-up, a coin has 0.5"
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    if course.warm_epochs >= 2 and min(aucs) > 0.4 and loss is not None and chance and loss < 0.9 * chance:
        evidence += f"; the training loss has fallen to {loss:.3f}, chance is {chance:.3f}"
        return diagnosis("labels-at-random", WARN, evidence)
    return diagnosis("no-separation", WARN, evidence)


def negatives_pulled_together(course: Course) -> Diagnosis | None:
    """The loss's gradient pulls training pairs of label 0 together as it does those of label 1.

    Where nobody measured it: they have come as close as those, from where strangers are.
    """
    pull = course.value("negative_pull")
    if pull is None:
        return _negatives_as_close(course)
    if pull <= 0.5:
        return None
    evidence = f"a step pulls the views of label 0 pairs together {pull:.2f} times as much as those of label 1 pairs"
    return diagnosis("negatives-pulled-together", WARN, f"{evidence}; below 0 is healthy")


def _negatives_as_close(course: Course) -> Diagnosis | None:
    negative, consistency, strangers = (
        course.value(name) for name in ("negative_loss", "consistency_loss", "mean_cosine")
    )
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    if not course.warm_epochs or None in (negative, consistency, strangers, loss, chance) or loss > 0.75 * chance:
        return None
    same, different = 1 - consistency, course.config.negative_margin + math.sqrt(max(0, negative))
    if same - strangers < 0.2 or different - strangers < 0.8 * (same - strangers):
        return None
    evidence = f"training cosine of label 0 pairs {different:.3f}, of label 1 pairs {same:.3f}"
    return diagnosis("negatives-pulled-together", WARN, f"{evidence}, of strangers {strangers:.3f}")


def accuracy_contradicts_scores(course: Course) -> Diagnosis | None:
    """Two classes, and fewer right than guessing gives: what was counted is not whether pairs are told right."""
    accuracy, auc = course.value("val_accuracy_solved", "val_accuracy"), course.value("val_auc")
    below = 0.25 if auc is None or auc < 0.65 else 0.45
    if not course.warm_epochs or accuracy is None or accuracy >= below:
        return None
    beside = "" if auc is None else f", AUC {auc:.3f}"
    return diagnosis("accuracy-contradicts-scores", FAIL, f"accuracy {accuracy:.3f} on two classes{beside}")


def overfit(course: Course) -> Diagnosis | None:
    """The training loss falls on while validation AUC sinks below its best, by more than noise, however slowly."""
    losses, aucs = course.all("contrastive_loss"), course.all("val_auc")
    worse = worsened(aucs, losses)
    if worse is None or worse.drop < 0.02 or worse.loss_now >= worse.loss_then:
        return None
    fell = f"the contrastive loss fell {worse.loss_then:.3f} → {worse.loss_now:.3f}"
    return diagnosis("overfit", WARN, f"AUC {worse.best:.3f} → {worse.end:.3f}, while {fell}")


def frozen_part_moved(course: Course) -> Diagnosis | None:
    """A frozen tensor, or a statistic of a frozen norm, is not what it was."""
    moved = course.value("frozen_moved")
    return diagnosis("frozen-part-moved", FAIL, f"{moved:.0f} frozen tensors changed") if moved else None


def no_gradient(course: Course) -> Diagnosis | None:
    """A part that should train has a gradient of exactly 0."""
    parts = [part for part in _PARTS if course.value(f"{part}_grad_norm") == 0]
    return diagnosis("no-gradient", FAIL, f"gradient norm 0 in the {' and the '.join(parts)}") if parts else None


def trained_part_did_not_move(course: Course) -> Diagnosis | None:
    """A part has a gradient, and a step of the optimiser leaves it as it was."""
    parts = [p for p in _PARTS if course.value(f"{p}_update_ratio") == 0 and course.value(f"{p}_grad_norm")]
    gradients = [f"the {part}, whose gradient has norm {course.value(f'{part}_grad_norm'):.2g}" for part in parts]
    evidence = f"a step changed no weight of {' and of '.join(gradients)}"
    return diagnosis("trained-part-did-not-move", FAIL, evidence) if parts else None


def update_too_large(course: Course) -> Diagnosis | None:
    """One step changes the weights by more than a tenth of their norm, or steps have blown them up; fatal where nothing is
    learnt."""
    parts = {
        part: max(_ratio(course, part, "update_ratio") / 0.1, _ratio(course, part, "growth") / 5) for part in _PARTS
    }
    part = max(parts, key=parts.get)
    if parts[part] <= 1:
        return None
    evidence = f"a step changes the {part} by {_ratio(course, part, 'update_ratio'):.2g} of its weights' norm"
    evidence += f", which is {_ratio(course, part, 'growth'):.3g} times what it began with"
    lost = course.warm_epochs and (auc := course.value("val_auc")) is not None and auc < 0.65
    return diagnosis(
        "update-too-large", FAIL if lost else WARN, f"{evidence}; learning rate {course.config.learning_rate:g}"
    )


def _ratio(course: Course, part: str, what: str) -> float:
    return course.value(f"{part}_{what}") or 0.0


def update_too_small(course: Course) -> Diagnosis | None:
    """No step so far changed the head by a hundred-thousandth of its norm: nothing can be learnt in a run's time."""
    ratios = [r for epoch in course.epochs if (r := number(epoch.get("head_update_ratio"))) is not None]
    if not course.warm_epochs or not ratios or not 0 < max(ratios) < 1e-5:
        return None
    evidence = f"a step changes the head by {max(ratios):.1g} of its weights' norm at most"
    return diagnosis("update-too-small", WARN, f"{evidence}, learning rate {course.config.learning_rate:g}")


def threshold_out_of_place(course: Course) -> Diagnosis | None:
    """A threshold that was given accepts every validation pair, or none."""
    threshold, low, high = course.config.threshold, course.value("score_low"), course.value("score_high")
    if not course.warm_epochs or threshold is None or low is None or high is None or low < threshold <= high:
        return None
    every = "every pair is accepted" if threshold <= low else "no pair is accepted"
    return diagnosis(
        "threshold-out-of-place", WARN, f"threshold {threshold:g}, scores {low:.3f} to {high:.3f}: {every}"
    )


_PARTS = ("head", "backbone")

CHECKS = (
    not_finite, frozen_part_moved, no_gradient, trained_part_did_not_move, negative_loss_value, inverted_separation,
    accuracy_contradicts_scores,
    update_too_large, update_too_small, negatives_pulled_together, temperature_too_low, temperature_too_high,
    total_collapse, low_feature_std, low_uniformity, dimensional_collapse, consistency_without_spread,
    diverging, above_chance, stuck_at_chance, no_separation, overfit, precision_artefact, threshold_out_of_place,
)  # fmt: skip
"""Every check, causes before what they bring about; of what is equally severe the first names the trial's sickness."""


def _best_loss(chance: float, temperature: float) -> float:
    """InfoNCE of a perfect embedding, positives at cosine 1 and all others at 0, where chance is ln of their number."""
    others = math.expm1(chance)
    return math.log1p(others * math.exp(-1 / temperature))

