"""What a person sees while a search runs, on a terminal and in a file."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.tools.by_hand import numbers
from trainable.config import TrialConfig
from tuner.cli.console import file_progress, make_console
from tuner.reporting import live_table
from tuner.reporting.live_table import Display
from tuner.results.trial_record import COMPLETED, FAILED, PRUNED, RUNNING, SICK, WAITING, TrialRecord

SEARCHED = ("temperature", "trainable_blocks", "backbone_lr_ratio")


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(live_table, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def record(number, state, *objectives, temperature=0.07, blocks=None, error=None):
    values = {"temperature": temperature, "trainable_blocks": blocks, "backbone_lr_ratio": 1.0}
    searched = {name: value for name, value in values.items() if blocks != 0 or name != "backbone_lr_ratio"}
    config = TrialConfig.of(values)
    made = TrialRecord(number, config, f"trial {number:03d} temperature={temperature}", searched, number == 0, state)
    made.epochs = {epoch: numbers(epoch, objective) for epoch, objective in enumerate(objectives, 1)}
    made.best_epoch = made.ranked_epoch = 1 + objectives.index(max(objectives)) if objectives and state != FAILED else 0
    made.ended = 5.0 + number if state in (COMPLETED, PRUNED, SICK, FAILED) else None
    made.error = error
    return made


def shown(records, terminal=False, height=40, trials=16, width=140, **options):
    """A display of these records, on a console that writes to a text."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system=None)
    made = Display(console, trials, 10, options.pop("metric", "val_accuracy"), SEARCHED)
    made.show({r.number: r for r in records})
    made.changed(record(0, RUNNING))  # a first trial trains from now on
    return made, console


def text_of(console):
    return console.file.getvalue()


def test_the_table_has_a_row_a_trial_in_the_order_of_numbers():
    """Parameters, epoch, accuracy, AUC, both losses and the state; nothing is cut off at the file's width."""
    records = [
        record(2, RUNNING, 0.6, 0.55, temperature=0.5, blocks=0),
        record(0, COMPLETED, 0.5, 0.9, 0.7),
        record(1, WAITING, temperature=0.00001, blocks=2),
    ]
    table, console = shown(records)
    console.print(table.table(records))
    lines = [" ".join(line.split()) for line in text_of(console).splitlines()]
    assert lines[0] == ("trial τ blocks lr ratio epoch AUC acc contr. consist. state")
    assert lines[1] == "default 0 0.0700 all 1.0000 3/10 0.7500 0.9000 1.0000 0.6000 completed"
    assert lines[2] == "1 1.0e-05 2 1.0000 0/10 - - - - waiting"
    assert lines[3] == "2 0.5000 0 - 2/10 0.7500 0.5500 1.0000 0.6000 running"
    assert len(lines) == 4 and "…" not in text_of(console)


@pytest.mark.parametrize(("metric", "best"), [("val_accuracy", 1), ("val_eer", 2)])
def test_the_best_trial_so_far_is_bold(metric, best):
    """As the metric ranks them, and no other."""
    records = [record(0, COMPLETED, 0.6), record(1, PRUNED, 0.9), record(2, COMPLETED, 0.2), record(3, RUNNING, 0.95)]
    table, _ = shown(records, metric=metric)
    assert [row.style for row in table.table(records).rows] == ["bold" if n == best else None for n in range(4)]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_row_fits_every_width_and_says_its_state(width):
    """Least needed columns go first, and which ones is said; no cell is cut, no row wrapped, the state always there."""
    records = [record(0, COMPLETED, 0.5, 0.9), record(11, FAILED, temperature=0.00001, blocks=12)]
    records.append(twin := record(12, COMPLETED, 0.5, blocks=2))
    twin.replay_of, twin.is_extra = 11, True
    made, console = shown(records, width=width, terminal=True)
    console.print(made._render())
    lines = text_of(console).splitlines()
    assert all(len(line) <= width for line in lines) and "…" not in text_of(console)
    head, *rows = lines[:4]
    assert head.split()[-1] == "state" and "AUC" in head
    assert [row.split()[0] for row in rows] == ["default", "11", "+12"]
    assert [row.rstrip().endswith(state) for row, state in zip(rows, (COMPLETED, FAILED, "= 11"), strict=True)] == [
        True
    ] * 3
    assert ("not shown at this width" in text_of(console)) == (width < 100)


def test_extra_rows_are_marked_and_counted_apart():
    """Two trials were asked for: a third row, at a favoured threshold, is no third trial."""
    records = [record(0, COMPLETED, 0.5), record(1, COMPLETED, 0.5), record(2, COMPLETED, 0.5)]
    records[2].is_extra, records[2].replay_of = True, 1
    made, console = shown(records, trials=2)
    console.print(made._render())
    assert "2/2 trials + 1 at favoured thresholds" in text_of(console)


def test_the_time_left_counts_from_the_first_training_step(clock):
    """What Ray and the first imports took says nothing of the trials to come."""
    console = Console(file=io.StringIO(), width=140, color_system=None)
    made = Display(console, 4, 10, "val_accuracy", SEARCHED)
    made.show({0: (first := record(0, WAITING))})
    clock.s += 100
    first.state = RUNNING
    made.changed(first)
    clock.s += 10
    first.state, first.ended = COMPLETED, 1.0
    console.print(made._render())
    assert text_of(console).splitlines()[-1].endswith("1/4 trials · 1:50 so far, 0:30 left")


