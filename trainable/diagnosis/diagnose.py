"""Is the trial sick? Detectors over the numbers of its epochs: symptom, evidence, likely cause and remedy.

Every check is a pure function of a `TrialHistory`, the numbers of a trial's epochs so far; it returns a Diagnosis or None, and
None where a number that it needs is missing. A healthy trial gets none: the levels were set on trials that learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainable.config import TrialConfig
from trainable.diagnosis.collapse import (
    consistency_without_spread,
    dimensional_collapse,
    low_feature_std,
    low_uniformity,
    precision_artefact,
    total_collapse,
)
from trainable.diagnosis.history import FAIL, Diagnosis, TrialHistory
from trainable.diagnosis.loss import (
    above_chance,
    diverging,
    negative_loss_value,
    not_finite,
    overfit,
    stuck_at_chance,
    temperature_too_high,
    temperature_too_low,
)
from trainable.diagnosis.separation import (
    accuracy_contradicts_scores,
    inverted_separation,
    negatives_pulled_together,
    no_separation,
    threshold_out_of_place,
)
from trainable.diagnosis.updates import (
    frozen_part_moved,
    no_gradient,
    trained_part_did_not_move,
    update_too_large,
    update_too_small,
)


def diagnose(history: Sequence[Mapping[str, Any]], config: TrialConfig) -> list[Diagnosis]:
    """Everything that is wrong at the newest epoch, what is fatal first.

    history: the numbers of a trial's epochs, as `EpochReport.numbers()` gives them, the newest last.
    """
    course = TrialHistory(history, config)
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
    name, found = "threshold-out-of-place", threshold_out_of_place(TrialHistory([numbers], config))
    again = as_plain([found] if found else [])
    kept = [finding for finding in numbers.get("findings") or [] if finding["name"] != name]
    names = [other for other in numbers["diagnoses"] if other != name]
    return {"diagnoses": names + again["diagnoses"], "findings": kept + again["findings"]}


CHECKS = (
    not_finite, frozen_part_moved, no_gradient, trained_part_did_not_move, negative_loss_value, inverted_separation,
    accuracy_contradicts_scores,
    update_too_large, update_too_small, negatives_pulled_together, temperature_too_low, temperature_too_high,
    total_collapse, low_feature_std, low_uniformity, dimensional_collapse, consistency_without_spread,
    diverging, above_chance, stuck_at_chance, no_separation, overfit, precision_artefact, threshold_out_of_place,
)  # fmt: skip
"""Every check, causes before what they bring about; of what is equally severe the first names the trial's sickness."""
