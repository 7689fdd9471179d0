"""A Ray of our own on this machine: started with patience where the machine is busy, and without what it can do without."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainable.memory import limit_bytes
from tuner.cli.process import HaltError
from tuner.cluster.private_ray import machine_cores

_NODE_LIMITS_S = (120.0, 300.0)
"""How long each try waits for the node, which takes 3 s on a free machine; Ray's own limit, 30 s, is no option of it."""
_SAYS_SO_AFTER_S = 20.0
_SOCKETS_BYTES = 70
"""What Ray adds to the temporary folder in the paths of its sockets, which may have 107 bytes (103 on a Mac)."""
_SHORT_FOLDER = "/tmp"
BESIDE_GB, WORKER_GB = 1.2, 0.8
"""Private memory, in 10⁹ bytes, of Ray and the driver, and of each worker with a small model: 1.0 and 0.6 to 0.8 measured."""
_LIMITS = {
    "gcs_server_request_timeout_seconds": 300,
    "raylet_start_wait_time_s": 300,
    "agent_register_timeout_ms": 300_000,
    "worker_register_timeout_seconds": 600,
    "health_check_timeout_ms": 60_000,
    "health_check_failure_threshold": 20,
}
"""Ray's own limits, which are of a machine that has nothing else to do: a worker imports PyTorch before it answers."""
_READ_AT_ONCE = {"gcs_server_port_wait_time_s": 300, "py_gcs_connect_timeout_s": 300}
"""Those that are read before Ray has a configuration."""
_WORKERS_IN_ADVANCE = {"enable_worker_prestart": True, "idle_worker_killing_time_threshold_ms": 600_000}
"""A Ray of our own starts its workers at once: they import what trials need, some seconds of work, while the driver goes
on, and wait for the trials."""
FOR_HEADS, FOR_ALL = "tuner.cluster.head_imports", "tuner.cluster.worker_imports"
"""What they import: trials of heads alone need no timm. Where they compute features first, it is imported then."""


class RayDidNotStartError(HaltError):
    """Ray could not be started on this machine; nothing of the run was begun."""

    code = 3


def start(dashboard: bool, dashboard_port: int | None, cpus_per_trial: int = 1, heads_only: bool = False) -> Any:
    """Start Ray here; returns what ray.init does. Where the dashboard does not start, Ray does without.

    heads_only: no trial trains any of the backbone, as far as is known yet: its workers import less.
    Raises RayDidNotStartError if it cannot be started, also when it is tried again.
    """
    for name, limit in (_LIMITS | _READ_AT_ONCE).items():
        os.environ.setdefault(f"RAY_{name}", str(limit))
    _shorten_folder()
    import ray

    imports = FOR_HEADS if heads_only else FOR_ALL
    cores = fitting_cores(cpus_per_trial)  # not before: it imports Ray, which reads some of its limits then
    for limit_s in _NODE_LIMITS_S:
        try:
            with _says_that_it_waits(), waits_for_node(limit_s):
                context = ray.init(
                    address="local",
                    num_cpus=cores,
                    include_dashboard=None if dashboard else False,  # None: as well without, where it does not start
                    dashboard_port=dashboard_port,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                    _system_config=_LIMITS | _WORKERS_IN_ADVANCE | {"preload_python_modules": [imports]},
                )
            logging.getLogger("ray").setLevel(logging.ERROR)
            return context
        except Exception as error:  # Ray raises plain ones; whichever it is, there is no Ray
            failure = error
            ray.shutdown()
            _end_leftovers(Path(ray.__file__).parent)
    reason = next(iter(str(failure).strip().splitlines()), "") or type(failure).__name__
    raise RayDidNotStartError(
        f"Ray could not be started on this machine, in {len(_NODE_LIMITS_S)} tries ({reason.rstrip('.')}). Nothing was begun. "
        f"Try again when the machine has less to do ({_load()}), or join a cluster with --address; Ray's own account is in "
        f"{_folder()}/ray/session_latest/logs."
    ) from failure


def fitting_cores(cpus_per_trial: int) -> int | None:
    """How many cores Ray is told of where a worker on each would not fit the memory, said so; None: all that it finds."""
    limit, whose = limit_bytes()
    cores, fit = machine_cores(), max(cpus_per_trial, 1, int((limit / 1e9 - BESIDE_GB) / WORKER_GB))
    if fit >= cores:
        return None
    print(
        f"note: {fit} of {cores} cores are used: {whose} memory is {limit / 1e9:.1f} GB, of which Ray and the search take "
        f"{BESIDE_GB:g} and each worker {WORKER_GB:g} and what its model needs.",
        file=sys.stderr,
    )
    return fit


def _folder() -> str:
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or _SHORT_FOLDER


def _shorten_folder() -> None:
    """Have Ray use a short folder where the temporary one has too long a name for its sockets; say so."""
    longest = (103 if sys.platform == "darwin" else 107) - _SOCKETS_BYTES
    if len(os.fsencode(_folder())) > longest:
        print(
            f"note: Ray uses {_SHORT_FOLDER}, as the path of a socket in {_folder()} would be too long.",
            file=sys.stderr,
        )
        os.environ["RAY_TMPDIR"] = _SHORT_FOLDER


@contextmanager
def waits_for_node(limit_s: float) -> Iterator[None]:
    """Meanwhile Ray waits so long for a node to appear; it has no option for it."""
    from ray._private import services

    ask: Callable[..., Any] = services.get_node
    deadline = time.monotonic() + limit_s

    def get_node(*arguments: Any, **named: Any) -> Any:
        while True:
            try:
                return ask(*arguments, **named)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    services.get_node = get_node
    try:
        yield
    finally:
        services.get_node = ask


@contextmanager
def _says_that_it_waits() -> Iterator[None]:
    def say() -> None:
        print(f"Ray takes long to start: the machine is busy ({_load()}). Still waiting …", file=sys.stderr)

    timer = threading.Timer(_SAYS_SO_AFTER_S, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _load() -> str:
    return f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"


def _end_leftovers(ray_folder: Path) -> None:
    """Ends the processes of Ray that a start which failed left: children of this process. Where there is no /proc, they end
    with this process."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and str(ray_folder).encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
                os.waitpid(int(entry.name), 0)
