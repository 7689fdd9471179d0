"""Is the trial sick? Detectors over the numbers of its epochs: symptom, evidence, likely cause and remedy.

Every check is a pure function of a `TrialHistory`, the numbers of a trial's epochs so far; it returns a Diagnosis or None, and
None where a number that it needs is missing. A healthy trial gets none: the levels were set on trials that learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainable.config import TrialConfig
from trainable.diagnosis import collapse, loss, separation, updates
from trainable.diagnosis.history import FAIL, Diagnosis, TrialHistory
from trainable.diagnosis.remedies import REMEDIES

CHECKS = (*loss.DETECTORS, *separation.DETECTORS, *updates.DETECTORS, *collapse.DETECTORS)
_PLACES = {name: place for place, name in enumerate(REMEDIES)}


def diagnose(history: Sequence[Mapping[str, Any]], config: TrialConfig) -> list[Diagnosis]:
    """Everything that is wrong at the newest epoch, what is fatal first, then causes before what they bring about.

    history: the numbers of a trial's epochs, as `EpochReport.numbers()` gives them, the newest last.
    """
    course = TrialHistory(history, config)
    found = [symptom for check in CHECKS if (symptom := check(course))]
    return sorted(found, key=lambda symptom: (symptom.severity != FAIL, _PLACES[symptom.name]))


def as_plain(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """The names as `diagnoses`, and all that is known as `findings`, in plain text that can go anywhere."""
    return {"diagnoses": [one.name for one in diagnoses], "findings": [one.as_dict() for one in diagnoses]}


def rediagnosed(numbers: Mapping[str, Any], config: TrialConfig) -> dict[str, Any]:
    """`diagnoses` and `findings` of an epoch as they are for a trial that differs in its threshold only.

    numbers: the epoch's; empty if it was not diagnosed. config: with the other threshold.
    """
    if numbers.get("diagnoses") is None:
        return {}
    name, found = "threshold-out-of-place", separation.threshold_out_of_place(TrialHistory([numbers], config))
    again = as_plain([found] if found else [])
    kept = [finding for finding in numbers.get("findings") or [] if finding["name"] != name]
    names = [other for other in numbers["diagnoses"] if other != name]
    return {"diagnoses": names + again["diagnoses"], "findings": kept + again["findings"]}
