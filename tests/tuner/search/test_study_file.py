"""Study and tables agree after whatever killed the driver: nothing that ended is trained again, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

import search_spaces
from tests.tools.by_hand import Search
from trainable.errors import InputError
from tuner.search.study_file import mend_study, open_study

pytestmark = pytest.mark.usefixtures("quiet_optuna")


@pytest.fixture
def run(tmp_path):
    """A search over the temperature, with a completed and a pruned trial."""
    search = Search(tmp_path, search_spaces.load("temperature"))
    search.run(search.start(), 0.5, 0.9, 0.7)
    search.run(search.start(), 0.4, 0.6, stop=True)
    return search


def mended(run, saved=lambda number: False):
    mend_study(run.study_file, "run-a", run.tables, saved)


def again(run, tmp_path, **options):
    """The next attempt at the run, after what a resume does first."""
    mended(run)
    return Search(tmp_path, search_spaces.load("temperature"), attempt=2, **options)


def test_a_sound_study_stays_as_it_is(run):
    """To the byte."""
    before = run.study_file.read_bytes()
    mended(run)
    assert run.study_file.read_bytes() == before


@pytest.mark.parametrize("kept", [1, 40])
def test_a_torn_last_line_is_dropped(run, tmp_path, kept):
    """The driver was killed while it wrote: what it wrote before is there, and the run goes on."""
    whole = run.study_file.read_bytes()
    run.start()
    added = run.study_file.read_bytes()[len(whole) :]
    last = added.splitlines(keepends=True)[-1]
    run.study_file.write_bytes(whole + added[: -len(last)] + last[: min(kept, len(last) - 1)])
    search = again(run, tmp_path)
    assert [search.frozen(n).state for n in (0, 1)] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert search.start().config["number"] == 2


def test_a_lock_of_a_killed_driver_is_no_hindrance(run, tmp_path):
    """Optuna would wait half a minute for it at the next write."""
    Path(f"{run.study_file}.lock").symlink_to(run.study_file)
    search = again(run, tmp_path)
    assert search.start() is not None


@pytest.mark.parametrize("damage", ["removed", "emptied", "half"])
def test_a_study_that_does_not_know_the_tables_trials_is_refused(run, damage):
    """Else trials would be suggested, and numbered, as if there were none."""
    content = run.study_file.read_bytes()
    run.study_file.unlink()
    if damage != "removed":
        run.study_file.write_bytes(content[: len(content) // 2] if damage == "half" else b"")
    with pytest.raises(InputError, match=r"does not know the trials .*1 that are in the tables.*Restore it"):
        mended(run)


def test_a_damaged_line_within_is_named(run):
    """Nothing is cut off behind it."""
    lines = run.study_file.read_bytes().splitlines(keepends=True)
    lines[3] = b"\0" * 20 + b"\n"
    run.study_file.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=r"line 4 of .*study.log, .* is damaged.*Restore it"):
        open_study(run.study_file)


def test_what_is_in_the_tables_is_told_as_it_ended(run, tmp_path):
    """The driver was killed between the two: the row was written, the study not told."""
    search = Search(tmp_path, search_spaces.load("temperature"), attempt=2)
    told = search.searcher.study.tell
    search.searcher.study.tell = lambda *arguments: None
    search.run(search.start(), 0.3, 0.8, 0.6)
    search.run(search.start(), 0.2, stop=True)
    search.fail(search.start(), RuntimeError("broken"))
    assert told and [search.frozen(n).state for n in (2, 3, 4)] == [TrialState.RUNNING] * 3
    later = again(search, tmp_path)
    assert [later.frozen(n).state for n in (2, 3, 4)] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert later.frozen(2).value == 0.8 and later.frozen(2).intermediate_values == {1: 0.3, 2: 0.8, 3: 0.6}
    assert later.start().config["number"] == 5


@pytest.mark.parametrize("how", ["completed", "failed"])
def test_what_is_in_no_table_and_has_no_state_is_trained_again(run, tmp_path, how):
    """The study was told, the row not written, as where results ran full: same number, same configuration."""
    trial = run.start()
    values = trial.config["config"]
    run.writes_at_once = False
    if how == "completed":
        run.run(trial, 0.3, 0.8, 0.6)
    else:
        run.fail(trial, RuntimeError("broken"))
    run.recorder._unwritten.clear()
    assert run.frozen(2).state.is_finished()
    search = again(run, tmp_path)
    assert [search.frozen(n).state for n in (0, 1)] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert search.frozen(0).value == 0.9 and search.frozen(0).params == run.frozen(0).params
    following = search.start()
    assert (following.config["number"], following.config["config"]) == (2, values)


def test_what_has_a_saved_state_waits_for_it(run):
    """Its row is written from there."""
    run.writes_at_once = False
    run.run(run.start(), 0.3, 0.8, 0.6)
    run.recorder._unwritten.clear()
    mended(run, saved=lambda number: number == 2)
    assert run.frozen(2).state == TrialState.COMPLETE