def test_a_search_without_a_trial_yet_shows_its_head():
    """The table and the bar can be drawn before anything has happened."""
    made, console = shown([])
    console.print(made._render())
    assert "τ" in text_of(console) and "0/16 trials" in text_of(console)
    assert "time left not known yet" in text_of(console)


def test_the_bar_counts_trials_and_says_the_time_left(clock):
    """Four of sixteen in a minute: three minutes to go."""
    records = [record(number, WAITING) for number in range(4)]
    made, console = shown(records)
    clock.s += 60
    for ended in records:
        ended.ended = 1.0
    console.print(made._render())
    last = text_of(console).splitlines()[-1]
    assert last.endswith("4/16 trials · 1:00 so far, 3:00 left")
    assert last.count("━") == 40


def test_a_running_trial_counts_by_its_epochs(clock):
    """Trials take five epochs on average here, so one that has trained two is two fifths done: 0.4 of 16 in 30 s."""
    running = record(1, RUNNING)
    made, console = shown([record(0, COMPLETED, *[0.5] * 5), running])
    clock.s += 30
    running.epochs = {1: numbers(1, 0.5), 2: numbers(2, 0.5)}
    console.print(made._render())
    assert text_of(console).splitlines()[-1].endswith("1/16 trials · 0:30 so far, 18:15 left")


def test_what_an_earlier_attempt_did_took_no_time_now(clock):
    """A resumed run reckons the time left from its own trials only."""
    records = [record(number, COMPLETED, 0.5) for number in range(8)]
    made, console = shown([*records, late := record(8, WAITING)])
    clock.s += 10
    late.ended = 1.0
    console.print(made._render())
    assert text_of(console).splitlines()[-1].endswith("9/16 trials · 0:10 so far, 1:10 left")


def test_long_searches_show_hours(clock):
    """One trial in an hour leaves fifteen."""
    made, console = shown([only := record(0, WAITING)])
    clock.s += 3600
    only.ended = 1.0
    console.print(made._render())
    assert text_of(console).rstrip().endswith("1:00:00 so far, 15:00:00 left")


def test_a_low_terminal_shows_the_running_and_the_latest_trials():
    """What does not fit is what ended first."""
    records = [record(number, COMPLETED, 0.5) for number in range(20)] + [record(20, RUNNING, 0.5), record(21, WAITING)]
    made, console = shown(records, height=14)
    console.print(made._render())
    assert [line.split()[0] for line in text_of(console).splitlines()[1:-1]] == ["16", "17", "18", "19", "20", "21"]


def test_in_a_file_a_line_says_that_a_trial_ended_and_how(clock):
    """Its parameters, best numbers, state, place in the search and time left, without control characters."""
    done = record(3, COMPLETED, 0.5, 0.9, 0.7)
    made, console = shown([record(0, RUNNING, 0.5), done])
    clock.s += 5
    with made:
        made.changed(done)
        line = text_of(console)
    assert line.count("\n") == 1 and "\x1b" not in line
    assert line.startswith("[  1/16] trial 003 temperature=0.07 · completed at epoch 3/10 · val_accuracy 0.9000")
    assert "val_auc 0.7500 · contrastive_loss 1.0000 · consistency_loss 0.6000" in line
    assert "0:05 so far" in line


def test_in_a_file_the_reason_of_a_failure_is_on_its_line():
    """Brackets in it are text, not markup."""
    broken = record(1, FAILED, error="ValueError: [red] is no colour")
    made, console = shown([broken])
    made.changed(broken)
    assert text_of(console).rstrip().endswith("ValueError: [red] is no colour · 0:00 so far, time left not known yet")
    assert "failed at epoch 0/10 · val_accuracy - " in text_of(console)


def test_in_a_file_a_long_silence_is_broken_and_a_short_one_is_not(clock):
    """A running trial gives a sign of life every half minute, not every epoch."""
    running = record(0, RUNNING, 0.5, 0.6)
    made, console = shown([running])
    for second in range(1, 100):
        clock.s = 1000.0 + second
        made.changed(running)
    lines = text_of(console).splitlines()
    assert len(lines) == 3
    assert all("running" in line and "at epoch 2/10 · val_accuracy 0.6000" in line for line in lines)


def test_in_a_file_the_table_is_written_once_at_the_end():
    """And not when the search was broken off by an error."""
    made, console = shown([record(0, COMPLETED, 0.5)])
    with made:
        assert text_of(console) == ""
    assert "contr." in text_of(console) and "completed" in text_of(console)
    made, console = shown([record(0, COMPLETED, 0.5)])
    with pytest.raises(ZeroDivisionError), made:
        raise ZeroDivisionError
    assert text_of(console) == ""


def test_on_a_terminal_the_table_is_live_and_no_lines_are_printed():
    """The last picture stays on the screen."""
    done = record(0, COMPLETED, 0.5, 0.9)
    made, console = shown([done], terminal=True)
    with made:
        made.changed(done)
    assert "1/16 trials" in text_of(console) and "0.9000" in text_of(console)
    assert "at epoch" not in text_of(console)


def test_a_file_gets_a_console_wide_enough_for_every_column(monkeypatch):
    """Whatever COLUMNS says; a terminal keeps its own width."""
    monkeypatch.setenv("COLUMNS", "60")
    assert make_console().width == 140
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert make_console().width == 60


def test_progress_on_files_is_silent_in_a_file():
    """A bar on a terminal only; it can be called without knowing which."""
    console = Console(file=io.StringIO())
    with file_progress(console, "reading") as progress:
        progress(1, 2)
    assert text_of(console) == ""
