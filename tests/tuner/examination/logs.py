"""Logs that the tests of the doctor write, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from trainable.findings import OK
from tuner.examination.log_columns import read_log
from tuner.examination.log_findings import explain
from tuner.examination.loss_kinds import Known

Given = dict[str, float]


def said(path: Path, **given: float) -> dict[str, str]:
    """Names of what is wrong, with their verdicts; empty where nothing is. given: as the options are called."""
    found = {}
    for log in read_log(path):
        size = given.get("batch_size")
        known = Known.of(log, given.get("temperature"), int(size) if size else None, given.get("base_temperature"))
        found |= {one.check: one.verdict for one in explain(log, known) if one.verdict != OK}
    return found


def as_csv(folder: Path, **columns: object) -> Path:
    """A CSV with the columns; NaN is written as the run logged it, None is a gap."""
    frame = pd.DataFrame(columns)
    path = folder / "log.csv"
    cells = frame.astype(object).map(lambda value: "nan" if isinstance(value, float) and np.isnan(value) else value)
    cells.to_csv(path, index=False)
    return path


def falling(rows: int, first: float, last: float, rate: float = 4.0) -> np.ndarray:
    """From the first towards the last value, exponentially."""
    return last + (first - last) * np.exp(-rate * np.linspace(0, 1, rows))


def noise(rows: int, scale: float, seed: int = 0) -> np.ndarray:
    """Normal noise."""
    return np.random.default_rng(seed).normal(0, scale, rows)
