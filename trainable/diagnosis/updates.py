"""Detectors of training steps: what moved and should not have, what did not, how large the steps are."""

from __future__ import annotations

from trainable.diagnosis.history import FAIL, WARN, Diagnosis, TrialHistory, diagnosis, number


def frozen_part_moved(course: TrialHistory) -> Diagnosis | None:
    """A frozen tensor, or a statistic of a frozen norm, is not what it was."""
    moved = course.value("frozen_moved")
    return diagnosis("frozen-part-moved", FAIL, f"{moved:.0f} frozen tensors changed") if moved else None


def no_gradient(course: TrialHistory) -> Diagnosis | None:
    """A part that should train has a gradient of exactly 0."""
    parts = [part for part in _PARTS if course.value(f"{part}_grad_norm") == 0]
    return diagnosis("no-gradient", FAIL, f"gradient norm 0 in the {' and the '.join(parts)}") if parts else None


def trained_part_did_not_move(course: TrialHistory) -> Diagnosis | None:
    """A part has a gradient, and a step of the optimiser leaves it as it was."""
    parts = [p for p in _PARTS if course.value(f"{p}_update_ratio") == 0 and course.value(f"{p}_grad_norm")]
    gradients = [f"the {part}, whose gradient has norm {course.value(f'{part}_grad_norm'):.2g}" for part in parts]
    evidence = f"a step changed no weight of {' and of '.join(gradients)}"
    return diagnosis("trained-part-did-not-move", FAIL, evidence) if parts else None


def update_too_large(course: TrialHistory) -> Diagnosis | None:
    """One step changes the weights by more than a tenth of their norm, or steps have blown them up; fatal where nothing is
    learnt."""
    parts = {
        part: max(_ratio(course, part, "update_ratio") / 0.1, _ratio(course, part, "growth") / 5) for part in _PARTS
    }
    part = max(parts, key=parts.__getitem__)
    if parts[part] <= 1:
        return None
    evidence = f"a step changes the {part} by {_ratio(course, part, 'update_ratio'):.2g} of its weights' norm"
    if (growth := course.value(f"{part}_growth")) is not None:
        evidence += f", which is {growth:.3g} times what it began with"
    lost = course.warm_epochs and (auc := course.value("val_auc")) is not None and auc < 0.65
    return diagnosis(
        "update-too-large", FAIL if lost else WARN, f"{evidence}; learning rate {course.config.learning_rate:g}"
    )


def _ratio(course: TrialHistory, part: str, what: str) -> float:
    return course.value(f"{part}_{what}") or 0.0


def update_too_small(course: TrialHistory) -> Diagnosis | None:
    """No step so far changed the head by a hundred-thousandth of its norm: nothing can be learnt in a run's time."""
    ratios = [r for epoch in course.epochs if (r := number(epoch.get("head_update_ratio"))) is not None]
    if not course.warm_epochs or not ratios or not 0 < max(ratios) < 1e-5:
        return None
    evidence = f"a step changes the head by {max(ratios):.1g} of its weights' norm at most"
    return diagnosis("update-too-small", WARN, f"{evidence}, learning rate {course.config.learning_rate:g}")


_PARTS = ("head", "backbone")


DETECTORS = (frozen_part_moved, no_gradient, trained_part_did_not_move, update_too_large, update_too_small)
