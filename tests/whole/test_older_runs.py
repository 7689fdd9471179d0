"""Results made by an older program are read, compared, reported, exported and replayed by this one; resumed: tests/on_ray."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools import forked, older_run
from tests.tools.older_run import DEFAULTED, FIXTURE, RUN
from trainable.config import TrialConfig
from tuner import compare, export, replay, report, results
from tuner.cli.console import make_console
from tuner.cli.stored_options import TrialSource
from tuner.results.configuration import of_row
from tuner.results.one_run import WholeRun
from tuner.stored import reproduce
from tuner.stored import trial as stored_trial

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["as it was", "stripped"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run's results, beside its pairs, in the current folder; stripped: of much that an even older program had not."""
    found = older_run.copy(tmp_path)
    if request.param == "stripped":
        older_run.strip(found)
    monkeypatch.chdir(tmp_path)
    return found


def say(capsys: pytest.CaptureFixture, main: Callable[[list[str]], int], *arguments: str) -> str:
    """What a verb prints; it must end well."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    assert code == 0 and printed.err == "", printed.out + printed.err
    return printed.out


def test_it_is_read(root: Path) -> None:
    """All rows are there, and a hyperparameter that came later is what it was by default."""
    trials = results.trials(root)
    assert list(trials.trial) == [0, 1, 2, 3] and len(results.epochs(root)) >= 4
    for name in DEFAULTED:
        assert (trials[name] == getattr(TrialConfig(), name)).all()
    assert len(results.scores(root)) == 4 * len(results.scores(root, trials=[0]))


def test_its_trials_are_what_they_were(root: Path) -> None:
    """The configuration of a row is the one that the study kept when it was suggested."""
    study = (FIXTURE / "results" / "state" / RUN / "study.log").read_text().splitlines()
    values = [line["user_attr"]["values"] for line in map(json.loads, study) if "values" in line.get("user_attr", {})]
    run = WholeRun.read(str(root), RUN)
    assert [of_row(run.trial(number)) for number in run.trials.trial] == [TrialConfig.of(v) for v in values]
    assert run.searched == ("temperature",) and run.leader is not None and run.default == 0


def test_it_is_compared_and_reported(root: Path, capsys: pytest.CaptureFixture) -> None:
    """In the terminal and as a page, which shows every trial."""
    assert RUN in say(capsys, compare.main)
    say(capsys, report.main, RUN)
    page = (root / "reports" / f"{RUN}.html").read_text()
    assert "Winner beside default" in page and "temperature" in page


def test_it_is_replayed(root: Path, capsys: pytest.CaptureFixture) -> None:
    """The search before the move and the training of today give the same numbers, to the bit on a processor of the kind that
    the run had, else to rounding; what the run did not know is not compared."""
    code = replay.main([RUN, "0"])
    printed = capsys.readouterr()
    ending = "All [0-9]+ numbers are equal, bit for bit" if code == 0 else "of [0-9]+ numbers differ"
    assert code < 2 and printed.err == "" and re.search(ending, printed.out), printed.out + printed.err
    columns = {column.name: column for column in columns_of(0)}
    assert columns["contrastive_loss"].values == 2 and columns["score"].values == 40
    for column in columns.values():
        if column.equal < column.values:
            assert column.difference == pytest.approx(0, abs=1e-5 + 1e-4 * abs(column.stored)), column


def columns_of(number: int) -> list[reproduce.Column]:
    """A trial's numbers, stored and trained again."""
    console, source = make_console(), TrialSource()
    trial = stored_trial.find(source, RUN, number)
    backbone, data = stored_trial.create(trial), stored_trial.read_data(trial, source, console)
    epochs = trial.epochs()
    training, reports = reproduce.train_again(trial, backbone, data, len(epochs), console)
    return reproduce.compare(trial, epochs, reports, training)


def test_it_is_exported(root: Path, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    """From the weights that the run kept, with the scores that the tables have."""
    say(capsys, export.main, RUN, "--to", "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["trained_as"]["weight_decay"] == 0.05
    assert (tmp_path / "model" / "model.safetensors").stat().st_size > 0


LATER = """
import sys
from trainable.config import TrialConfig
from tuner import compare, export, replay, report, results
run = sys.argv[1]
assert TrialConfig().label_smoothing == 0.0
assert (results.trials().label_smoothing == 0.0).all()
for main, arguments in (
    (compare.main, []), (report.main, [run]), (replay.main, [run, "1"]), (export.main, [run, "--to", "model"])
):
    assert main(arguments) <= (main is replay.main), main  # 1: rounded otherwise, on another kind of processor
print(TrialConfig.of({"temperature": 0.2}).training_key())
"""


def test_a_hyperparameter_that_comes_later_has_its_default_there(tmp_path: Path) -> None:
    """A copy of the program with one more line in its configuration does all of that; keys, and so seeds, stay."""
    for package in ("search_spaces", "trainable", "tuner"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    config = tmp_path / "trainable" / "config.py"
    line = '    label_smoothing: float = column("how far targets are from 0 and 1", default=0.0, low=0, high=1)\n'
    text = config.read_text()
    config.write_text(text.replace("    seed: int = column(", f"{line}    seed: int = column("))
    older_run.copy(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    forked.start_server()
    with (tmp_path / "log").open("w") as log:
        code = forked.Process(["-c", LATER, RUN], tmp_path, environment, [log.fileno()] * 3).wait(600)
    said = (tmp_path / "log").read_text()
    assert code == 0, said
    assert said.splitlines()[-1] == TrialConfig(temperature=0.2).training_key()
    assert re.search("[0-9]+ numbers (are equal, bit for bit|differ)", said)
