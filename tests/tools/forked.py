"""Processes forked from one that has imported what they import, which is most of what many a process of these tests takes.

The server lives as long as the tests do. It imports neither Ray, which reads its environment where it is imported, nor the
program. Ray starts this file in place of the one that sets a worker up: it asks the server for a process, and ends with that.
Tests ask for what `python -c` would run by `Process`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DOOR = "TESTS_FORK_SERVER"
"""Names the environment's variable that holds the path of the server's socket."""
_IMPORTS = (
    "aiohttp", "fsspec", "grpc", "jsonschema", "optuna", "pandas", "pyarrow.parquet", "pydantic", "requests", "tensorboardX",
    "timm", "torch", "yaml",
)  # fmt: skip


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks a process for each request, and ends when the process of the tests has ended."""

    max_children = 1000
    tests: int

    def service_actions(self) -> None:
        """Twice a second: look whether there are tests."""
        super().service_actions()
        if not Path(f"/proc/{self.tests}").exists():
            sys.exit()


class Request(socketserver.BaseRequestHandler):
    """One that is to become a process; what handles it, a process too, sends its number and then its exit code."""

    def handle(self) -> None:
        """Fork, and wait."""
        self.server.socket.close()
        _, files, *_ = socket.recv_fds(self.request, 1, 3)
        asked = json.loads(self.request.makefile().readline())
        if not (process := os.fork()):
            self.request.close()
            _become(files, **asked)
        for file in files:
            os.close(file)
        self.request.sendall(f"{process}\n".encode())
        self.request.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n".encode())


def _become(files: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be what Python would be with these arguments, in a session of its own: Ray ends a worker with its group."""
    code: Any = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        if arguments[0] == "-c":
            sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
            exec(arguments[1], {"__name__": "__main__"})
        else:
            _set_up(arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _set_up(arguments: list[str]) -> None:
    """What Ray's own file does, but for the command, which is another process there."""
    import runpy

    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.workers.setup_worker import parser

    given, sys.argv = parser.parse_known_args(arguments)
    context = RuntimeEnvContext.deserialize(given.serialized_runtime_env_context or "{}")
    os.environ.update(context.env_vars)
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


class Process:
    """A forked process, to be used as one of subprocess."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str], files: list[int]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(os.environ[DOOR])
        asked = {"arguments": arguments, "folder": str(folder), "environment": environment}
        socket.send_fds(self._connection, [b"\n"], files)
        self._connection.sendall(json.dumps(asked).encode() + b"\n")
        self._answers = self._connection.makefile("rb", buffering=0)
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """The same, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def kill(self) -> None:
        """End it, and wait."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def serve(door: str, tests: int) -> None:
    """Import, and go on in the background: fork on request."""
    import gc
    import importlib

    for name in _IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with Server(door, Request) as server:
        if os.fork():
            return
        os.setsid()
        server.tests = tests
        try:
            server.serve_forever()
        finally:
            Path(door).unlink()


def start_server() -> None:
    """Start the server of these tests where no process of theirs has yet."""
    if DOOR in os.environ:
        return
    from filelock import FileLock

    tests = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    door = Path(tempfile.gettempdir(), f"tv-forks-{tests}")
    with FileLock(f"{door}.lock"):
        if not door.exists():
            subprocess.run([sys.executable, __file__, "serve", str(door), str(tests)], stdin=subprocess.DEVNULL, check=True)
    os.environ[DOOR] = str(door)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(Process(sys.argv[1:], Path.cwd(), dict(os.environ), [0, 1, 2]).wait())
