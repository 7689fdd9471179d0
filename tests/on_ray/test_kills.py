"""benchmarks.kills: a search that is killed and gone on with loses nothing; and a loss would be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import kills
from tuner.results.writer import RunTables


def test_a_search_that_is_killed_loses_nothing(cluster: Any, capsys: pytest.CaptureFixture) -> None:
    """At a file operation; exit code 0."""
    code = kills.main(["--quick", "--address", cluster.address])
    assert code == 0, capsys.readouterr().out


def test_what_is_lost_is_seen(tmp_path: Path) -> None:
    """A trial that is gone, one with other numbers, and a table that cannot be read."""
    search = kills.Search(tmp_path, tmp_path / "pairs.csv", kills.Options(trials=2))
    tables = RunTables(search.root, "temperature", "r1")
    tables.write_run({"state": "running"})
    (search.root / "state" / "r1").mkdir(parents=True)
    (search.root / "state" / "r1" / "run.json").write_text("{}")
    for trial in (0, 1):
        tables.append_trial({"trial": trial, "state": "completed", "objective": 0.5})
    search.check()
    assert search.wrong == [] and len(search.kept) == 2
    gone = search.kept.copy()
    tables.append_trial({"trial": 1, "state": "completed", "objective": 0.6})
    search.check()
    search.kept = pd.concat([gone.iloc[:1], gone.iloc[1:].rename(index={1: 7})])
    search.check()
    assert search.wrong == [
        "trial 1, which had ended, has other numbers: objective 0.5 -> 0.6",
        "trial 7, which had ended, is gone",
    ]


def test_what_all_trials_decide_is_no_number_of_one() -> None:
    """The share of wins is written once all trials have ended, a saved state may move; a list counts as a value."""
    before = pd.Series(
        {"objective": 0.5, "win_share": None, "checkpoint": "a", "val_auc": None, "said": np.array(["x"])}
    )
    after = pd.Series(
        {"objective": 0.5, "win_share": 0.25, "checkpoint": "b", "val_auc": np.nan, "said": np.array(["x"])}
    )
    assert kills.differences(before, after) == []
    assert kills.differences(before, after.drop("val_auc")) == []
    assert kills.differences(before, pd.Series({**after, "said": np.array(["y"])})) == ["said ['x'] -> ['y']"]


def test_every_kind_and_every_operation_is_aimed_at() -> None:
    """All kinds in turn at random moments; kills and full disks from the first operation on."""
    todo = kills.kills(kills.Options(random=16, aimed=6))
    assert {kill.name for kill in todo[:16]} == set(kills.KINDS)
    assert [kill.aimed for kill in todo[16:]] == [
        ("kill", "1"), ("fail", "1"), ("kill", "2"), ("fail", "2"), ("kill", "3"), ("fail", "3"),
    ]  # fmt: skip
    assert all(0.15 <= kill.moment <= 1 for kill in todo[:16])
