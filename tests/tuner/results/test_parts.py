"""A table that grows is several files of one run, of which only the newest is written again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tuner import results
from tuner.results import parts
from tuner.results.writer import RunTables


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Results whose files are full with four trials."""
    monkeypatch.setattr(parts, "FULL", 4)
    return str(tmp_path / "results")


def written(root: str, count: int, begin: int = 0) -> RunTables:
    """So many trials of two epochs each."""
    tables = RunTables(root, "a", "r1")
    for trial in range(begin, begin + count):
        tables.append_epochs([{"trial": trial, "epoch": epoch, "total_loss": 1.0} for epoch in (1, 2)])
        tables.append_trial({"trial": trial, "state": "completed", "objective": trial / 100})
    return tables


def files(root: str, table: str = "trials") -> list[Path]:
    """Of the table, by name."""
    return sorted(Path(root, table).rglob("*.parquet"))


def test_a_full_file_is_never_written_again_and_each_row_stands_in_one(root: str) -> None:
    """What a trial's end takes does not depend on how many there were."""
    written(root, 4)
    before = {file: file.stat().st_mtime_ns for file in files(root) + files(root, "epochs")}
    written(root, 7, begin=4)
    assert [file.name for file in files(root)] == ["part-0.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert [pq.read_metadata(file).num_rows for file in files(root)] == [4, 4, 3]
    for frame in (pd.read_parquet(f"{root}/trials"), results.trials(root)):
        assert list(frame.trial) == list(range(11))
    assert not pd.read_parquet(f"{root}/epochs").duplicated(["trial", "epoch"]).any()


def test_a_file_with_long_trials_is_full_sooner(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written again is bounded in rows, too."""
    monkeypatch.setattr(parts, "LONG", 4)
    written(root, 5)
    assert [pq.read_metadata(file).num_rows for file in files(root, "epochs")] == [4, 4, 2]


def test_a_trial_that_changes_later_is_replaced_where_it_stands(root: str) -> None:
    """A row again, its epochs again, a cell of it: there is no second one, in a full file or in the newest."""
    tables = written(root, 9)
    tables.append_trial({"trial": 1, "state": "failed"})
    tables.update_trials({2: {"win_share": 0.5}, 8: {"win_share": 0.25}})
    tables.append_epochs([{"trial": 1, "epoch": 2, "total_loss": 2.0}])
    frame = pd.read_parquet(f"{root}/trials").set_index("trial")
    assert list(frame.index) == list(range(9)) and frame.state[1] == "failed"
    assert (frame.win_share[2], frame.win_share[8], frame.objective[2]) == (0.5, 0.25, 0.02)
    epochs = pd.read_parquet(f"{root}/epochs").set_index(["trial", "epoch"]).total_loss
    assert len(epochs) == 18 and (epochs[1, 1], epochs[1, 2], epochs[2, 2]) == (1.0, 2.0, 1.0)


def test_a_resumed_run_goes_on_in_its_newest_file(root: str) -> None:
    """Rows come back in the order of trials, whatever the order in which these ended."""
    tables = written(root, 5, begin=1)
    tables.append_trial({"trial": 0, "state": "pruned"})
    again = RunTables(root, "a", "r1")
    assert [row["trial"] for row in again.trial_rows()] == list(range(6))
    assert [row["epoch"] for row in again.epoch_rows(5)] == [1, 2] and again.epoch_rows(0) == []
    again.append_trial({"trial": 6, "state": "completed"})
    assert [len(pq.ParquetFile(file).read()) for file in files(root)] == [4, 3]


def test_the_epochs_that_are_told_of_a_trial_are_its_ranked_and_its_last(root: str) -> None:
    """Others stay in the files."""
    tables = written(root, 0)
    tables.append_epochs([{"trial": 0, "epoch": epoch} for epoch in (1, 2, 3, 4)])
    tables.append_trial({"trial": 0, "state": "completed", "ranked_epoch": 2, "epochs": 4})
    assert [row["epoch"] for row in tables.epochs_told()] == [2, 4]


def test_a_long_file_of_an_older_program_is_read_and_left_alone(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had one file a run; what comes goes to the next."""
    with monkeypatch.context() as older:
        older.setattr(parts, "FULL", 1000)
        written(root, 20)
    before = files(root)[0].read_bytes()
    written(root, 1, begin=20)
    assert [file.name for file in files(root)] == ["part-0.parquet", "part-00001.parquet"]
    assert files(root)[0].read_bytes() == before and list(results.trials(root).trial) == list(range(21))
