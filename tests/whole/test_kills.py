"""benchmarks.kills: a search that is killed and gone on with loses nothing; and a loss would be seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import kills
from tests.tools import older_run
from tuner.results.writer import RunTables

SEARCH = """
import shutil, sys
from pathlib import Path
finished, root = sys.argv[1:]
shutil.copytree(finished, root, dirs_exist_ok=True)
(Path(root) / "reports").mkdir(exist_ok=True)
(Path(root) / "reports" / "temperature-before-rooms.html").touch()
"""
"""A search in no time: one that has been made."""
LOSES = """
(next(Path(root).glob("trials/*/*")) / "part-0.parquet").unlink()
"""


@pytest.mark.parametrize(("more", "code", "said"), [("", 0, "things lost: 0"), (LOSES, 1, "LOST: its trials are []")])
def test_searches_are_killed_and_left_to_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, more: str, code: int, said: str
) -> None:
    """Exit code 0 where nothing was lost, else 1, and what it was. A search that is killed is tests/on_ray/test_resume.py's."""
    started = subprocess.Popen

    def search(words: list[str], **options: Any) -> subprocess.Popen[bytes]:
        root = words[words.index("--results") + 1]
        if words[1] == "-c":
            return started([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **options)
        return started([sys.executable, "-c", SEARCH + more, str(older_run.FIXTURE / "results"), root], **options)

    monkeypatch.setattr(kills.subprocess, "Popen", search)
    assert kills.main(["--quick"]) == code
    output = capsys.readouterr().out
    assert said in " ".join(output.split()) and "kill at file operation 1: 0 trials had ended" in output


@pytest.mark.parametrize(("how", "code", "found"), [("kill", -9, ["0", "1"]), ("fail", 28, ["0", "1", "told"])])
def test_a_driver_ends_or_is_told_at_its_nth_file_operation(tmp_path: Path, how: str, code: int, found: list[str]) -> None:
    """Those below the results count, reading does not."""
    main = (
        "def main():\n"
        "    from pathlib import Path\n"
        "    for number in range(4):\n"
        "        (Path(sys.argv[1]).parent / 'elsewhere').write_text('')\n"
        "        try:\n"
        "            (Path(sys.argv[1]) / str(number)).write_text('')\n"
        "        except OSError as error:\n"
        "            Path(sys.argv[1], 'told').write_text('')\n"
        "            return error.errno\n"
        "        Path(sys.argv[1], str(number)).read_text()\n"
    )
    program = f"import sys, types\n{main}sys.modules['tuner.run'] = types.SimpleNamespace(main=main)\n{kills._AIMED}"
    (tmp_path / "results").mkdir()
    words = [sys.executable, "-c", program, how, "3", str(tmp_path / "results"), str(tmp_path / "results")]
    assert subprocess.run(words, check=False).returncode == code
    assert sorted(file.name for file in (tmp_path / "results").iterdir()) == found


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
