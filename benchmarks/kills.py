"""python -m benchmarks.kills: real searches, killed at random moments and at every write, lose nothing.

Each search is begun, killed, gone on with, killed again, and at last left to end. At random moments: SIGKILL of the driver,
of a worker in mid-epoch, of Ray's node process (raylet) and of its GCS, and of the whole process group; SIGINT once and
twice; SIGTERM. Aimed: at its n-th file operation below the results the driver kills itself, or is told that the disk is
full. A reader reads all tables beside it, all the time.

After every attempt: every trial that had ended is there, with the same numbers; numbers have neither gap nor double; every
table can be read. After the last: as many trials as asked for, study and tables agree, there is a winner and a page.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState
from rich.console import Console

from benchmarks import report
from trainable.data.turntable import TurntableSpec, write
from tuner import results
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code
from tuner.search.study_file import open_study

_TOLD = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_LIMIT_S = 900.0
_AIMED = """
import os, signal, sys
how, nth, root = sys.argv[1], int(sys.argv[2]), sys.argv[3]
count = 0

def watch(event, arguments):
    global count
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if not (writes or event in ("os.rename", "os.remove")) or not str(arguments[0]).startswith(root):
        return
    count += 1
    if count == nth:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device")

sys.argv[1:] = sys.argv[4:]
sys.addaudithook(watch)
from tuner.cli.process import leave
from tuner.run import main
leave(main())
"""
"""The command with a driver that ends, or meets a full disk, at its n-th operation on a file below the results."""


@dataclass(frozen=True)
class Options:
    """Kill searches, go on with them, and look for anything that was lost."""

    random: int = 100
    """Kills at random moments."""
    aimed: int = 100
    """Kills and full disks at the n-th file operation, n from 1 on."""
    each: int = 4
    """Kills of one search before it is left to end."""
    trials: int = 6
    """Of each search."""
    seed: int = 0
    """Of the moments."""
    address: str | None = None
    """Ray cluster that all searches join, host:port; none: each starts a Ray of its own, and only then is that killed."""
    quick: bool = False
    """A smoke run: one kill, at the first file operation."""


@dataclass
class Search:
    """One search in a folder: its attempts, what had ended after each, and what was found wrong."""

    folder: Path
    pairs: Path
    options: Options
    kept: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of the trials that had ended after the last attempt."""
    wrong: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Of its results."""
        return self.folder / "results"

    @property
    def run(self) -> str | None:
        """Its name, once there is something to go on with."""
        found = [name for name in results.known_runs(self.root) if (self.root / "state" / name / "run.json").is_file()]
        return found[0] if found else None

    def begin(self, *aimed: str) -> subprocess.Popen[bytes]:
        """The next attempt. aimed: kill or fail, and at which file operation."""
        run = self.run
        new = ["--data", str(self.pairs), "--image-size-px", "16", "--batch-size", "16", "--epochs", "3"]
        new += ["--trials", str(self.options.trials), "--checkpoint-s", "0", "--keep-sick"]
        ray = ["--address", self.options.address] if self.options.address else ["--no-dashboard"]
        words = (["--resume", run] if run else new) + [
            "--results",
            str(self.root),
            "--cache",
            str(self.folder / "cache"),
            *ray,
        ]
        start = ["-c", _AIMED, *aimed, str(self.root)] if aimed else ["-m", "tuner.run"]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen([sys.executable, *start, *words], stdout=log, stderr=log, start_new_session=True)

    def check(self) -> None:
        """What must hold after every attempt."""
        if self.run is None:
            return
        rows = results.trials(self.root).sort_values("trial").set_index("trial", drop=False)
        if not rows.index.is_unique:
            self.wrong.append("a trial has two rows")
        for number, row in self.kept.iterrows():
            if number not in rows.index:
                self.wrong.append(f"trial {number}, which had ended, is gone")
            elif changed := differences(row, rows.loc[number]):
                self.wrong.append(f"trial {number}, which had ended, has other numbers: {', '.join(changed)}")
        self.kept = rows

    def check_end(self, code: int) -> None:
        """What must hold when it was left to end."""
        self.check()
        if code != 0 or self.run is None:
            self.wrong.append(f"it ended with code {code}: {(self.folder / 'log.txt').read_text()[-500:]}")
            return
        if sorted(self.kept.index) != list(range(self.options.trials)):
            self.wrong.append(f"its trials are {sorted(self.kept.index)}")
        storage = open_study(self.root / "state" / self.run / "study.log")
        told = optuna.load_study(study_name=self.run, storage=storage).get_trials()
        states = {t.user_attrs["number"]: t.state for t in told if "number" in t.user_attrs}
        if states != {number: _TOLD.get(row.state) for number, row in self.kept.iterrows()}:
            self.wrong.append(f"study and tables disagree: {states}, {self.kept.state.to_dict()}")
        row = results.runs(self.root).set_index("run").loc[self.run]
        if row.state != "finished" or pd.isna(row.winner_trial):
            self.wrong.append(f"its row says {row.state}, winner {row.winner_trial}")
        if not (self.root / "reports" / f"{self.run}.html").is_file():
            self.wrong.append("it has no page")


def differences(before: pd.Series, after: pd.Series) -> list[str]:
    """Columns of its own in which two rows of a trial differ, with both values."""
    not_its_own = ["checkpoint", "win_share"]  # of the file system; of all trials, once they have ended
    columns = before.index.union(after.index).difference(not_its_own)
    pairs = [(column, _plain(before.get(column)), _plain(after.get(column))) for column in columns]
    return [f"{column} {was} -> {now}" for column, was, now in pairs if was != now]


def _plain(value: object) -> object:
    """A cell as pandas read it, so that == answers with one word: arrays as lists, what is missing as None."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if value is pd.NA or value != value else value


