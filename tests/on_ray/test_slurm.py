"""The recipe for Slurm, run whole: its two machines are two nodes of this one, and what Slurm does is done by stand-ins."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.on_ray.test_readme_cluster import Shell
from tests.tools.real_ray import ROOT, SMALL

SCRIPT = ROOT / "docs" / "recipes" / "slurm.sh"
SRUN = f"""#!{sys.executable}
import os, signal, subprocess, sys

words = [word for word in sys.argv[1:]]
while words[0].startswith("--"):
    words.pop(0)
if words[0] == "hostname":
    print("127.0.0.1 10.0.0.1")
    sys.exit()
step = subprocess.Popen([*words, "--include-dashboard", "false"] if "--head" in words else words, start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: (os.killpg(step.pid, signal.SIGTERM), sys.exit(143)))
sys.exit(step.wait())
"""


RAY = f"""#!/bin/sh
# On a machine that is too slow `ray start` gives up: here the first time.
tried="$(dirname "$0")/tried"
if [ "$1 $2" = "start --head" ] && ! [ -e "$tried" ]; then touch "$tried"; exit 1; fi
exec {Path(sys.executable).parent / "ray"} "$@"
"""


def test_the_slurm_script_runs_the_command_on_two_nodes(folder: Path, pairs: Path) -> None:
    """With a token of its own, on every machine of the job, also where a node starts at the second try only.

    The command counts what the cluster has, and says so when it is asked for more; a search on two nodes is another test's.
    """
    tools = folder / "job" / ".venv" / "bin"  # the script starts with what lies there, whatever else is on the path
    tools.mkdir(parents=True)
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    stand_ins = {"srun": SRUN, "scontrol": "#!/bin/sh\necho one\necho two\n", "ray": RAY, "python": python}
    for name, text in stand_ins.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    with socket.socket() as probe:
        while True:  # the script takes a port between 20000 and 29999
            job = 20000 + os.urandom(2)[0] * 39
            try:
                probe.bind(("127.0.0.1", job))
            except OSError:
                continue
            break
    shell = Shell(folder, folder / "home")
    (folder / "home").mkdir()
    shell.environment |= {
        "SLURM_JOB_ID": str(job - 20000),
        "SLURM_JOB_NODELIST": "[one-two]",
        "SLURM_CPUS_PER_TASK": "1",
    }
    more = " ".join(map(str, SMALL))
    try:
        options = f"--data {pairs} --results {folder / 'results'} --cpus-per-trial 3 {more}"
        log = shell.begins(f"cd {folder / 'job'} && exec {SCRIPT} {options}")
        assert shell.processes[-1].wait(600) == 2, log.read_text()
        assert (tools / "tried").exists(), log.read_text()
        assert "a trial asks for 3 CPUs and 0 GPUs, but the cluster has 2 CPUs" in log.read_text()
        assert not (folder / "home" / ".ray" / "auth_token").exists()
    finally:
        shell.end()
