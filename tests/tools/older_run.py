"""A run made before the files moved into their rooms, as it is or as an even older program would have left it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import torch

FIXTURE = Path(__file__).parents[1] / "fixtures" / "before_rooms"
RUN = "temperature-before-rooms"
DEFAULTED = ("negative_margin", "weight_decay")
"""Hyperparameters that the run had at their defaults, without which `stripped` leaves it."""
_LATER = {
    "runs": ("views", "keep_sick", "half_cuts", "searched", "threshold_default_solved", "test_difference_solved"),
    "trials": (*DEFAULTED, "val_balanced_accuracy", "val_tar_at_far_1e3", "replay_of", "completion_order", "retries"),
    "epochs": ("val_balanced_accuracy", "val_tar_at_far_1e3", "negative_pull", "frozen_moved", "scores_tied_exact"),
    "scores": ("correct",),
}
"""Columns that are missing from a stripped run."""
_NUMBERS = ("val_balanced_accuracy", "negative_pull", "frozen_moved")
_STATE = ("score_history",)
_OPTIONS = {"configuration": DEFAULTED, "search": ("keep_sick",), "data": ("views",), "output": ("checkpoint_s",)}


def copy(folder: Path) -> Path:
    """The run's results below the folder, beside its pairs: a person stands there. Returns the results' folder."""
    shutil.copy(FIXTURE / "pairs.parquet", folder)
    return Path(shutil.copytree(FIXTURE / "results", folder / "results"))


def strip(results: Path) -> None:
    """Take away what came later: columns of the tables, options, keys of saved states, hyperparameters in the study."""
    for table, names in _LATER.items():
        for file in (results / table).rglob("*.parquet"):
            rows = pq.ParquetFile(file).read()
            pq.write_table(rows.drop_columns([name for name in names if name in rows.column_names]), file)
    state = results / "state" / RUN
    saved = json.loads((state / "run.json").read_text())
    for group, names in _OPTIONS.items():
        for name in names:
            del saved["options"][group][name]
    (state / "run.json").write_text(json.dumps(saved))
    for file in state.rglob("training.pt"):
        torch.save(_without(torch.load(file, weights_only=True)), file)
    lines = [json.loads(line) for line in (state / "study.log").read_text().splitlines()]
    for line in lines:
        for name in DEFAULTED:
            line.get("user_attr", {}).get("values", {}).pop(name, None)
    (state / "study.log").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _without(state: dict) -> dict:
    history = [{name: value for name, value in epoch.items() if name not in _NUMBERS} for epoch in state["history"]]
    return {name: value for name, value in state.items() if name not in _STATE} | {"history": history}
