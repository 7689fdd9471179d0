"""The command where Ray starts badly: without a dashboard, in a folder with too long a name, or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.tools.real_ray import SMALL, Command, until
from tuner import results


def test_what_a_run_can_do_without_and_what_a_killed_driver_leaves(pairs: Path, tmp_path: Path) -> None:
    """A dashboard that is given no time, and a folder whose sockets nobody could open: said, and trials end well.

    When the driver is killed, its Ray's processes, agents and workers included, end by themselves; its row is told from a
    running one's.
    """
    long = tmp_path / ("x" * 100)
    long.mkdir()
    many = ("--trials", 1000, "--epochs", 1)
    command = Command(tmp_path, "--data", pairs, *many, *SMALL, TMPDIR=str(long), RAY_DASHBOARD_STARTUP_TIMEOUT_S="0")
    command.until(lambda: "· completed at epoch 1/1 ·" in command.output, "a trial ended")
    running = of_ray(long)
    command.process.kill()
    command.process.wait()
    assert command.printed("dashboard") == "none: it did not start; the run does without"
    assert "note: Ray uses /tmp" in command.output and "Traceback" not in command.output
    assert len(running) >= 3
    assert results.runs(tmp_path / "results").state.item() == "dead"
    until(lambda: not of_ray(long), "nothing of it was left")


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


def of_ray(folder: Path) -> list[str]:
    """Processes that were started with this temporary folder: the command and, of its Ray, all."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found
