"""How a search ends: winner beside default on test pairs, honestly, and four lines on the winner's health."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from tests.tools.by_hand import numbers
from tests.tools.synthetic import pair_data
from trainable.config import TrialConfig
from trainable.metrics import bootstrap
from tuner.analysis.health import health
from tuner.analysis.winner import TestPairs, run_columns
from tuner.reporting.summary import print_verdict
from tuner.results.schema import SCHEMAS
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
    config = TrialConfig.of(values)
    made = TrialRecord(number, config, f"trial {number:03d}", {name: values[name] for name in searched}, number == 0)
    made.state = COMPLETED
    made.epochs = {epoch: numbers(epoch, 0.5) | extra for epoch, extra in enumerate(epochs, 1)}
    made.best_epoch = best_epoch or len(epochs)
    return made


def holds(made):
    return [check.holds for check in health(made, made.best["threshold"])]


def changed(**extra):
    """The healthy trial with its last epoch changed."""
    return record([*HEALTHY[:-1], HEALTHY[-1] | extra])


@pytest.fixture(scope="module")
def data():
    """60 test pairs of 30 identities."""
    return pair_data(size_px=4, identities=90)


@pytest.fixture(scope="module")
def pairs(data):
    return TestPairs(data)


def scores_at(pairs, accuracy, seed=0):
    """Test scores of which this share is on the right side of 0.5."""
    random = np.random.default_rng(seed)
    right = random.permutation(len(pairs.labels)) < accuracy * len(pairs.labels)
    offset = random.uniform(0.01, 0.4, len(right))
    return (0.5 + np.where((pairs.labels == 1) == right, offset, -offset)).astype(np.float32)


def compared(pairs, winner, default, fair=None):
    results = [pairs.result(scores_at(pairs, share, seed), 0.5) for seed, share in enumerate((winner, default))]
    third = dataclasses.replace(results[1], threshold=0.41) if fair is None else pairs.result(*fair)
    return pairs.compare(*results, third)


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


def test_one_epoch_cannot_tell_what_falls(pairs):
    """It is neither ticked nor crossed, unless it is broken already."""
    assert holds(record(HEALTHY[:1])) == [None, None, None, True]
    assert holds(record([HEALTHY[0] | {"contrastive_loss": -13.5}]))[0] is False
    assert "? contrastive loss" in printed(compared(pairs, 0.9, 0.6), record(HEALTHY[:1]), record(HEALTHY, number=0))


def test_the_threshold_of_the_test_is_the_one_judged():
    """Similarities on one side of it are crossed and said to be so; a searched threshold's own accuracy counts."""
    *_, apart = health(record(HEALTHY), threshold=0.9)
    assert apart.holds is False and apart.numbers.endswith("threshold 0.900 not between them")
    useless = record([epoch | {"val_accuracy": 0.5} for epoch in HEALTHY], threshold=0.9, searched=("threshold",))
    assert health(useless, 0.9, threshold_searched=True)[2].holds is False


def test_test_results_are_at_the_threshold_that_was_given(pairs):
    """No threshold is looked for on test pairs, though a better one is there."""
    scores = scores_at(pairs, 1.0)
    assert pairs.result(scores, 0.5).accuracy == 1.0
    accept_all = pairs.result(scores, -1.0)
    assert accept_all.threshold == -1.0 and accept_all.accuracy == 0.5
    assert accept_all.auc == pairs.result(scores, 0.5).auc == 1.0
    assert np.array_equal(accept_all.correct, pairs.labels == 1)


def test_only_test_pairs_are_counted(data, pairs):
    """Their number, their labels and their identities."""
    rows = data.rows("test")
    assert len(pairs.labels) == len(rows) == 60 and pairs.identities == 30
    assert np.array_equal(pairs.labels, data.pair_label[rows])


def test_intervals_are_by_identity_bootstrap(data, pairs):
    """Accuracy, AUC and difference each on the same resamples of identities, and around their values."""
    rows = data.rows("test")
    resamples = bootstrap.identity_resamples(data.front_identity[rows], data.angle_identity[rows])
    found = compared(pairs, 0.9, 0.6)
    assert found.winner.accuracy_interval == bootstrap.interval(found.winner.correct, resamples)
    assert found.winner.auc_interval == bootstrap.auc_interval(scores_at(pairs, 0.9), pairs.labels, resamples)
    assert found.difference_interval == bootstrap.difference_interval(
        found.winner.correct, found.default.correct, resamples
    )
    assert found.difference == pytest.approx(0.3)
    for value, (low, high) in [
        (found.winner.accuracy, found.winner.accuracy_interval),
        (found.winner.auc, found.winner.auc_interval),
        (found.difference, found.difference_interval),
    ]:
        assert low < value < high


