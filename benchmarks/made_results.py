"""Result tables made by a script, not by training: many runs of several spaces on several data sets and machines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuner.results.schema import SCHEMAS

_SEARCHED = {
    "temperature": ["temperature"],
    "learning_rate": ["learning_rate"],
    "threshold": ["threshold"],
    "freezing": ["trainable_blocks", "backbone_lr_ratio"],
    "joint": ["learning_rate", "temperature", "threshold", "trainable_blocks", "backbone_lr_ratio"],
}
_RANGES = {"learning_rate": (-5.0, -1.0), "temperature": (-2.0, 1.0), "backbone_lr_ratio": (-3.0, 0.0)}
_BEST = {"learning_rate": -2.5, "temperature": -1.0, "backbone_lr_ratio": 0.0}
_DATA = ("turntable", "vehicles.csv", "coils.csv", "faces.csv")
_BACKBONES = ("test_byobnet", "mobilenetv2_035")
_MACHINES = ("laptop", "server")


def make(folder: str | Path, *, runs: int, trials: int, epochs: int, seed: int = 0) -> None:
    """Write the tables `runs`, `trials` and `epochs` of so many runs; the same seed makes the same files.

    The objective is best at a learning rate of 3e-3, a temperature of 0.1, a threshold of 0.6 and with all of the backbone
    trained, with noise; trials that do not get to the last epoch are pruned, the worst fall sick, one in fifty fails.
    """
    for number in range(runs):
        random = np.random.default_rng([seed, number])
        space = list(_SEARCHED)[number % len(_SEARCHED)]
        run = f"{space}-made-{number:04d}"
        made = _trials(space, trials, epochs, random)
        _write(folder, "trials", space, run, made)
        _write(folder, "epochs", space, run, _epochs(made, epochs, random))
        _write(folder, "runs", space, run, _run(number, space, made))


def _trials(space: str, size: int, epochs: int, random: np.random.Generator) -> dict[str, Any]:
    searched = _SEARCHED[space]
    fixed = {"learning_rate": 3e-3, "temperature": 0.07, "trainable_blocks": 4, "backbone_lr_ratio": 1.0}
    columns: dict[str, Any] = {name: np.full(size, value) for name, value in fixed.items()}
    loss = np.zeros(size)
    for name in (name for name in searched if name in _RANGES):
        drawn = random.uniform(*_RANGES[name], size)
        columns[name] = 10**drawn
        loss += 0.03 * (drawn - _BEST[name]) ** 2
    if "trainable_blocks" in searched:
        columns["trainable_blocks"] = random.integers(0, 5, size)
        loss += 0.02 * (4 - columns["trainable_blocks"])
    by_hand = "threshold" in searched
    columns["threshold"] = random.uniform(-0.5, 1, size) if by_hand else random.normal(0.6, 0.02, size)
    loss += 0.1 * (columns["threshold"] - 0.6) ** 2 * by_hand
    objective = np.clip(0.93 - loss + random.normal(0, 0.01, size), 0.4, 1)
    ran = np.where(objective >= np.median(objective), epochs, random.integers(1, epochs + 1, size))
    state = np.where(ran == epochs, "completed", "pruned").astype(object)
    state[objective < 0.55] = "sick"
    state[random.random(size) < 0.02] = "failed"
    seconds = ran * (1.0 + columns["trainable_blocks"]) * random.uniform(0.9, 1.1, size)
    started = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=60.0 * place) for place in range(size)]
    return columns | {
        "trial": np.arange(size),
        "state": state,
        "is_default": np.arange(size) == 0,
        "objective": np.where(state == "failed", np.nan, objective),
        "val_accuracy": objective,
        "val_accuracy_low": objective - 0.03,
        "val_accuracy_high": np.minimum(objective + 0.03, 1),
        "val_auc": np.minimum(objective + 0.04, 1),
        "val_auc_low": objective + 0.01,
        "val_auc_high": np.minimum(objective + 0.06, 1),
        "threshold_source": np.full(size, "searched" if by_hand else "solved"),
        "max_epochs": np.full(size, epochs),
        "batch_size": np.full(size, 32),
        "epochs": ran,
        "best_epoch": ran,
        "ranked_epoch": ran,
        "seed": random.integers(0, 2**31, size),
        "train_s": seconds,
        "wait_s": random.uniform(0, 5, size),
        "started_at": started,
        "ended_at": [start + timedelta(seconds=float(s)) for start, s in zip(started, seconds, strict=True)],
        "completion_order": np.arange(size),
        "node": np.full(size, "node-1"),
        "diagnoses": [["collapsed"] if one == "sick" else [] for one in state],
    }


def _epochs(trials: Mapping[str, Any], epochs: int, random: np.random.Generator) -> dict[str, Any]:
    trial = np.repeat(trials["trial"], trials["epochs"])
    epoch = np.concatenate([np.arange(1, count + 1) for count in trials["epochs"]])
    reached = np.repeat(trials["val_accuracy"], trials["epochs"]) * (1 - 0.3 / epoch)
    numbers = {name: random.random(len(trial)) for name, kind in _types("epochs").items() if pa.types.is_floating(kind)}
    whole = {"diagnoses": [[]] * len(trial), "frozen_moved": np.zeros(len(trial), dtype=int)}
    return numbers | whole | {"trial": trial, "epoch": epoch, "objective": reached, "val_accuracy": reached}


def _run(number: int, space: str, trials: Mapping[str, Any]) -> dict[str, Any]:
    kind = number // len(_SEARCHED)
    data, backbone = _DATA[kind % len(_DATA)], _BACKBONES[kind // len(_DATA) % len(_BACKBONES)]
    can_win = np.isin(trials["state"], ["completed", "pruned"])
    winner = int(np.argmax(np.where(can_win, trials["objective"], -1)))
    test = float(trials["objective"][winner]) - 0.02
    row = {
        "state": "finished",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number),
        "wall_s": float(sum(trials["train_s"])),
        "question": f"What does {space} do?",
        "searched": _SEARCHED[space],
        "data": data,
        "data_fingerprint": f"fingerprint-of-{data}",
        "backbone": backbone,
        "weights": "none",
        "image_size_px": 64,
        "metric": "val_accuracy",
        "seed": number,
        "device": "cpu",
        "hostname": _MACHINES[number % len(_MACHINES)],
        "trials_done": len(trials["trial"]),
        "winner_trial": winner,
        "threshold_winner": float(trials["threshold"][winner]),
        "test_accuracy_winner": test,
        "test_accuracy_winner_low": test - 0.04,
        "test_accuracy_winner_high": min(test + 0.04, 1.0),
        "test_accuracy_default": test - 0.01,
        "test_difference": 0.01,
        "test_difference_low": -0.02,
        "test_difference_high": 0.04,
    }
    return {name: [value] for name, value in row.items()}


def _types(table: str) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in SCHEMAS[table]}


def _write(folder: str | Path, table: str, space: str, run: str, columns: Mapping[str, Any]) -> None:
    size = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[name], kind, from_pandas=True) if name in columns else pa.nulls(size, kind)
        for name, kind in _types(table).items()
    ]
    file = Path(folder, table, f"space={space}", f"run={run}", "part-0.parquet")
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays, schema=SCHEMAS[table]), file)
