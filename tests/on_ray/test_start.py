"""The command where Ray does not start, or not in time to matter."""

from __future__ import annotations

from pathlib import Path

from tests.tools.real_ray import SMALL, Command


def test_a_ray_that_cannot_start(pairs: Path, tmp_path: Path) -> None:
    """Its folder cannot be made: one sentence, an exit code of its own, nothing of a run."""
    output = Command(tmp_path, "--data", pairs, *SMALL, RAY_TMPDIR="/proc").expect(3)
    assert output.count("\n") == 1 and output.startswith("error: Ray could not be started on this machine")
    assert not (tmp_path / "results").exists()


def test_a_mistake_is_told_while_ray_starts(tmp_path: Path) -> None:
    """An unknown space before anything is imported for seconds; what takes PyTorch to know, without waiting for Ray."""
    output = Command(tmp_path, "--space", "nosuch").expect(2)
    assert output.startswith("error: there is no space 'nosuch'") and output.count("\n") == 1
    assert "session" not in output and not list(tmp_path.glob("results"))
    never = (
        "import time, tuner.run\n"
        "tuner.run.connect = lambda *options, **more: time.sleep(3600)\n"  # a Ray that takes an hour to start
        "from tuner.cli.process import leave\n"
        "leave(tuner.run.main())"
    )
    output = Command(tmp_path, "--backbone", "nosuch", script=never).expect(2)
    assert output.startswith("error: ") and "no backbone 'nosuch'" in output