def read_beside(search: Search, ended: threading.Event) -> None:
    """Read every table again and again, as pandas does, too; what fails is wrong."""
    while not ended.wait(0.2):
        try:
            if search.run:
                for table in (results.runs, results.trials, results.epochs, results.scores):
                    table(search.root)
                pd.read_parquet(search.root / "trials")
        except Exception as error:  # whatever a reader meets is what this looks for
            search.wrong.append(f"a reader met {type(error).__name__}: {error}")


def below(pid: int) -> dict[int, str]:
    """Processes below this one, with their command lines."""
    parents, lines = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
    found, added = {pid}, {pid}
    while added:
        added = {child for child, parent in parents.items() if parent in added} - found
        found |= added
    return {child: lines.get(child, "") for child in found - {pid}}


def strike(process: subprocess.Popen[bytes], word: str) -> bool:
    """SIGKILL the process of Ray whose command line has this word in it; False if there is none."""
    found = [pid for pid, line in below(process.pid).items() if word in line]
    for pid in found[:1]:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


def twice(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, and once more."""
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)


KINDS: dict[str, Callable[[subprocess.Popen[bytes]], object]] = {
    "the driver": lambda process: process.kill(),
    "a worker": lambda process: strike(process, "ray::"),
    "Ray's node": lambda process: strike(process, "raylet/raylet"),
    "Ray's GCS": lambda process: strike(process, "gcs_server"),
    "the whole group": lambda process: os.killpg(process.pid, signal.SIGKILL),
    "Ctrl-C": lambda process: process.send_signal(signal.SIGINT),
    "Ctrl-C twice": twice,
    "SIGTERM": lambda process: process.send_signal(signal.SIGTERM),
}


@dataclass(frozen=True)
class Kill:
    """One of them: at a share of the time that a search takes undisturbed, or at a file operation."""

    name: str
    moment: float = 0.0
    aimed: tuple[str, ...] = ()

    def do(self, search: Search, whole_s: float) -> None:
        """One attempt at the search, killed, and what is left of it looked at."""
        process = search.begin(*self.aimed)
        if not self.aimed:
            try:
                process.wait(self.moment * whole_s)
            except subprocess.TimeoutExpired:
                KINDS[self.name](process)
        ended(process)
        search.check()


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code, once it has ended; a driver that hangs is ended, which is no fault where its Ray was killed."""
    try:
        code = process.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return code


def kills(options: Options) -> list[Kill]:
    """All of them, in the order in which they are done."""
    moments = random.Random(options.seed)
    names = list(KINDS)
    at_random = [Kill(names[i % len(names)], moment=moments.uniform(0.15, 1.0)) for i in range(options.random)]
    aims = [("fail" if n % 2 else "kill", str(n // 2 + 1)) for n in range(options.aimed)]
    aimed = [Kill(f"{how} at file operation {nth}", aimed=(how, nth)) for how, nth in aims]
    return at_random + aimed


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if anything was lost."""
    options = parse(Options, arguments, prog="python -m benchmarks.kills")
    if options.quick:
        options = replace(options, random=0, aimed=1, each=1, trials=4)
    console = report.console()
    report.heading("Nothing is lost", console)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="kills") as folder:
        return run(options, Path(folder), console)


def run(options: Options, folder: Path, console: Console) -> int:
    """All kills, `each` of them a search; returns the exit code."""
    spec = TurntableSpec(train_identities=40, val_identities=20, test_identities=16, image_size_px=16)
    pairs = write(folder / "pairs", spec)
    whole_s, wrong = searched(folder / "whole", pairs, options, [], 0.0, console)  # its time places the moments
    todo = kills(options)
    for place in range(0, len(todo), options.each):
        part = todo[place : place + options.each]
        _, more = searched(folder / f"search-{place}", pairs, options, part, whole_s, console)
        wrong += more
    lost = report.Target("things lost", len(wrong), 0, at_least=False)
    searches = f"{len(todo)} kills, {-(-len(todo) // options.each)} searches"
    console.print(f"{searches}; undisturbed one takes {whole_s:.0f} s")
    return report.verdict([lost], console)


def searched(
    folder: Path, pairs: Path, options: Options, todo: list[Kill], whole_s: float, console: Console
) -> tuple[float, list[str]]:
    """One search with its kills, left to end at last: seconds that it took, and what was wrong."""
    folder.mkdir()
    search, over, began = Search(folder, pairs, options), threading.Event(), time.monotonic()
    reader = threading.Thread(target=read_beside, args=(search, over))
    reader.start()
    try:
        for kill in todo:
            kill.do(search, whole_s)
            console.print(f"{time.monotonic() - began:6.0f} s  {kill.name}: {len(search.kept)} trials had ended")
        search.check_end(ended(search.begin()))
    finally:
        over.set()
        reader.join()
    for what in search.wrong:
        console.print(f"          LOST: {what}", markup=False)
    return time.monotonic() - began, search.wrong


if __name__ == "__main__":
    sys.exit(main())
