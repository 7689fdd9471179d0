"""A trial trained again from its row alone gives every number of its epochs, to the bit, and says what differs if not."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.tools.finished_run import (
    BROKEN,
    COMPLETE,
    CRASHED,
    DIVERGED,
    REPLAYED,
    RUN,
    SPACE,
    STOPPED,
    TRIED_AGAIN,
    FinishedRun,
)
from trainable.data.read_pairs import read_pairs
from tuner import replay
from tuner.results import provenance
from tuner.results.schema import SCHEMAS
from tuner.results.writer import RunTables

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def copied(run: FinishedRun, tmp_path: Path) -> Path:
    """The run's tables, to be changed."""
    return shutil.copytree(run.root, tmp_path / "results")


def reproduce(capsys, root: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and output."""
    code = replay.main([*map(str, arguments), "--results", str(root)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def change(root: Path, table: str, **values: object) -> None:
    """Write other values into a table's first row."""
    tables = RunTables(root, SPACE, RUN)
    if table == "runs":
        tables.write_run(values)
    elif table == "epochs":
        tables.append_epochs([tables.epoch_rows(0)[0] | values, tables.epoch_rows(0)[1]])


@pytest.mark.parametrize("trial", [COMPLETE, STOPPED, DIVERGED, BROKEN, REPLAYED, TRIED_AGAIN])
def test_every_number_is_the_same(capsys, run: FinishedRun, trial: int) -> None:
    """Of a completed, a pruned, a sick and a failed trial, and of one that the search judged by another's scores."""
    code, output = reproduce(capsys, run.root, RUN, trial)
    assert code == 0, output
    assert "numbers are equal, bit for bit" in output
    row = run.rows(trial)
    assert f"{row['state']}: {row['epochs']} of 2 epochs, on cpu in fp32 with 1 thread" in output
    columns = {line.split()[0] for line in output.splitlines() if re.search(r" (\d+)/\1 ", line)}
    clock = {"trial", "epoch", "epoch_s", "validation_s"}
    assert set(SCHEMAS["epochs"].names) - clock | {"epochs", "best_epoch"} <= columns
    assert ("score" in columns) == (trial != DIVERGED)


def test_what_a_trial_was_is_said(capsys, run: FinishedRun) -> None:
    """Why a failed one ends early, and that a replayed one was not trained by the search."""
    assert "it failed (RuntimeError: a cable came loose)" in reproduce(capsys, run.root, RUN, BROKEN)[1]
    assert (
        f"by the scores of trial {COMPLETE}; here it is trained itself" in reproduce(capsys, run.root, RUN, REPLAYED)[1]
    )


def test_a_number_that_differs_is_named(capsys, copied: Path) -> None:
    """With its epoch, both values and the difference; and what is not as it was, which may be why. The exit code is 1."""
    change(copied, "epochs", val_auc=0.5, diagnoses=["collapse"])
    change(copied, "runs", versions={"torch": "1.0"})
    code, output = reproduce(capsys, copied, RUN, COMPLETE)
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("val_auc ")]
    name, equal, stored, again, difference, at = re.split(r"\s{2,}", line.strip())
    assert (name, equal, float(stored), at) == ("val_auc", "1/2", 0.5, "epoch 1")
    assert float(difference) == pytest.approx(float(again) - 0.5, rel=1e-2)
    assert "numbers differ, in: val_auc, diagnoses." in output
    assert "torch: 1.0, now " in output and "machine: here, now " in output


def test_a_difference_without_a_reason_is_told_as_such(capsys, copied: Path) -> None:
    """Nobody looks for a version that changed where none did."""
    tables = RunTables(copied, SPACE, RUN)
    commit, dirty = provenance.code()
    tables.write_run({"git_commit": commit, "git_dirty": dirty})
    tables.append_trial(tables.trial_rows()[0] | {"node": f"{socket.gethostname()}/0"})
    change(copied, "epochs", total_loss=1.0)
    code, output = reproduce(capsys, copied, RUN, COMPLETE)
    assert code == 1 and "Nothing that was written down of the run is different here" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run-z", 0), "there is no run 'run-z'"),
        ((RUN, 17), "has no trial 17; valid are the trials that have ended: 0 to 6"),
        ((RUN, CRASHED), "is failed and has no epoch to compare: RuntimeError: a cable came loose"),
        ((RUN, 0, "--data", "/nowhere/pairs.csv"), "--data says where it is now"),
        ((RUN, 0, "--device", "tpu"), "--device is 'tpu'; valid are: cpu, cuda"),
    ],
)
def test_mistakes_are_told(capsys, run: FinishedRun, arguments: tuple, said: str) -> None:
    """What was got, what is valid, what to do; the exit code is 2."""
    code, output = reproduce(capsys, run.root, *arguments)
    assert code == 2 and said in output and "Traceback" not in output


def test_changed_data_are_told(capsys, run: FinishedRun, tmp_path: Path) -> None:
    """Whether pairs or images changed; and a table that only moved is the same."""
    moved = shutil.copytree(run.pairs.parent, tmp_path / "moved")
    assert reproduce(capsys, run.root, RUN, STOPPED, "--data", moved / run.pairs.name)[0] == 0
    first, second = read_pairs(moved / run.pairs.name).images[:2]
    shutil.copy(first, second)
    code, output = reproduce(capsys, run.root, RUN, STOPPED, "--data", moved / run.pairs.name)
    assert code == 2 and "the images differ" in output
    table = moved / run.pairs.name
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([lines[0], *lines[:0:-1]]))
    code, output = reproduce(capsys, run.root, RUN, STOPPED, "--data", table)
    assert code == 2 and "the pairs, labels or splits and the images differ" in output


def test_the_row_alone_is_enough(capsys, copied: Path) -> None:
    """No saved state is read, and a run of before its threads were written down is taken to have had one."""
    shutil.rmtree(copied / "state")
    change(copied, "runs", trial_cpus=None, keep_sick=None, searched=None, input_mean=None, backbone_fingerprint=None)
    code, output = reproduce(capsys, copied, RUN, DIVERGED)
    assert code == 0 and "did not write down its threads" in output
