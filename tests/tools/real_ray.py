"""The real command: as a person starts it, a process of its own; or in the test's own process on a running cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.tools import forked
from trainable.config import Settings, TrialConfig
from trainable.data.augmentation import with_views
from trainable.data.images import decode
from trainable.data.pairs import PairData
from trainable.data.read_pairs import read_pairs
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.epoch_report import EpochReport
from trainable.training.loop import train
from tuner.results.trial_record import TrialRecord
from tuner.run import main
from tuner.search.recorder import Recorder

ROOT = Path(__file__).parents[2]
BACKBONE = BackboneSpec("test_byobnet", "none", 16)
SMALL = ("--backbone", BACKBONE.name, "--image-size-px", BACKBONE.image_size_px, "--batch-size", 16, "--keep-sick")
SMALL += ("--checkpoint-s", 0)
"""Of so few and small images little can be learnt: what a trial's diagnosis is there is not what these tests are about."""
_TIMEOUT_S = 600.0
"""A busy machine makes these tests slow, not red."""


class Output:
    """What a run printed."""

    output: str

    @property
    def run(self) -> str:
        """The run's name."""
        return self.printed("run")

    @property
    def begun(self) -> bool:
        """Whether the run has said what is going to be done and where the results lie."""
        return "\nresults " in self.output

    def printed(self, name: str) -> str:
        """The line of this name, of those that say what is going to be done and where the results lie."""
        return re.search(rf"^{name} +(\S.*)$", self.output, re.MULTILINE)[1]


Watch = Callable[[Recorder, TrialRecord, dict[str, Any]], None]
"""What looks at every report of a trial, in the driver, which goes on when it returns: there is no moment to be missed."""


@contextlib.contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Meanwhile `watch` is called with the recorder, the trial's record and the report, once that is recorded."""
    recorded = Recorder.on_trial_result

    def on_trial_result(self: Recorder, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        recorded(self, iteration, trials, trial, result, **info)
        watch(self, self.records[trial.config["number"]], result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "on_trial_result", on_trial_result)
        yield


def until(condition: Callable[[], Any], what: str, every_s: float = 0.1) -> Any:
    """Wait until the condition, which is asked so often, holds, and return it."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"timed out before {what}"
        time.sleep(every_s)
    return found


class Here(Output):
    """The command run in this process, without another import and another Ray; `code` is its exit code."""

    def __init__(self, *arguments: object, watch: Watch = lambda recorder, record, result: None) -> None:
        self._stream = io.StringIO()
        both = contextlib.redirect_stdout(self._stream), contextlib.redirect_stderr(self._stream)
        with both[0], both[1], watched(watch):
            self.code = main([str(argument) for argument in arguments])

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._stream.getvalue()

    def expect(self, code: int) -> str:
        """Return the output if the exit code is this one."""
        assert self.code == code, f"exit code {self.code} instead of {code}; output:\n{self.output}"
        return self.output


class Command(Output):
    """`python -m tuner.run` with these arguments, started in `folder`; `log` is the file with its output.

    script: Python to run in place of the module, forked from a process that has imported PyTorch; more: variables of its
    environment.

    Without --address it finds no token, as on a person's machine; and a Ray of its own has one CPU, so one worker.
    """

    def __init__(self, folder: Path, *arguments: object, script: str | None = None, **more: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"log-{time.monotonic_ns()}.txt"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}
        if "--address" not in arguments:
            environment = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH_")}
        environment |= {"RAY_OVERRIDE_RESOURCES": '{"CPU": 1}', **more}
        words = [str(argument) for argument in arguments]
        self.process: subprocess.Popen[bytes] | forked.Process
        with self.log.open("w") as file:
            if script:
                forked.start_server()
                self.process = forked.Process(["-c", script, *words], folder, environment, [file.fileno()] * 3)
            else:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "tuner.run", *words],
                    cwd=folder,
                    env=environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a process group of its own, as a shell gives it: Ctrl-C goes to the group
                )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def expect(self, code: int) -> str:
        """Wait, and return the output if the exit code is this one."""
        try:
            got = self.process.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            got = "none in time"
        assert got == code, f"exit code {got} instead of {code}; output:\n{self.output}"
        return self.output

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until the condition holds while the command runs, and return it; an error if the command ends before."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not (found := condition()):
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"{'ended' if ended else 'timed out'} before {what}; output:\n{self.output}")
            time.sleep(0.2)
        return found


def table(results: Path, name: str, run: str) -> pd.DataFrame:
    """One of the tables as a person reads it, of one run; empty before the first trial has ended."""
    if not (results / name).exists():
        return pd.DataFrame()
    return pd.read_parquet(results / name).query(f"run == {run!r}").reset_index(drop=True)


def saved_states(results: Path, run: str) -> dict[int, Path]:
    """The file with the newest saved state of each trial of a run."""
    files = [f for f in results.glob(f"state/{run}/attempt-*/trial_*/checkpoint_*/training.pt") if f.is_file()]
    return {int(file.parts[-3].removeprefix("trial_")): file for file in sorted(files)}


def alone(pairs: Path, row: pd.Series, settings: Settings, views: int = 1) -> list[EpochReport]:
    """The trial of this row of `trials` trained here, without Ray."""
    table = read_pairs(pairs, seed=0)
    plain, fingerprint = decode(table, BACKBONE.image_size_px)
    data = PairData.of(table, with_views(plain, views, fingerprint), fingerprint, views)
    names = {field.name for field in dataclasses.fields(TrialConfig)} - {"epochs"}
    values = {name: row[name] for name in names if pd.notna(row[name])}
    whole = ("seed", "batch_size", "embedding_size", "hidden_size", "trainable_blocks")
    values |= {name: int(values[name]) for name in whole}
    if row["threshold_source"] == "solved":
        values["threshold"] = None
    config = TrialConfig.of(values | {"epochs": int(row["max_epochs"])})
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        return list(train(config, create_backbone(BACKBONE), data, settings))
    finally:
        torch.set_num_threads(threads)


def dashboard(url: str, path: str, token: str | None = None) -> Any:
    """What the dashboard's API answers."""
    request = urllib.request.Request(url + path)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=300) as answer:
        return json.loads(answer.read())


def own_dashboard(url: str, path: str) -> Any:
    """The same of the tests' own cluster."""
    return dashboard(url, path, os.environ["RAY_AUTH_TOKEN"])
