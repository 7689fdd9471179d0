"""A symptom in a log with how sure it is, and which one more column would settle it."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.diagnosis.history import FAIL as FATAL
from trainable.diagnosis.history import Diagnosis, diagnosis
from trainable.findings import FAIL, WARN, Finding

_OF_LOGS = {
    "loss-rising": (
        "the learning rate is too high, the loss is a bound whose sign is turned, or what it is minimised for is not logged",
        "check the sign; lower the learning rate; keep the weights of the lowest loss",
    ),
}
"""Cause and remedy of what is asked of logs alone: a trial is judged before it could come to that."""
CERTAIN, NEARLY, LIKELY = "certain", "nearly certain", "likely"


@dataclass(frozen=True)
class Verdict:
    """What is wrong, and how far one can know from this log."""

    symptom: Diagnosis
    sure: str
    """CERTAIN: it follows from the numbers. NEARLY: nothing else in use has such numbers. LIKELY: something may."""
    settled_by: str = ""
    """Which column or option more would decide it; empty where none is needed."""

    @property
    def fatal(self) -> bool:
        """Whether going on like this is time lost."""
        return self.symptom.severity == FATAL

    def finding(self) -> Finding:
        """As the doctor shows it."""
        one = self.symptom
        sure = f"{self.sure}; {self.settled_by} would settle it" if self.settled_by else self.sure
        found = f"{one.evidence}\nlikely because {one.cause}\nhow sure: {sure}"
        return Finding(one.name, FAIL if self.fatal else WARN, found, one.remedy)


def verdict(name: str, severity: str, evidence: str, sure: str, settled_by: str = "") -> Verdict:
    """With the cause and the remedy that the name has."""
    symptom = (
        Diagnosis(name, severity, evidence, *_OF_LOGS[name])
        if name in _OF_LOGS
        else diagnosis(name, severity, evidence)
    )
    return Verdict(symptom, sure, settled_by)
