"""Which run is meant by a name, the start of one, a space, or `latest`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trainable.errors import InputError
from tuner.compare import main as compare
from tuner.report import main as report
from tuner.results.naming import named_run
from tuner.results.writer import RunTables

RUNS = {
    "joint-a1": ("joint", 3),
    "joint-a2": ("joint", 1),
    "temperature-b1": ("temperature", 2),
    "odd": ("joint", None),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs, begun in an order that is not that of their names."""
    folder = tmp_path_factory.mktemp("results")
    for name, (space, hour) in RUNS.items():
        started = None if hour is None else datetime(2026, 1, 1, hour, tzinfo=UTC)
        row = {"state": "interrupted", "metric": "val_auc", "searched": ["temperature"], "trials_done": 0}
        RunTables(folder, space, name).write_run(row | {"started_at": started})
    return folder


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("joint-a2", "joint-a2"), ("latest", "joint-a1"), ("joint", "joint-a1"), ("temperature", "temperature-b1"),
        ("temp", "temperature-b1"), ("o", "odd"), ("nothing", "nothing"), ("", ""),
    ],
)  # fmt: skip
def test_a_run_is_meant_by_its_name_the_start_of_it_its_space_or_as_the_latest(root: Path, asked: str, meant: str):
    """A space means its latest run, whatever begins with its name; what means none stays as it was given."""
    assert named_run(root, asked) == meant


def test_the_start_of_several_names_is_refused_with_those(root: Path):
    """Nobody's page is made for another run's."""
    with pytest.raises(InputError, match=r"2 runs in .* begin with 'joint-': joint-a1, joint-a2"):
        named_run(root, "joint-")


def test_where_there_is_no_run_none_is_meant(tmp_path: Path):
    """Also where the folder is not there."""
    assert named_run(tmp_path / "none", "latest") == "latest"


def test_a_page_is_made_of_the_latest_run(root: Path, capsys: pytest.CaptureFixture[str]):
    """The command says which it was by the file's name."""
    assert report(["latest", "--results", str(root)]) == 0
    assert capsys.readouterr().out.strip() == str(root / "reports" / "joint-a1.html")
    assert report(["joint-", "--results", str(root)]) == 2


def test_a_comparison_takes_a_run_once_however_often_it_is_named(root: Path, capsys: pytest.CaptureFixture[str]):
    """`temp` and `temperature` are the same run here."""
    assert compare(["temp", "temperature", "--results", str(root), "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "temperature-b1" in lines[1]
