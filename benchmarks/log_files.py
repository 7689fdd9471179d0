"""Courses of benchmarks/log_grammar.py written as files, as people's tools write them: with their names, gaps and orders."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.log_grammar import Draw, TrialHistory

Columns = dict[str, np.ndarray]
_LOSS_NAMES = {
    "infonce": ("contrastive_loss", "loss", "train_loss", "info_nce", "loss/con", "train/loss", "nt_xent_loss"),
    "supcon": ("loss", "supcon_loss", "train_loss"),
    "ntxent": ("ntxent", "loss", "train/contrastive_loss"),
    "queue": ("loss", "moco_loss", "train_loss"),
    "triplet": ("triplet_loss", "train/triplet_loss", "TripletMarginLoss", "triplet"),
    "sigmoid": ("siglip_loss", "sigmoid_loss"),
    "simsiam": ("loss", "simsiam_loss", "neg_cosine"),
}
_NAMES = {
    "val_auc": ("val_auc", "val/auroc", "eval_auc", "validation AUC"),
    "val_accuracy": ("val_acc", "val_accuracy", "valid/accuracy", "eval_cosine_accuracy"),
    "val_loss": ("val_loss", "valid_loss", "eval_loss"),
    "top1": ("acc_top1", "top1", "acc@1", "contrastive_acc", "train/retrieval_top1"),
    "feature_std": ("feat_std", "embedding_std", "z_std"),
    "positive": ("pos_sim", "positive_similarity", "sim_pos"),
    "negative": ("neg_sim", "negative_similarity", "val/neg_cos"),
    "grad_norm": ("grad_norm", "gradient_norm"),
    "train_accuracy": ("train_acc", "train/accuracy"),
    "accuracy": ("accuracy", "acc", "val_acc"),
    "degrees": ("gpu_temp", "GPU temperature", "system/gpu.0.temp"),
}
_DECOYS = (
    ("gpu_mem_gb", lambda rows, draw: 8 + draw.random(rows)),
    ("eval_pearson_cosine", lambda rows, draw: 0.5 + 0.3 * draw.random(rows)),
    ("cosine_lr", lambda rows, draw: 1e-3 * (1 + np.cos(np.linspace(0, 3, rows)))),
    ("lr", lambda rows, draw: np.full(rows, 3e-4)),
    ("time_s", lambda rows, draw: 12 + draw.random(rows)),
    ("cosine_map@100", lambda rows, draw: draw.random(rows)),
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A log as a file, with what its user tells beside it."""

    path: Path
    format: str
    words: tuple[str, ...]


def write(run: TrialHistory, folder: Path, draw: Draw, format: str | None = None) -> Written:
    """The course in a file of a format drawn at random, or of the given one."""
    columns = _named(run, draw)
    chosen = format or str(draw.choice(list(FORMATS)))
    path = FORMATS[chosen](columns, folder, draw)
    return Written(path, chosen, _words(run, draw))


def _named(run: TrialHistory, draw: Draw) -> Columns:
    percent = draw.random() < 0.25
    columns = {str(draw.choice(_LOSS_NAMES[run.kind])): run.loss}
    for name, values in run.more.items():
        shares = percent and name in ("val_accuracy", "top1", "train_accuracy", "accuracy") and np.nanmax(values) > 0.02
        columns[str(draw.choice(_NAMES[name]))] = 100 * values if shares else values
    for name, made in _DECOYS:
        if draw.random() < 0.15:
            columns[name] = made(len(run.loss), draw)
    return columns


def _words(run: TrialHistory, draw: Draw) -> tuple[str, ...]:
    words: list[str] = []
    if draw.random() < 0.5:
        words += ["--batch-size", str(run.batch_size)]
    if draw.random() < 0.5:
        words += ["--temperature", f"{run.temperature:g}"]
    if run.base_temperature and draw.random() < 0.7:
        words += ["--base-temperature", f"{run.base_temperature:g}"]
    return tuple(words)