def test_a_trial_compared_with_itself_differs_by_nothing(pairs):
    """Same pairs, same resamples: the interval is a point, not the width of two independent ones."""
    result = pairs.result(scores_at(pairs, 0.8), 0.5)
    same = pairs.compare(result, result, result)
    assert same.difference == 0 and same.difference_interval == (0, 0)


def printed(comparison, winner, default, searched=("temperature",)):
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_verdict(console, comparison, winner, default, searched)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("winner", "default", "sentence"),
    [
        (0.95, 0.5, "the winner is better"),
        (0.5, 0.95, "the winner is worse"),
        (0.8, 0.8, "not told apart by these test pairs"),
    ],
)
def test_the_interval_of_the_difference_is_put_into_words(pairs, winner, default, sentence):
    """Better or worse only where the interval leaves out 0."""
    text = printed(compared(pairs, winner, default), record(HEALTHY), record(HEALTHY, number=0, threshold=0.5))
    (line,) = [line for line in text.splitlines() if line.startswith("winner − default:")]
    assert line.endswith(sentence)
    assert f"{winner - default:+.3f} in accuracy, 95 % interval" in line


def test_the_verdict_shows_both_trials_and_where_their_thresholds_are_from(pairs):
    """A line for the winner, the default as it is used, and the default with a solved threshold where that differs."""
    default = record(HEALTHY, number=0, threshold=0.5)
    text = printed(compared(pairs, 0.9, 0.6), record(HEALTHY), default)
    assert "winner   trial 3: temperature 0.1235, threshold solved" in text
    assert "default  trial 0: temperature 0.1235, threshold 0.5" in text
    assert "0.500 solved" in text and "0.500 fixed" in text
    assert "default, threshold solved" in text and "0.410 solved" in text
    assert "winner − default with a solved threshold:" in text
    assert "60 test pairs of 30 identities" in text
    same = compared(pairs, 0.9, 0.6, fair=(scores_at(pairs, 0.6, 1), 0.5))
    assert "default, threshold solved" not in printed(same, record(HEALTHY), default)


def test_a_searched_threshold_is_called_so(pairs):
    """In a search over thresholds the winner's is its own."""
    winner = record(HEALTHY, threshold=0.5, searched=("threshold",))
    text = printed(compared(pairs, 0.9, 0.6), winner, record(HEALTHY, number=0, threshold=0.5), ("threshold",))
    assert "0.500 searched" in text and "0.500 fixed" in text


def test_the_verdict_ticks_and_crosses_the_four_lines(pairs):
    """Each on a line of its own, with its numbers."""
    text = printed(compared(pairs, 0.9, 0.6), changed(consistency_loss=0.0), record(HEALTHY, number=0))
    for line, mark in zip(LINES, "✓✗✓✓", strict=True):
        assert any(row.strip().startswith(f"{mark} {line}") for row in text.splitlines()), line
    assert "trial 3, losses from its first to its last epoch, the rest at its best, 3 of 3" in text


def test_a_default_that_wins_is_not_better_than_itself(pairs):
    """What is told is what solving its threshold changes."""
    default = record(HEALTHY, number=0, threshold=0.5)
    text = printed(compared(pairs, 0.9, 0.6), default, default)
    assert "The default configuration is the winner" in text and "what solving its threshold changes: +0.300" in text
    assert "the winner is better" not in text


def test_the_comparison_fits_the_runs_table(pairs):
    """Every column exists there, and low ends lie below high ends."""
    columns = run_columns(compared(pairs, 0.9, 0.6), record(HEALTHY))
    assert columns.keys() <= set(SCHEMAS["runs"].names)
    assert columns["winner_trial"] == 3 and columns["threshold_winner"] == 0.5
    assert columns["test_accuracy_winner"] == pytest.approx(0.9)
    for name in ("test_accuracy_winner", "test_accuracy_default", "test_difference"):
        assert columns[f"{name}_low"] < columns[name] < columns[f"{name}_high"]
    assert columns["test_difference_solved"] == pytest.approx(0.9 - columns["test_accuracy_default_solved"])
    assert columns["test_identities"] > 0
