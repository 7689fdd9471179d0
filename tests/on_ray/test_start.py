"""The command where Ray starts badly: without a dashboard, in a folder with too long a name, or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from tests.tools.real_ray import SMALL, Command, until
from tuner import results


def test_what_a_run_can_do_without(pairs: Path, tmp_path: Path) -> None:
    """A dashboard that is given no time, and a folder whose sockets nobody could open: said, and the run ends well."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    command = Command(
        tmp_path, "--data", pairs, "--trials", 1, "--epochs", 1, *SMALL, TMPDIR=str(long), RAY_DASHBOARD_STARTUP_TIMEOUT_S="0"
    )  # fmt: skip
    output = command.expect(0)
    assert command.printed("dashboard") == "none: it did not start; the run does without"
    assert "note: Ray uses /tmp" in output and "Traceback" not in output


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
        "tuner.run.connect = lambda options: time.sleep(3600)\n"  # a Ray that takes an hour to start
        "from tuner.cli.process import leave\n"
        "leave(tuner.run.main())"
    )
    output = Command(tmp_path, "--backbone", "nosuch", script=never).expect(2)
    assert output.startswith("error: ") and "no backbone 'nosuch'" in output


def test_a_killed_driver_leaves_nothing_of_its_ray(pairs: Path, tmp_path: Path) -> None:
    """Its processes, agents and workers included, end by themselves; its row is told from a running one's."""
    folder = Path(tempfile.mkdtemp(prefix="tv", dir="/tmp"))  # a short name, for sockets
    command = Command(
        tmp_path, "--data", pairs, "--trials", 50, "--epochs", 50, *SMALL, "--no-dashboard", RAY_TMPDIR=str(folder)
    )  # fmt: skip
    command.until(lambda: command.begun and (tmp_path / "results" / "runs").exists(), "the run began")
    assert len(of_ray(folder)) >= 3
    command.process.kill()
    command.process.wait()
    assert results.runs(tmp_path / "results").state.item() == "dead"
    until(lambda: not of_ray(folder), "nothing of it was left")
    shutil.rmtree(folder)


def of_ray(folder: Path) -> list[str]:
    """Processes that were started with this folder as Ray's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"RAY_TMPDIR={folder}".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found
