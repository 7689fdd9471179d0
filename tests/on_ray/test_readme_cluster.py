"""The README's lines for a cluster, followed word for word on two nodes of one machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.tools.real_ray import ROOT, SMALL, until

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = re.search(r"## A cluster.*?```bash\n(.*?)```", README, re.DOTALL)[1].splitlines()


class Shell:
    """A shell of a person whose home is `home`, where the lines are typed; Ray's folders are below `folder`."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.processes = folder, []
        hidden = ("RAY_", "OMP_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        more = {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(folder)}
        self.environment |= more | {"RAY_agent_register_timeout_ms": "600000"}

    def types(self, line: str) -> None:
        """One line, and wait for its end."""
        command, _, _ = line.partition("#")
        if found := re.fullmatch(r"export (\w+)=(\w+)\s*", command):
            self.environment[found[1]] = found[2]
            return
        subprocess.run(command, shell=True, env=self.environment, check=True, timeout=600, capture_output=True)

    def begins(self, line: str) -> Path:
        """A line that goes on in the background; returns the file with its output."""
        log = self.folder / f"log-{len(self.processes)}.txt"
        with log.open("w") as file:
            self.processes.append(
                subprocess.Popen(
                    line.partition("#")[0],
                    shell=True,
                    env=self.environment,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
            )
        return log

    def starts(self, line: str) -> str:
        """A line that starts a node; returns what it printed. `ray start` waits 30 s for a node: then it is typed again."""
        for _ in range(20):
            log = self.begins(f"exec {line.partition('#')[0]} --num-cpus 1 --block")
            process = self.processes[-1]
            until(
                lambda log=log, p=process: "Ray runtime started" in log.read_text() or p.poll() is not None,
                "it started",
            )
            if process.poll() is None:
                return log.read_text()
        raise AssertionError(log.read_text())

    def end(self) -> None:
        """End what was begun, and every process of Ray that has this shell's folder in its command line."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(60)
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def test_two_nodes_as_the_readme_says(folder: Path, pairs: Path) -> None:
    """Both nodes join, and a run on them ends well; a wrong token is told. Beside other clusters, hence the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shell = Shell(folder, folder / "home")
    (folder / "home").mkdir()
    token = folder / "home" / ".ray" / "auth_token"
    export, generate, head, node, run = LINES
    try:
        shell.types(export)
        shell.types(generate)
        made = token.read_text()
        shell.types(generate)  # as where there was one before: it is kept
        assert token.read_text() == made != ""
        said = shell.starts(f"{head.partition('#')[0]} --port {port} --include-dashboard false")
        (address,) = set(re.findall(r"--address='(\S+:\d+)'", said))
        shell.starts(node.replace("HEAD:6379", address))
        run = run.replace("HEAD:6379", address).replace("pairs.csv", str(pairs))
        small = map(str, ("--epochs", 1, "--trainable-blocks", 0, *SMALL))
        run = f"{run.replace('s3://bucket/results', str(folder / 'results'))} {' '.join(small)}"
        # The first line forgotten, as in another shell: the token that lies there is shown all the same.
        del shell.environment["RAY_AUTH_MODE"]
        log = shell.begins(f"{run} --trials 1")
        assert shell.processes[-1].wait(600) == 0, log.read_text()
        assert "hardware   2 nodes, 2 CPUs" in log.read_text()
        assert len(list((folder / "results").glob("trials/*/*/*.parquet"))) == 1
        # Another cluster's token: within seconds, by name. None at all: tests/tuner/cluster/test_address.py
        token.write_text("2" * 64)
        log = shell.begins(run)
        assert shell.processes[-1].wait(600) == 2
        assert "the one in ~/.ray/auth_token is not its" in log.read_text() and "RAY_AUTH_MODE=token" in log.read_text()
    finally:
        shell.end()
