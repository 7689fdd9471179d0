"""The peers of `search_quality`: plain Optuna here, the others in processes and environments of their own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import optuna

from benchmarks.quality_replay import DONE, WAIT, Asked, Measured, Method, Task
from benchmarks.quality_space import suggest

_PROCESS = Path(__file__).with_name("quality_peer_process.py")


@dataclass(frozen=True)
class Peer:
    """One line of the table."""

    name: str
    version: str
    begin: Callable[[Task], Method]


class PlainOptuna:
    """Optuna as its documentation shows it: ask, report, should_prune, tell. The default configuration is enqueued."""

    def __init__(self, task: Task, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._study.enqueue_trial(task.default)
        self._blocks = task.blocks
        self._trials: dict[str, optuna.Trial] = {}

    def ask(self) -> Asked:
        """The study's next trial."""
        trial = self._study.ask()
        self._trials[str(trial.number)] = trial
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental samplers and independent draws
            return Asked(str(trial.number), suggest(trial, self._blocks))

    def report(self, trial_id: str, measured: Measured) -> bool:
        """Its AUC; a pruner may stop it."""
        trial = self._trials[trial_id]
        if measured.sick:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return False
        trial.report(measured.auc, measured.epoch)
        if measured.finished:
            self._study.tell(trial, measured.auc)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True


def optuna_peers() -> list[Peer]:
    """Random search, and Optuna's samplers and pruners with their own defaults."""
    samplers, pruners = optuna.samplers, optuna.pruners

    def peer(name: str, sampler: Callable[..., Any], pruner: Callable[[int], Any]) -> Peer:
        def begin(task: Task) -> Method:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return PlainOptuna(task, sampler(seed=task.seed), pruner(task.epochs))

        return Peer(name, f"optuna {metadata.version('optuna')}", begin)

    return [
        peer("random", samplers.RandomSampler, lambda epochs: pruners.NopPruner()),
        peer("Optuna TPE", samplers.TPESampler, lambda epochs: pruners.NopPruner()),
        peer("Optuna GP", samplers.GPSampler, lambda epochs: pruners.NopPruner()),
        peer("Optuna TPE + median", samplers.TPESampler, lambda epochs: pruners.MedianPruner()),
        peer(
            "Optuna TPE + hyperband",
            samplers.TPESampler,
            lambda epochs: pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3),
        ),
    ]


class RemoteMethod:
    """A search in a peer's process."""

    def __init__(self, process: PeerProcess, method: str, task: Task) -> None:
        self._process = process
        begin = {"method": method, "blocks": task.blocks, "epochs": task.epochs}
        process.request("begin", **begin, seed=task.seed, default=task.default)

    def ask(self) -> Asked | str:
        """What the peer suggests."""
        given = self._process.request("ask")
        if "values" not in given:
            return WAIT if given.get("wait") else DONE
        return Asked(given["trial"], given["values"], given.get("stop"), given.get("after"))

    def report(self, trial_id: str, measured: Measured) -> bool:
        """An epoch's AUC; a number also where the trial is sick, which the peer then does not look at."""
        auc = 0.0 if measured.sick else measured.auc
        told = {"epoch": measured.epoch, "auc": auc, "finished": measured.finished, "sick": measured.sick}
        return bool(self._process.request("report", trial=trial_id, **told)["goes_on"])


class PeerProcess:
    """`quality_peer_process.py` run by a Python that has the peer."""

    def __init__(self, python: Path, peer: str, log: Path) -> None:
        self.name, self._log = peer, log
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [str(python), str(_PROCESS), peer],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={"OMP_NUM_THREADS": "1", "PATH": str(python.parent)},
            )

    def request(self, kind: str, **content: Any) -> dict[str, Any]:
        """Ask and wait for the answer. RuntimeError with the peer's own words if it has died."""
        to, answers = _pipes(self._process)
        try:
            to.write(json.dumps({"kind": kind, **content}) + "\n")
            to.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self.name} ended: {self._log.read_text()[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        _pipes(self._process)[0].close()
        self._process.wait(timeout=60)
        _pipes(self._process)[1].close()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


REMOTE = {  # line of the table -> (folder of the environment, peer of the process, method)
    "Ax": ("ax", "ax", ""),
    "Syne Tune ASHA": ("syne_tune", "syne_tune", "ASHA"),
    "Syne Tune BOHB": ("syne_tune", "syne_tune", "BOHB"),
    "Syne Tune MOBSTER": ("mobster", "syne_tune", "MOBSTER"),
    "NePS PriorBand": ("neps", "neps", ""),
}
REQUIREMENTS = {
    "ax": "ax-platform",
    "syne_tune": "syne-tune",
    "mobster": "syne-tune[gpsearchers]==0.13.0",  # the last releases are without it
    "neps": "neural-pipeline-search",
}
"""What to install in the environment of each folder; in one they want different versions of BoTorch."""

SLOW = ("Optuna GP", "Ax", "Syne Tune MOBSTER", "NePS PriorBand")
"""Their models take seconds a trial."""


def remote_peers(environments: Path | None, logs: Path) -> tuple[list[Peer], list[str], list[PeerProcess]]:
    """The peers that are installed below `environments`, the names of those that are not, and processes to close."""
    peers: list[Peer] = []
    missing: list[str] = []
    started: dict[tuple[str, str], PeerProcess] = {}
    for name, (folder, kind, method) in REMOTE.items():
        python = environments / folder / "bin" / "python" if environments else None
        if python is None or not python.exists():
            missing.append(name)
            continue
        if (folder, kind) not in started:
            started[folder, kind] = PeerProcess(python, kind, logs / f"{folder}.log")
        process = started[folder, kind]
        try:
            version = process.request("version")["version"]
        except RuntimeError as error:
            missing.append(name)
            print(f"{name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
            continue
        peers.append(Peer(name, version, functools.partial(RemoteMethod, process, method)))
    return peers, missing, list(started.values())
