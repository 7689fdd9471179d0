"""How a search ends in the terminal: winner beside default on test pairs, what to do, and the winner's four lines."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.tools.synthetic import pair_data
from tests.tuner.analysis.test_health import HEALTHY, LINES, changed, record
from tests.tuner.analysis.test_winner import compared, scores_at
from tuner.analysis.winner import TestPairs, run_columns
from tuner.reporting.answers import answers
from tuner.reporting.summary import print_verdict
from tuner.results.one_run import WholeRun
from tuner.results.schema import SCHEMAS
from tuner.results.writer import RunTables


@pytest.fixture(scope="module")
def pairs():
    """60 test pairs of 30 identities."""
    return TestPairs(pair_data(size_px=4, identities=90))


@pytest.fixture
def printed(tmp_path):
    """Print the end of a run with this comparison, winner and default; its tables are written and read on the way."""

    def show(comparison, winner, default, searched=("temperature",), width=160):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        run = stored(folder, comparison, winner, default, searched)
        console = Console(file=io.StringIO(), width=width, color_system=None)
        print_verdict(console, run)
        return console.file.getvalue()

    return show


def stored(folder: Path, comparison, winner, default, searched) -> WholeRun:
    tables = RunTables(folder, "joint", "joint-1")
    for trial in {each.number: each for each in (default, winner)}.values():
        told = [{"trial": trial.number} | epoch for epoch in trial.epochs.values()]
        names = SCHEMAS["epochs"].names
        tables.append_epochs([{name: epoch[name] for name in names if name in epoch} for epoch in told])
        threshold = trial.config.threshold
        source = "solved" if threshold is None else "searched" if "threshold" in searched else "fixed"
        row = {
            "temperature": trial.config.temperature,
            "trainable_blocks": 4,
            "threshold_source": source,
            "threshold": threshold or 0.5,
        }
        # Winner and default differ in the temperature, unless they are one trial or only thresholds were searched.
        row["temperature"] += 0.1 * (trial.number == 0 and "temperature" in searched)
        row |= {"state": "completed", "is_default": trial.number == 0, "objective": 0.9}
        row |= {"best_epoch": trial.best_epoch, "ranked_epoch": trial.ranked_epoch}
        tables.append_trial({"trial": trial.number} | row)
    known = {"state": "finished", "metric": "val_accuracy", "searched": list(searched), "test_pairs": comparison.pairs}
    tables.write_run(known | run_columns(comparison, winner))
    return WholeRun.read(str(folder), "joint-1")


@pytest.mark.parametrize(
    ("winner", "default", "sentence"),
    [(0.95, 0.5, "better beyond noise"), (0.5, 0.95, "worse beyond noise"), (0.8, 0.8, "not told apart")],
)
def test_the_interval_of_the_difference_is_put_into_words(pairs, printed, winner, default, sentence):
    """Better or worse only where the interval leaves out 0."""
    text = printed(compared(pairs, winner, default), record(HEALTHY), record(HEALTHY, number=0, threshold=0.5))
    (line,) = [line for line in text.splitlines() if line.startswith("winner − default:")]
    assert line.endswith(sentence)
    assert f"{winner - default:+.3f}, 95 % interval" in line


def test_the_verdict_says_what_to_do(pairs, printed):
    """In the words of the page: the winner only where it is better beyond noise, else the default."""
    default = record(HEALTHY, number=0, threshold=0.5)
    better = compared(pairs, 0.95, 0.5, fair=(scores_at(pairs, 0.5, 3), 0.41))
    assert "What to do  Use the winner, trial 3." in printed(better, record(HEALTHY), default)
    noise = printed(compared(pairs, 0.8, 0.8), record(HEALTHY), default)
    assert "What to do  Keep the default configuration: nothing tried is surely better." in noise


def test_the_verdict_shows_both_trials_and_where_their_thresholds_are_from(pairs, printed):
    """A line for the winner, the default as it is used, and the default with a solved threshold where that differs."""
    default = record(HEALTHY, number=0, threshold=0.5)
    text = printed(compared(pairs, 0.9, 0.6), record(HEALTHY), default)
    assert "winner   trial 3: temperature 0.123, threshold solved" in text
    assert "default  trial 0: temperature 0.223, threshold 0.5" in text
    assert "0.500 solved" in text and "0.500 fixed" in text
    assert "default, solved" in text and "0.410 solved" in text
    assert "winner − default with a solved threshold:" in text
    assert "60 test pairs of 30 identities" in text
    same = compared(pairs, 0.9, 0.6, fair=(scores_at(pairs, 0.6, 1), 0.5))
    assert "default, solved" not in printed(same, record(HEALTHY), default)


def test_a_searched_threshold_is_called_so(pairs, printed):
    """In a search over thresholds the winner's is its own, and only the threshold has moved."""
    winner = record(HEALTHY, threshold=0.6, searched=("threshold",))
    found = compared(pairs, 0.9, 0.6)
    text = printed(found, winner, record(HEALTHY, number=0, threshold=0.5), ("threshold",))
    assert "0.500 searched" in text


