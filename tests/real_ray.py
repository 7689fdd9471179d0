"""The real command as a person starts it: a process of its own, on a Ray of its own or on a running cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from trainable.backbones import BackboneSpec, create_backbone
from trainable.config import Settings, TrialConfig
from trainable.pairs import PairData, read_pairs
from trainable.pixels import decode
from trainable.training import EpochReport, train

ROOT = Path(__file__).parents[1]
BACKBONE = BackboneSpec("test_byobnet", "none", 16)
SMALL = ("--backbone", BACKBONE.name, "--image-size-px", BACKBONE.image_size_px, "--batch-size", 8)
_TIMEOUT_S = 300.0


class Command:
    """`python -m tuner.run` with these arguments, started in `folder`; `log` is the file with its output."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"log-{time.monotonic_ns()}.txt"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}
        environment.pop("RAY_AUTH_MODE", None)
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tuner.run", *map(str, arguments)],
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

    @property
    def run(self) -> str:
        """The run's name, as it printed it."""
        return self.printed("run")

    def printed(self, name: str) -> str:
        """The line of this name, of those that say what is going to be done and where the results lie."""
        return re.search(rf"^{name} +(\S.*)$", self.output, re.MULTILINE)[1]

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
            time.sleep(0.05)
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


def alone(pairs: Path, row: pd.Series, settings: Settings) -> list[EpochReport]:
    """The trial of this row of `trials` trained here, without Ray."""
    table = read_pairs(pairs, seed=0)
    data = PairData.of(table, *decode(table, BACKBONE.image_size_px))
    names = {field.name for field in dataclasses.fields(TrialConfig)} - {"epochs"}
    values = {name: row[name] for name in names}
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
    with opener.open(request, timeout=10) as answer:
        return json.loads(answer.read())
