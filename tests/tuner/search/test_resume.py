"""What a run must still be to be gone on with; the rest of the way is in tests/on_ray/test_resume.py."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainable.errors import InputError
from tuner.results.writer import RunTables
from tuner.search import session
from tuner.search.resume import check_same_run


def plan_of(root: Path, source: str = "def suggest(trial): ...") -> Any:
    """As much of a plan as is looked at."""
    space = SimpleNamespace(name="temperature", source=source, path="temperature.py")
    options = SimpleNamespace(data=SimpleNamespace(data="pairs.csv"))
    return SimpleNamespace(results_root=str(root), run="r1", space=space, data_fingerprint="a-b", options=options)


def test_another_question_or_other_data_are_refused(tmp_path: Path) -> None:
    """The study remembers the parameters and ranges of the space; scores are of the pairs that there were."""
    plan = plan_of(tmp_path)
    RunTables(plan.results_root, "temperature", "r1").write_run(
        {"state": "interrupted", "space_source": plan.space.source}
    )
    check_same_run(plan, {"data_fingerprint": "a-b"})
    with pytest.raises(InputError, match="is not temperature, which the run began with"):
        check_same_run(plan_of(tmp_path, source="other"), {"data_fingerprint": "a-b"})
    with pytest.raises(InputError, match="not the ones that the run began with"):
        check_same_run(plan, {"data_fingerprint": "c-d"})


def test_a_run_whose_disk_was_full_before_its_row_was_written_goes_on(tmp_path: Path) -> None:
    """All that the row says is that it was interrupted: there is nothing that the space could differ from."""
    plan = plan_of(tmp_path)
    RunTables(plan.results_root, "temperature", "r1").write_run({"state": "interrupted"})
    check_same_run(plan, {"data_fingerprint": "a-b"})


def test_a_disk_that_is_full_before_anything_can_be_gone_on_with_leaves_no_row(monkeypatch: Any) -> None:
    """Without its options kept there is no run: none is shown as interrupted, none is offered to be gone on with."""
    full, rows = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), []

    def refuse(*arguments: Any) -> None:
        raise full

    monkeypatch.setattr(session, "save_options", refuse)
    begun = SimpleNamespace(_introduce=lambda: None, plan=None, attempt=1, _write_interrupted=rows.append)
    with pytest.raises(OSError, match="No space left") as told:
        session.Session.run(begun)
    assert told.value is full and rows == []
