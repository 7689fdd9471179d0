"""This system's own command, run as a person runs it: a process of its own, an empty cache, tables read afterwards."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from trainable.errors import InputError

SPACE = Path(__file__).with_name("rate_and_temperature.py")


@dataclass(frozen=True)
class SourceOptions:
    """Data and backbone; by default those that the targets were set for."""

    data: str = "../shared/data/vehicle_reid/pairs.csv"
    """A pair table (.csv, .parquet), or a folder of identities; or turntable, the embedded set."""
    backbone: str = "mobilenetv2_100"
    """Any model name of timm."""
    weights: str = "../shared/weights/mobilenetv2_100_coral_ptq.safetensors"
    """none (random weights), or a weights file of the backbone."""
    input_mean: tuple[float, float, float] | None = (0.5, 0.5, 0.5)
    """Mean of red, green and blue to normalise with; none: what timm has for the backbone."""
    input_std: tuple[float, float, float] | None = (0.5, 0.5, 0.5)
    """Their standard deviation; none: what timm has for the backbone."""
    image_size_px: int = 128
    """Side of the square that images are resized to."""

    def arguments(self) -> list[str]:
        """The same, spelt for python -m tuner.run."""
        given = {"mean": self.input_mean, "std": self.input_std}
        normalisation = [[f"--input-{name}", *map(str, value)] for name, value in given.items() if value]
        return [
            *("--data", self.data, "--backbone", self.backbone, "--weights", self.weights),
            *("--image-size-px", str(self.image_size_px)),
            *(word for words in normalisation for word in words),
        ]


EMBEDDED = SourceOptions("turntable", "test_byobnet", "none", None, None, 64)
"""Small, and there without any download: for smoke runs."""


def resolved(source: SourceOptions, console: Console) -> SourceOptions:
    """With the path of the data, which is rendered first where it is the embedded set; InputError if it is not there."""
    from tuner.cli.run_options import DataOptions
    from tuner.inputs.dataset import (
        data_path,  # here: the plain sides import this module, and need nothing of the search
    )

    path = data_path(DataOptions(data=source.data), console)
    weights = source.weights if source.weights in ("none", "pretrained") else str(Path(source.weights).resolve())
    for what, file in (("--data", path), ("--weights", Path(weights))):
        if file.name not in ("none", "pretrained") and not file.exists():
            raise InputError(
                f"{what} {file} is not there; valid is an existing file or folder. Give one, or try --quick."
            )
    return dataclasses.replace(source, data=str(path), weights=weights)


@dataclass(frozen=True)
class Searched:
    """What a finished search took."""

    wall_s: float
    """From the start of the process to its end: imports, images, Ray, features, trials, verdict on test pairs."""
    trials: pd.DataFrame
    """One row a trial, as results/README.md describes them, by number."""
    epochs: pd.DataFrame
    """One row a trial and epoch."""


def search(source: SourceOptions, folder: Path, *, trials: int, epochs: int, trainable_blocks: int | None) -> Searched:
    """Random configurations, all trained to the end. folder: new, for the tables and an empty cache.

    Raises RuntimeError with the end of its output if the command fails.
    """
    folder.mkdir(parents=True)
    command = [
        *(sys.executable, "-m", "tuner.run", "--space", str(SPACE), *source.arguments()),
        *("--sampler", "random", "--scheduler", "none", "--trials", str(trials), "--epochs", str(epochs)),
        *("--trainable-blocks", "none" if trainable_blocks is None else str(trainable_blocks)),
        *("--learning-rate", "3e-4", "--results", str(folder / "results"), "--cache", str(folder / "cache")),
    ]
    started = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started
    (folder / "output.txt").write_text(ran.stdout + ran.stderr)
    if ran.returncode != 0:
        raise RuntimeError(f"the search exited with {ran.returncode}:\n{(ran.stdout + ran.stderr)[-3000:]}")
    tables = (pd.read_parquet(folder / "results" / name) for name in ("trials", "epochs"))
    rows, epoch_rows = (
        table.sort_values(key) for table, key in zip(tables, ("trial", ["trial", "epoch"]), strict=True)
    )
    return Searched(wall_s, rows.reset_index(drop=True), epoch_rows.reset_index(drop=True))
