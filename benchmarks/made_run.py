"""One run made by a script, not by training, with everything that its page shows: tables, scores, a pair table, images."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trainable.data.images import decode
from trainable.data.pairs import PairTable
from trainable.data.read_pairs import read_pairs
from tuner.inputs.dataset import fingerprint_of
from tuner.results.schema import SCHEMAS

RUN = "joint-made"
_SEARCHED = ["learning_rate", "temperature", "threshold", "trainable_blocks", "backbone_lr_ratio"]
_FIXED = {"max_epochs": 0, "batch_size": 32, "weight_decay": 0.05, "warmup_epochs": 1.0, "consistency_weight": 0.1}
_SPACE = '"""Which values work best together?\n\nMade by a script, not trained.\n"""\n\n\ndef suggest(trial):\n    return {}\n'
_BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_COLLAPSE = ["total-collapse", "low-uniformity"]


@dataclass(frozen=True)
class Shape:
    """How large the run is."""

    trials: int = 200
    epochs: int = 10
    identities: int = 100
    """Things in each split; each is in one positive and one negative pair."""
    image_size_px: int = 64


def make_run(folder: Path, shape: Shape, seed: int = 0) -> str:
    """Write the pairs below folder/pairs and the tables below folder/results; returns the name of the run.

    Accuracy is best at a learning rate of 3e-3, a temperature of 0.1 and with all blocks trained; learning rates above 0.05
    collapse, and one trial in fifty fails.
    """
    random = np.random.default_rng(seed)
    pairs = read_pairs(_write_pairs(folder / "pairs", shape, random))
    trials = [_trial(number, shape, random) for number in range(shape.trials)]
    labels, validation = pairs.pair_label[pairs.rows("val")], pairs.rows("val")
    for trial in trials:
        if trial["objective"] is not None:
            scores = _scores(trial, labels, random)
            judged = (scores >= trial["threshold"]) == (labels == 1)
            columns = {"pair": validation, "score": scores, "pair_label": labels, "correct": judged}
            of_trial = {
                name: np.full(len(labels), trial[key]) for name, key in (("trial", "trial"), ("epoch", "epochs"))
            }
            rows = pa.table({**of_trial, **columns}).select(SCHEMAS["scores"].names).cast(SCHEMAS["scores"])
            _write(folder, "scores", f"trial-{trial['trial']:05d}", rows)
    epochs = [epoch for trial in trials for epoch in _epochs(trial, random)]
    run = _run(folder, shape, pairs, trials)
    for table, rows in (("trials", trials), ("epochs", epochs), ("runs", [run])):
        complete = [{name: row.get(name) for name in SCHEMAS[table].names} for row in rows]
        _write(folder, table, "part-0", pa.Table.from_pylist(complete, SCHEMAS[table]))
    return RUN


def _write(folder: Path, table: str, name: str, rows: pa.Table) -> None:
    place = folder / "results" / table / "space=joint" / f"run={RUN}"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, place / f"{name}.parquet")


def _write_pairs(folder: Path, shape: Shape, random: np.random.Generator) -> Path:
    """Every thing is a mosaic of its own, seen twice with noise."""
    folder.mkdir(parents=True)
    rows = ["front,angle,pair_label,front_identity,angle_identity,split"]
    cell = -(-shape.image_size_px // 4)
    for thing in range(3 * shape.identities):
        mosaic = random.integers(0, 256, (4, 4, 3)).repeat(cell, axis=0).repeat(cell, axis=1)
        for side in ("front", "angle"):
            view = np.clip(mosaic + random.normal(0, 20, mosaic.shape), 0, 255).astype(np.uint8)
            Image.fromarray(view).save(folder / f"{side}-{thing}.png")
        split, first = thing // shape.identities, thing // shape.identities * shape.identities
        for other in (thing, first + (thing - first + 1) % shape.identities):
            label, name = int(other == thing), ("train", "val", "test")[split]
            rows.append(f"front-{thing}.png,angle-{other}.png,{label},{thing},{other},{name}")
    (folder / "pairs.csv").write_text("\n".join(rows))
    return folder / "pairs.csv"


def _trial(number: int, shape: Shape, random: np.random.Generator) -> dict[str, Any]:
    default = number == 0
    rate = 3e-3 if default else float(10 ** random.uniform(-5, -1))
    temperature = 0.07 if default else float(10 ** random.uniform(-2, 0))
    blocks = 4 if default else int(random.integers(0, 5))
    fault = 0.06 * (np.log10(rate) + 2.5) ** 2 + 0.03 * (np.log10(temperature) + 1) ** 2 + 0.03 * (4 - blocks)
    accuracy = float(np.clip(0.94 - fault - 0.05 * default + random.normal(0, 0.01), 0.5, 0.97))
    sick, failed = rate > 0.05, not default and random.random() < 0.02
    state = "failed" if failed else "sick" if sick else "completed" if accuracy > 0.8 else "pruned"
    ran = 0 if failed else shape.epochs if state == "completed" else min(2, shape.epochs)
    seconds = ran * 2.0 * random.uniform(0.9, 1.1)
    started = _BEGAN + timedelta(seconds=float(6 * number))
    return _FIXED | {
        "trial": number,
        "state": state,
        "is_default": default,
        "objective": None if failed else 0.5 if sick else accuracy,
        "learning_rate": rate,
        "temperature": temperature,
        "threshold": 0.5 if default else float(random.uniform(-0.5, 1)),
        "threshold_source": "searched",
        "trainable_blocks": blocks,
        "backbone_lr_ratio": float(10 ** random.uniform(-3, 0)),
        "max_epochs": shape.epochs,
        "seed": int(random.integers(2**31)),
        "val_accuracy": None if failed else accuracy,
        "val_accuracy_solved": None if failed else accuracy,
        "val_accuracy_low": None if failed else accuracy - 0.04,
        "val_accuracy_high": None if failed else min(accuracy + 0.04, 1.0),
        "val_auc": None if failed else min(accuracy + 0.03, 1.0),
        **{f"val_recall_at_{k}": None if failed else _recall(accuracy, k) for k in (1, 5, 10)},
        "val_map": None if failed else 0.9 * accuracy,
        "contrastive_loss": None if failed else 3.4 * (1 - accuracy),
        "epochs": ran,
        "best_epoch": ran or None,
        "ranked_epoch": ran or None,
        "train_s": seconds,
        "wait_s": 1.0,
        "started_at": started,
        "ended_at": started + timedelta(seconds=seconds + 1),
        "completion_order": number,
        "node": f"node-{number % 2}/made",
        "error": "RuntimeError: no memory" if failed else "total-collapse: mean cosine 1.0000" if sick else None,
        "diagnoses": None if failed else _COLLAPSE if sick else [],
    }  # fmt: skip


def _recall(accuracy: float, k: int) -> float:
    return 1 - (1 - accuracy) ** (0.5 + 0.5 * k**0.5)


def _epochs(trial: dict[str, Any], random: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for epoch in range(1, trial["epochs"] + 1):
        share = 1 - 0.6**epoch
        accuracy = 0.5 + (trial["objective"] - 0.5) * share + float(random.normal(0, 0.004))
        rows.append(
            {
                "trial": trial["trial"],
                "epoch": epoch,
                "objective": accuracy,
                "val_accuracy": accuracy,
                "val_accuracy_solved": accuracy,
                "contrastive_loss": 3.4 * (1.05 - accuracy),
                "chance_loss": 3.466,
                "val_queries": 100,
                "val_cmc": [_recall(accuracy, k) for k in range(1, 21)],
                "consistency_loss": 0.3 / epoch,
                "positive_similarity": 0.4 + 0.4 * share,
                "negative_similarity": 0.4 - 0.3 * share,
                "diagnoses": trial["diagnoses"] if epoch == trial["epochs"] else [],
            }
        )
    return rows


def _scores(trial: dict[str, Any], labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    gap = 2 * max(trial["objective"] - 0.5, 0.02)
    return np.tanh(random.normal(np.where(labels == 1, gap, -gap), 0.6)).astype(np.float32)


def _run(folder: Path, shape: Shape, pairs: PairTable, trials: list[dict[str, Any]]) -> dict[str, Any]:
    _, fingerprint = decode(pairs, shape.image_size_px)
    able = [trial for trial in trials if trial["state"] in ("completed", "pruned")]
    winner = max(able, key=lambda trial: trial["objective"])
    measured = {"winner": winner["objective"], "default": 0.86, "default_solved": 0.89}
    accuracies = {f"test_accuracy_{name}": value for name, value in measured.items()}
    rest = {"test_auc_winner": 0.96, "test_auc_default": 0.93, "test_difference": 0.07, "test_difference_solved": 0.04}
    shown = accuracies | rest
    ends = {
        f"{name}_{end}": value + by for name, value in shown.items() for end, by in (("low", -0.03), ("high", 0.03))
    }
    splits = {f"{split}_pairs": 2 * shape.identities for split in ("train", "val", "test")}
    return shown | ends | splits | {
        "state": "finished",
        "started_at": _BEGAN,
        "ended_at": _BEGAN + timedelta(seconds=6.0 * shape.trials),
        "wall_s": 6.0 * shape.trials,
        "command": "python -m tuner.run --space joint --trials 200",
        "question": "Which values work best together?",
        "space_source": _SPACE,
        "searched": _SEARCHED,
        "space_ranges": {"learning_rate": "1e-05 to 0.1, logarithmic", "trainable_blocks": "0 to 4"},
        "data": str((folder / "pairs" / "pairs.csv").resolve()),
        "data_fingerprint": fingerprint_of(pairs, fingerprint),
        "backbone": "test_byobnet",
        "weights": "none",
        "image_size_px": shape.image_size_px,
        "views": 1,
        "metric": "val_accuracy",
        "sampler": "tpe",
        "scheduler": "asha",
        "seed": 0,
        "trials_requested": shape.trials,
        "trials_done": shape.trials,
        "versions": [("python", "3.11")],
        "device": "cpu",
        "precision": "fp32",
        "hostname": "nowhere",
        "cluster_nodes": 2,
        "cluster_cpus": 2.0,
        "cluster_gpus": 0.0,
        "winner_trial": winner["trial"],
        "threshold_winner": 0.1,
        "threshold_default": 0.5,
        "threshold_default_solved": 0.2,
        "test_identities": shape.identities,
    }  # fmt: skip