def _table(columns: Columns, draw: Draw, order: bool = True) -> pd.DataFrame:
    """A row for each epoch; in order, newest first, or shuffled."""
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({str(draw.choice(("epoch", "Epoch", "step", "global_step"))): np.arange(rows), **columns})
    turned = draw.random() if order else 1.0
    if turned < 0.15:
        return frame.iloc[::-1].reset_index(drop=True)
    return frame.iloc[draw.permutation(rows)].reset_index(drop=True) if turned < 0.3 else frame


def _text(value: Any, decimal: str = ".") -> str:
    """A number as a cell of text; NaN is written out, as the run logged it."""
    if isinstance(value, int | np.integer):
        return str(value)
    return f"{value:.6g}".replace(".", decimal)


def _separated(separator: str, decimal: str = ".", suffix: str = ".csv") -> Callable[[Columns, Path, Draw], Path]:
    def written(columns: Columns, folder: Path, draw: Draw) -> Path:
        frame = _table(columns, draw)
        lines = [separator.join(frame.columns)]
        lines += [separator.join(_text(value, decimal) for value in row) for row in frame.itertuples(index=False)]
        path = folder / f"log{suffix}"
        text = "\n".join(lines) + "\n"
        path.write_bytes(gzip.compress(text.encode())) if suffix.endswith("gz") else path.write_text(text)
        return path

    return written


def _appended(columns: Columns, folder: Path, draw: Draw) -> Path:
    """A run that was resumed and wrote its header again."""
    path = _separated(",")(columns, folder, np.random.default_rng(1))
    lines = path.read_text().splitlines()
    middle = len(lines) // 2
    path.write_text("\n".join([*lines[:middle], lines[0], *lines[middle:]]) + "\n")
    return path


def _tensors(columns: Columns, folder: Path, draw: Draw) -> Path:
    frame = _table(columns, draw)
    loss = next(iter(columns))
    frame[loss] = [f"tensor({value:.4f}, device='cuda:0')" for value in frame[loss]]
    path = folder / "log.csv"
    frame.to_csv(path, index=False, na_rep="nan")
    return path


def _parquet(columns: Columns, folder: Path, draw: Draw) -> Path:
    path = folder / "log.parquet"
    _table(columns, draw).to_parquet(path, index=False)
    return path


def _lightning(gap: str) -> Callable[[Columns, Path, Draw], Path]:
    """Training and validation on rows of their own."""

    def written(columns: Columns, folder: Path, draw: Draw) -> Path:
        rows = []
        held_out = {name for name in columns if name.lower().startswith(("val", "eval"))}
        for epoch in range(len(next(iter(columns.values())))):
            for names in (held_out, set(columns) - held_out):
                if names:
                    row = {"epoch": epoch, "step": 10 * epoch + 9}
                    rows.append(row | {name: _text(columns[name][epoch]) for name in columns if name in names})
        frame = pd.DataFrame(rows)
        path = folder / ("metrics.csv" if gap != "parquet" else "metrics.parquet")
        if gap == "parquet":
            frame.astype(float).to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False, na_rep=gap)
        return path

    return written


def _phases(columns: Columns, folder: Path, draw: Draw) -> Path:
    """Rows of training and of validation under the same names."""
    word = str(draw.choice(("phase", "split")))
    rows = []
    for epoch in range(len(next(iter(columns.values())))):
        for phase in ("train", "val"):
            own = {}
            for name, values in columns.items():
                held_out = name.lower().startswith(("val", "eval"))
                bare = re.sub(r"^(validation|valid|val|eval|train)[_/ ]", "", name.lower())
                if held_out == (phase == "val"):
                    own[bare or name] = _text(values[epoch])
            if own:
                rows.append({"epoch": epoch, word: phase, **own})
    path = folder / "log.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def _json(kind: str) -> Callable[[Columns, Path, Draw], Path]:
    def written(columns: Columns, folder: Path, draw: Draw) -> Path:
        frame = _table(columns, draw)
        records = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
        path = folder / {"jsonl": "log.jsonl", "trainer": "trainer_state.json"}.get(kind, "history.json")
        if kind == "jsonl":
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        elif kind == "trainer":
            state = {"best_metric": None, "epoch": 3.0, "log_history": records, "is_world_process_zero": True}
            path.write_text(json.dumps(state))
        else:
            path.write_text(json.dumps({name: list(map(_plain, values)) for name, values in columns.items()}))
        return path

    return written


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _chart(columns: Columns, folder: Path, draw: Draw) -> Path:
    """Weights & Biases' export of a chart."""
    frame = pd.DataFrame({"Step": np.arange(len(next(iter(columns.values())))) * 40 + 40})
    for name, values in columns.items():
        for end in ("", "__MIN", "__MAX"):
            frame[f"glad-fox-7 - {name}{end}"] = values
    path = folder / "wandb_export.csv"
    frame.to_csv(path, index=False, na_rep="NaN", quoting=1)
    return path