def test_the_verdict_ticks_and_crosses_the_four_lines(pairs, printed):
    """Each on a line of its own, with its numbers."""
    text = printed(compared(pairs, 0.9, 0.6), changed(consistency_loss=0.0), record(HEALTHY, number=0))
    for line, mark in zip(LINES, "✓✗✓✓", strict=True):
        assert any(row.strip().startswith(f"{mark} {line}") for row in text.splitlines()), line
    assert "trial 3, losses from its first to its last epoch, the rest at epoch 3 of 3" in text


def test_one_epoch_cannot_tell_what_falls(pairs, printed):
    """It is neither ticked nor crossed."""
    text = printed(compared(pairs, 0.9, 0.6), record(HEALTHY[:1]), record(HEALTHY, number=0))
    assert "? contrastive loss" in text and "one epoch cannot tell" in text


def test_a_default_that_wins_is_not_compared_with_itself(pairs, printed):
    """Its model is the winner's: no row and no difference of 0 stands there."""
    default = record(HEALTHY, number=0, threshold=0.5)
    text = printed(compared(pairs, 0.9, 0.6), default, default)
    assert "winner − default" not in text and "+0.000" not in text
    assert "Keep the default configuration." in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_verdict_fits_the_terminal(pairs, printed, width):
    """No table's row is cut off or wrapped; sentences wrap by themselves."""
    text = printed(compared(pairs, 0.9, 0.6), record(HEALTHY), record(HEALTHY, number=0, threshold=0.5), width=width)
    rows = [line for line in text.splitlines() if line.startswith(("winner  ", "default  ", "default, solved"))]
    assert all(len(line) <= width for line in rows) and any("solved" in line and " to " in line for line in rows)


def test_the_verdict_says_what_the_winner_is_worth(tmp_path, pairs):
    """Beside what test pairs said, in the page's words; of a run that does not know, nothing."""
    run = stored(tmp_path, compared(pairs, 0.9, 0.6), record(HEALTHY), record(HEALTHY, number=0), ("temperature",))
    tables = RunTables(tmp_path, "joint", "joint-1")
    tables.update_trials({3: {"val_auc": 0.93, "val_accuracy": 0.86, "win_share": 0.61}})
    expected = {"expected_auc": 0.92, "expected_accuracy": 0.85, "winner_share": 0.61, "beats_default_share": 0.83}
    tables.write_run(expected | {"trials_done": 16, "metric": "val_auc"})
    for told, said in ((run, False), (WholeRun.read(str(tmp_path), "joint-1"), True)):
        console = Console(file=io.StringIO(), width=160, color_system=None)
        print_verdict(console, told)
        text = console.file.getvalue()
        assert ("Validation AUC 0.930; chosen as the best of 16 trials, so expect about 0.920" in text) is said
        assert ("it beats the default with a solved threshold in 83 %." in text) is said
        (sure,) = [answer for answer in answers(told, []) if answer.question == "How sure is that?"]
        assert any("so expect about 0.920" in line for line in sure.lines) is said
    assert WholeRun.read(str(tmp_path), "joint-1").value(3, "temperature") == run.value(3, "temperature")
