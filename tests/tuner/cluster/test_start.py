"""A Ray of our own: what it does without, how long it waits, and what is said where it does not start."""

from __future__ import annotations

import pytest
import ray
from ray._private import services

from trainable.data.turntable import TurntableSpec, write
from tuner.cluster import start
from tuner.run import main


@pytest.fixture
def tries(monkeypatch):
    """Ray that never starts; what it was asked for, and how long it would have waited for a node."""
    asked = []

    def init(**options):
        asked.append(options | {"get_node": services.get_node})
        raise Exception("The current node timed out during startup. This could happen because\nof this and that")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    for name in start._LIMITS | start._READ_AT_ONCE:
        monkeypatch.setenv(f"RAY_{name}", "1")
    return asked


def test_a_ray_that_does_not_start_is_one_sentence_and_a_code_of_its_own(tries, capsys, tmp_path):
    """It was tried again before; no traceback, nothing written."""
    pairs = write(tmp_path / "pairs", TurntableSpec(12, 8, 8, image_size_px=16))
    where = ["--data", str(pairs), "--image-size-px", "8", "--batch-size", "4", "--cache", str(tmp_path / "cache")]
    code = main([*where, "--results", str(tmp_path / "results")])
    error = capsys.readouterr().err
    assert code == start.RayDidNotStartError.code == 3
    (error,) = [line for line in error.splitlines() if line.startswith("error: ")]  # before it, that the pairs are few
    assert error.startswith("error: Ray could not be started on this machine, in 2 tries (The current node timed out")
    assert "--address" in error and "/tmp/ray/session_latest/logs" in error
    assert len(tries) == 2
    assert not (tmp_path / "results").exists()


def test_a_dashboard_is_asked_for_but_not_insisted_on(tries):
    """None is Ray's word for one that may fail; without one where that is asked for."""
    for dashboard in (True, False):
        with pytest.raises(start.RayDidNotStartError):
            start.start(dashboard, None)
    assert [options["include_dashboard"] for options in tries] == [None, None, False, False]


@pytest.mark.parametrize(
    ("memory_gb", "cpus_per_trial", "used"),
    [(128, 1, None), (14.1, 1, None), (13.9, 1, 15), (4, 1, 3), (2, 1, 1), (1, 1, 1), (4, 8, 8)],
)
def test_no_more_workers_are_started_than_the_memory_holds(monkeypatch, capsys, memory_gb, cpus_per_trial, used):
    """On 16 cores; one always is, and so many as a trial asks for. What is left out is told."""
    monkeypatch.setattr(start, "limit_bytes", lambda: (int(memory_gb * 1e9), "this container's"))
    monkeypatch.setattr(start, "machine_cores", lambda: 16)
    assert start.fitting_cores(cpus_per_trial) == used
    told = capsys.readouterr().err
    assert told == "" if used is None else told.startswith(f"note: {used} of 16 cores are used: this container's memory is")


def test_a_node_is_waited_for_longer_than_ray_does(monkeypatch):
    """Ray asks for it until it is there; so long as the limit is not over, it hears of no failure."""
    answers = iter([RuntimeError("not yet"), RuntimeError("not yet"), {"node": 1}])

    def get_node(*arguments):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(services, "get_node", get_node)
    with start.waits_for_node(60):
        assert services.get_node("address", "id") == {"node": 1}
    assert services.get_node is get_node
    monkeypatch.setattr(services, "get_node", lambda: (_ for _ in ()).throw(RuntimeError("never")))
    with start.waits_for_node(0), pytest.raises(RuntimeError, match="never"):
        services.get_node()


@pytest.mark.parametrize(("length", "short"), [(37, False), (38, True)])
def test_a_temporary_folder_too_long_for_a_socket_is_replaced(monkeypatch, capsys, length, short):
    """At the very byte; it is said. What Ray adds to it is measured in tests/on_ray/test_start.py."""
    monkeypatch.setattr(start.sys, "platform", "linux")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/" + "x" * (length - 1))
    start._shorten_folder()
    assert (start._folder() == "/tmp") == short == ("note: Ray uses /tmp" in capsys.readouterr().err)


def test_what_ray_left_is_ended_and_nothing_else(tmp_path):
    """By the folder of Ray in its command line, among the children of this process."""
    import subprocess
    import sys

    wait = "import time; time.sleep(600)"
    mine = subprocess.Popen([sys.executable, "-c", wait])
    rays = subprocess.Popen([sys.executable, "-c", wait, str(tmp_path / "ray" / "gcs_server")])
    try:
        start._end_leftovers(tmp_path / "ray")
        assert mine.poll() is None
        assert not start.Path(f"/proc/{rays.pid}").exists()
    finally:
        mine.kill()
        mine.wait()
        rays.poll()