def _long(columns: Columns, folder: Path, draw: Draw) -> Path:
    """A row for each number, as MLflow's table of metrics."""
    rows = [
        {"key": name, "value": _text(value), "step": step}
        for name, values in columns.items()
        for step, value in enumerate(values)
    ]
    path = folder / "metrics.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def _mlflow(columns: Columns, folder: Path, draw: Draw) -> Path:
    """MLflow's folder: a file for each metric, with time, value and step."""
    path = folder / "metrics"
    for name, values in columns.items():
        file = path / name.replace(" ", "_")
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{1700000000000 + 1000 * step} {float(value)} {step}" for step, value in enumerate(values)]
        file.write_text("\n".join(lines) + "\n")
    return path


def _tensorboard(columns: Columns, folder: Path, draw: Draw) -> Path:
    from tensorboardX import SummaryWriter  # here: slow to import

    with SummaryWriter(str(folder / "tb")) as writer:
        for name, values in columns.items():
            for step, value in enumerate(values):
                writer.add_scalar(name.replace(" ", "_").replace("@", "_at_"), float(value), step)
    return folder / "tb"


def _spoken(columns: Columns, folder: Path, draw: Draw) -> Path:
    """What a script prints."""
    rows = len(next(iter(columns.values())))
    names = {name: name.replace(" ", "_") for name in columns}
    lines = [
        f"2024-05-01 12:{step // 60 % 60:02d}:{step % 60:02d} INFO Epoch {step + 1}/{rows} - "
        + " - ".join(f"{names[name]}: {_text(values[step])}" for name, values in columns.items())
        for step in range(rows)
    ]
    path = folder / "train.log"
    path.write_text("\n".join(lines) + "\n")
    return path


def _two_runs(columns: Columns, folder: Path, draw: Draw) -> Path:
    """The same run twice in one file, told by a column."""
    frame = _table(columns, draw, order=False)
    path = folder / "runs.csv"
    both = pd.concat([frame.assign(run_id="a"), frame.assign(run_id="b")])
    both.sort_values(frame.columns[0], kind="stable").to_csv(path, index=False, na_rep="nan")
    return path


FORMATS: dict[str, Callable[[Columns, Path, Draw], Path]] = {
    "CSV": _separated(","),
    "TSV": _separated("\t", suffix=".tsv"),
    "decimal commas": _separated(";", ","),
    "CSV, gzip": _separated(",", suffix=".csv.gz"),
    "header repeated": _appended,
    "tensors as text": _tensors,
    "Parquet": _parquet,
    "Lightning": _lightning(""),
    "Lightning, NA": _lightning("NA"),
    "Lightning, Parquet": _lightning("parquet"),
    "phases": _phases,
    "JSONL": _json("jsonl"),
    "trainer state": _json("trainer"),
    "Keras history": _json("history"),
    "W&B chart": _chart,
    "long": _long,
    "MLflow folder": _mlflow,
    "TensorBoard": _tensorboard,
    "printed": _spoken,
    "two runs": _two_runs,
}
"""Every way in which a course can be written, by its name."""
