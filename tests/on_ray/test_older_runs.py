"""A run that an older program made is gone on with by this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tools import older_run
from tests.tools.older_run import DEFAULTED, FIXTURE, RUN
from tests.tools.real_ray import Here, table
from trainable.config import TrialConfig
from tuner import results


def test_an_older_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    """One more trial, in the same tables; those it had are not trained again, though they lack all that came later."""
    root = older_run.copy(tmp_path)
    older_run.strip(root)
    monkeypatch.chdir(tmp_path)
    Here("--resume", RUN, "--trials", 5, "--address", cluster.address).expect(0)
    before, after = (table(folder, "trials", RUN) for folder in (FIXTURE / "results", root))
    assert list(after.trial) == [0, 1, 2, 3, 4]
    assert after.state[4] in ("completed", "pruned") and after.epochs[4] >= 1
    same = ["trial", "state", "objective", "temperature", "seed", "train_s", "contrastive_loss", "checkpoint"]
    assert after[same].head(4).equals(before[same])
    assert (after[list(DEFAULTED)] == [getattr(TrialConfig(), name) for name in DEFAULTED]).all(axis=None)
    (row,) = results.plain_rows(results.runs(root))
    assert (row["state"], row["trials_done"], row["trials_requested"]) == ("finished", 5, 5)
