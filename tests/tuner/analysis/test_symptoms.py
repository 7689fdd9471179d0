"""What went wrong in a search, and where: ranges, counts, and silence when nothing did."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trainable.config import TrialConfig
from tuner.analysis.symptoms import symptoms_of
from tuner.reporting.summary import print_symptoms
from tuner.results.trial_record import COMPLETED, SICK, TrialRecord


def trial(number: int, diagnoses: list[str] | None, state: str = COMPLETED, **searched) -> TrialRecord:
    """A trial with one epoch."""
    record = TrialRecord(number, TrialConfig(), f"trial {number}", searched, is_default=number == 0, state=state)
    record.epochs = {1: {"epoch": 1, "diagnoses": diagnoses}}
    return record


def printed(records: list[TrialRecord]) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_symptoms(console, records)
    return console.file.getvalue()


@pytest.mark.parametrize("diagnoses", [[], None])
def test_a_healthy_search_says_nothing(diagnoses):
    """Neither where trials were checked and are well, nor where none was checked."""
    assert printed([trial(0, diagnoses, learning_rate=0.1), trial(1, diagnoses, learning_rate=0.2)]) == ""


def test_the_range_is_of_the_parameter_that_tells_the_sick_from_the_well():
    """High learning rates are sick at any temperature: the learning rate's range is named, not the temperature's."""
    rates = [1e-4, 1e-3, 1e-2, 0.05, 0.08, 0.1]
    temperatures = [0.05, 0.5, 0.07, 0.04, 0.6, 0.1]
    records = [
        trial(
            n,
            ["diverging"] if rate >= 0.05 else [],
            SICK if rate == 0.1 else COMPLETED,
            learning_rate=rate,
            temperature=t,
        )
        for n, (rate, t) in enumerate(zip(rates, temperatures, strict=True))
    ]
    (symptom,) = symptoms_of(records)
    assert (symptom.name, symptom.trials, symptom.ended) == ("diverging", (3, 4, 5), 1)
    assert (symptom.parameter, symptom.low, symptom.high, symptom.others_there) == ("learning_rate", 0.05, 0.1, 0)
    text = printed(records)
    assert (
        "learning_rate 0.05 to 0.1" in text
        and "lower the learning rate" in text
        and "3: 3, 4, 5; 1 ended by it" in text
    )


def test_healthy_trials_in_the_range_are_counted():
    """A range that is not all sick says so."""
    sick = {1, 3}
    records = [trial(n, ["overfit"] if n in sick else [], temperature=n / 10) for n in range(1, 6)]
    (symptom,) = symptoms_of(records)
    assert symptom.where == "temperature 0.1 to 0.3 (and 1 trials there without it)"


def test_a_symptom_of_every_trial_is_anywhere_and_the_most_frequent_comes_first():
    """No range explains what all trials have."""
    records = [trial(n, ["no-separation", *(["overfit"] if n == 2 else [])], temperature=n / 10) for n in range(1, 4)]
    first, second = symptoms_of(records)
    assert (first.name, first.where, len(first.trials)) == ("no-separation", "anywhere", 3)
    assert second.where == "temperature 0.2"


def test_the_whole_backbone_is_the_end_of_its_range():
    """trainable_blocks of None trains all of it, more than any number."""
    records = [trial(n, ["overfit"] if n in (None, 4) else [], trainable_blocks=n) for n in (0, 2, 4, None)]
    for number, record in enumerate(records):
        record.number = number
    assert symptoms_of(records)[0].where == "trainable_blocks 4 to all"


def test_a_symptom_is_counted_once_a_trial():
    """It may last for many epochs."""
    record = trial(0, ["overfit"], temperature=0.1)
    record.epochs[2] = {"epoch": 2, "diagnoses": ["overfit", "diverging"]}
    record.epochs[3] = {"epoch": 3, "diagnoses": None}
    assert record.diagnoses == ["overfit", "diverging"]
    assert {symptom.trials for symptom in symptoms_of([record])} == {(0,)}
