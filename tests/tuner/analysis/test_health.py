"""Four lines that a repaired, healthy training satisfies, and that the broken run fails."""

from __future__ import annotations

import pytest

from tests.tools.by_hand import numbers
from trainable.config import TrialConfig
from trainable.diagnosis.remedies import REMEDIES
from tuner.analysis.health import _LINE_OF, health
from tuner.results.trial_record import COMPLETED, TrialRecord

HEALTHY = [
    {"contrastive_loss": 3.1, "consistency_loss": 0.62, "val_accuracy_solved": 0.61},
    {"contrastive_loss": 1.2, "consistency_loss": 0.31, "val_accuracy_solved": 0.88},
    {"contrastive_loss": 0.7, "consistency_loss": 0.22, "val_accuracy_solved": 0.93},
]
LINES = [
    "contrastive loss positive and falling",
    "consistency loss above 0 and falling",
    "validation accuracy rising and above 0.5",
    "positive similarity high and negative low",
]


def record(epochs, number=3, best_epoch=None, threshold=None, searched=("temperature",)):
    values = {"temperature": 0.123456, "threshold": threshold, "trainable_blocks": None}
    made = TrialRecord(
        number, TrialConfig.of(values), f"trial {number:03d}", {name: values[name] for name in searched}, number == 0
    )
    made.state = COMPLETED
    made.epochs = {epoch: numbers(epoch, 0.5) | extra for epoch, extra in enumerate(epochs, 1)}
    made.best_epoch = made.ranked_epoch = best_epoch or len(epochs)
    return made


def holds(made):
    return [check.holds for check in health(made, made.best["threshold"])]


def changed(**extra):
    """The healthy trial with its last epoch changed."""
    return record([*HEALTHY[:-1], HEALTHY[-1] | extra])


def test_a_healthy_trial_has_four_ticks():
    """In the words of the question, each with its numbers."""
    checks = health(record(HEALTHY), threshold=0.4)
    assert [check.text for check in checks] == LINES and all(check.holds for check in checks)
    assert checks[0].numbers == "3.1000 → 0.7000 (chance 3.466)"
    assert checks[1].numbers == "0.6200 → 0.2200"
    assert checks[2].numbers == "0.610 → 0.930 (threshold solved)"
    assert checks[3].numbers == "positive 0.700, negative 0.100, threshold 0.400 between them"


def test_the_broken_run_has_none():
    """A negative loss though falling, a consistency of 0, accuracy to 0.12 though rising, every similarity 1.0."""
    first = {"contrastive_loss": -13.5, "consistency_loss": 0.0, "val_accuracy_solved": 0.0}
    last = {"contrastive_loss": -14.0, "consistency_loss": 0.0, "val_accuracy_solved": 0.12}
    similar = {"positive_similarity": 1.0, "negative_similarity": 1.0, "threshold": 0.5}
    assert holds(record([first | similar, last | similar])) == [False] * 4


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        (0, {"contrastive_loss": 3.2}),
        (0, {"contrastive_loss": 3.1}),
        (0, {"contrastive_loss": -0.1}),
        (0, {"contrastive_loss": 0.0}),
        (1, {"consistency_loss": 0.7}),
        (1, {"consistency_loss": 0.0}),
        (2, {"val_accuracy_solved": 0.5}),
        (3, {"positive_similarity": 0.4}),
        (3, {"negative_similarity": 0.45}),
        (3, {"positive_similarity": 0.1, "negative_similarity": 0.7}),
    ],
)
def test_each_line_is_crossed_by_its_own_symptom_alone(line, extra):
    """Rising or negative loss, no spread, accuracy of chance, similarities on one side: the other three stay ticked."""
    assert holds(changed(**extra)) == [index != line for index in range(4)]


def test_accuracy_that_never_rose_is_crossed():
    """Above 0.5 from the start and no better since: nothing was learnt in between."""
    epochs = [epoch | {"val_accuracy_solved": 0.8} for epoch in HEALTHY]
    assert holds(record(epochs)) == [True, True, False, True]


def test_losses_are_judged_by_the_last_epoch_and_accuracy_by_the_best():
    """A best epoch that is the first does not make falling losses look flat; a last one that rose is crossed."""
    assert holds(record(HEALTHY, best_epoch=1)) == [True, True, False, True]
    worse = {"contrastive_loss": 9.0, "consistency_loss": 0.9, "val_accuracy_solved": 0.4}
    assert holds(record([*HEALTHY, worse], best_epoch=3)) == [False, False, True, True]


def test_one_epoch_cannot_tell_what_falls():
    """It is neither ticked nor crossed, unless it is broken already."""
    assert holds(record(HEALTHY[:1])) == [None, None, None, True]
    assert holds(record([HEALTHY[0] | {"contrastive_loss": -13.5}]))[0] is False


def test_the_threshold_of_the_test_is_the_one_judged():
    """Similarities on one side of it are crossed and said to be so; a searched threshold's own accuracy counts."""
    *_, apart = health(record(HEALTHY), threshold=0.9)
    assert apart.holds is False and apart.numbers.endswith("threshold 0.900 not between them")
    useless = record([epoch | {"val_accuracy": 0.5} for epoch in HEALTHY], threshold=0.9, searched=("threshold",))
    assert health(useless, 0.9, threshold_searched=True)[2].holds is False


@pytest.mark.parametrize(
    ("name", "line"),
    [("update-too-large", 0), ("temperature-too-low", 0), ("low-feature-std", 1), ("overfit", 2), ("precision-artefact", 3)],
)
def test_what_was_diagnosed_has_no_four_ticks(name, line):
    """Numbers that look well do not outweigh a diagnosis, of whatever epoch: its line is crossed, and says so."""
    for epoch in range(3):
        epochs = [numbers | ({"diagnoses": [name]} if at == epoch else {}) for at, numbers in enumerate(HEALTHY)]
        made = record(epochs)
        assert holds(made) == [index != line for index in range(4)]
        assert health(made, 0.4)[line].numbers.endswith(f"; diagnosed: {name}")


def test_every_diagnosis_that_is_given_a_line_exists():
    """By the names of the result tables."""
    assert set(_LINE_OF) <= set(REMEDIES)
