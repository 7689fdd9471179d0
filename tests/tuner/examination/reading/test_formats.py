"""Logs in the formats people have, read into the same numbers; and what is no log is refused by name."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.log_files import FORMATS
from trainable.errors import InputError
from tuner.examination.log_columns import TrainingLog, read_log

LOSSES = [4.1, 3.6, 3.1, 2.7, 2.4, 2.2]
AUCS = [0.5, 0.56, 0.62, 0.68, 0.74, 0.8]
ROWS = list(enumerate(zip(LOSSES, AUCS, strict=True)))
PLAIN = "epoch,loss,val_auc\n" + "".join(f"{row},{loss},{auc}\n" for row, (loss, auc) in ROWS)
RECORDS = [{"epoch": row, "loss": loss, "val_auc": auc} for row, (loss, auc) in ROWS]


def one(path: Path) -> TrainingLog:
    (log,) = read_log(path)
    return log


def kept(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


TEXTS = {
    "log.csv": PLAIN,
    "log.tsv": PLAIN.replace(",", "\t"),
    "semicolons.csv": PLAIN.replace(",", ";").replace(".", ","),
    "quoted.csv": "epoch,loss,val_auc\n" + "".join(f'{r},"{a}","{b}"\n'.replace(".", ",") for r, (a, b) in ROWS),
    "blanks.txt": PLAIN.replace(",", "   "),
    "savetxt.txt": "# " + PLAIN.replace(",", " "),
    "table.md": "| epoch | loss | val_auc |\n|---|---|---|\n" + "".join(f"| {r} | {a} | {b} |\n" for r, (a, b) in ROWS),
    "banner.csv": "Training started 2024-05-01\nmodel: resnet\n" + PLAIN,
    "again.csv": PLAIN.replace("3,2.7", "epoch,loss,val_auc\n3,2.7"),
    "reversed.csv": "\n".join([PLAIN.splitlines()[0], *PLAIN.splitlines()[:0:-1]]),
    "tensors.csv": "epoch,loss,val_auc\n" + "".join(f"{r},\"tensor({a}, device='cuda:0')\",{b}\n" for r, (a, b) in ROWS),
    "meters.csv": "epoch,loss,val_auc\n" + "".join(f"[{r}/6],{a:.4f} ({a + 1:.4f}),{100 * b:.1f}%\n" for r, (a, b) in ROWS),
    "numpy.csv": "epoch,loss,val_auc\n" + "".join(f"{r},np.float32({a}),[{b}]\n" for r, (a, b) in ROWS),
    "tf.csv": "epoch,loss,val_auc\n"
    + "".join(f'{r},"<tf.Tensor: shape=(), dtype=float32, numpy={a}>",{b}\n' for r, (a, b) in ROWS),
    "printed.log": "".join(f"[2024-01-01 12:00:0{r}] INFO: Epoch [{r}/6] Loss {a} val_auc={b}\n" for r, (a, b) in ROWS),
    "pairs.txt": "".join(f"epoch: {r}, loss: {a}, val_auc: {b}\n" for r, (a, b) in ROWS),
    "dicts.log": "".join(f"{record}\n" for record in RECORDS),
    "keras.log": "".join(f"Epoch {r}/6\n9/9 [====] - 1s 5ms/step - loss: {a} - val_auc: {b}\n" for r, (a, b) in ROWS),
    "records.json": json.dumps(RECORDS),
    "lines.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS),
    "cut.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS) + '{"epoch": 6, "lo',
    "history.json": json.dumps({"loss": LOSSES, "val_auc": AUCS}),
    "wrapped.json": json.dumps({"history": {"loss": LOSSES, "val_auc": AUCS}, "params": {"epochs": 6}}),
    "columns.json": pd.DataFrame(RECORDS).to_json(),
    "split.json": pd.DataFrame(RECORDS).to_json(orient="split"),
    "index.json": pd.DataFrame(RECORDS).to_json(orient="index"),
    "state.json": json.dumps({"best_metric": None, "log_history": [*RECORDS, {"train_loss": 3.0, "epoch": 6}]}),
    "nested.json": json.dumps([{"epoch": r, "train": {"loss": a}, "val": {"auc": b}} for r, (a, b) in ROWS]),
    "curves.json": json.dumps([{"name": "loss/train", "x": [*range(6)], "y": LOSSES},
                               {"name": "val/auc", "x": [*range(6)], "y": AUCS}]),
    "phases.json": json.dumps({"train": [{"epoch": r, "loss": a} for r, (a, _) in ROWS],
                               "val": [{"epoch": r, "auc": b} for r, (_, b) in ROWS]}),
    "phase_columns.json": json.dumps({"train": {"loss": LOSSES}, "val": {"auc": AUCS}, "best_epoch": 5}),
    "two_levels.csv": ",train,val,val\n,loss,auc,loss\nepoch,,,\n" + "".join(f"{r},{a},{b},{a}\n" for r, (a, b) in ROWS),
    "long.csv": "key,value,step\n" + "".join(f"loss,{a},{r}\nval_auc,{b},{r}\n" for r, (a, b) in ROWS),
    "steps.json": json.dumps({"loss": [[r, a] for r, (a, _) in ROWS], "val_auc": [[r, b] for r, (_, b) in ROWS]}),
    "wandb.csv": '"Step","fox-7 - loss","fox-7 - loss__MIN","fox-7 - loss__MAX","fox-7 - val_auc"\n'
    + "".join(f'"{r}","{a}","{a}","{a}","{b}"\n' for r, (a, b) in ROWS),
    "phase.csv": "epoch,phase,loss,auc\n" + "".join(f"{r},train,{a},\n{r},val,,{b}\n" for r, (a, b) in ROWS),
    "flag.csv": "epoch,is_train,loss,auc\n" + "".join(f"{r},True,{a},\n{r},False,,{b}\n" for r, (a, b) in ROWS),
    "dates.csv": "time,loss,val_auc\n" + "".join(f"2024-05-{r + 1:02d},{a},{b}\n" for r, (a, b) in reversed(ROWS)),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_read_into_the_same_numbers(tmp_path, name):
    """Whatever separates, surrounds, nests or orders them."""
    log = one(kept(tmp_path / name, TEXTS[name]))
    assert log.values("contrastive_loss") == pytest.approx(LOSSES), log.columns
    assert log.values("val_auc") == pytest.approx(AUCS)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["log.csv", "lines.jsonl"])
def test_compressed_logs(tmp_path, pack, name):
    """Told by their content, not by their name."""
    assert one(kept(tmp_path / "log", pack(TEXTS[name].encode()))).values("contrastive_loss") == pytest.approx(LOSSES)


def test_encodings(tmp_path):
    """With a byte order mark, of UTF-8 and UTF-16, as Windows has it."""
    for encoding in ("utf-8-sig", "utf-16"):
        path = kept(tmp_path / "log.csv", PLAIN.replace("\n", "\r\n").encode(encoding))
        assert one(path).values("contrastive_loss") == pytest.approx(LOSSES)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_grammar_is_read_back(tmp_path, name):
    """TensorBoard's event files, MLflow's folders, Lightning's gaps and all others."""
    columns = {"train_loss": np.array(LOSSES), "val_auc": np.array(AUCS)}
    for log in read_log(FORMATS[name](columns, tmp_path, np.random.default_rng(3))):
        assert log.values("contrastive_loss") == pytest.approx(LOSSES), log.columns
        assert log.values("val_auc") == pytest.approx(AUCS)


def test_single_metrics_are_called_after_their_file(tmp_path):
    """As TensorBoard's page saves them, as CSV and as JSON, and MLflow."""
    csv = "Wall time,Step,Value\n" + "".join(f"{1.7e9 + r},{r},{a}\n" for r, (a, _) in ROWS)
    rows = json.dumps([[1.7e9 + r, r, a] for r, (a, _) in ROWS])
    mlflow = "".join(f"{1700000000000 + r} {a} {r}\n" for r, (a, _) in ROWS)
    for name, content in (
        ("run-a-tag-train_loss.csv", csv),
        ("run-a-tag-train_loss.json", rows),
        ("train_loss", mlflow),
    ):
        log = one(kept(tmp_path / name, content))
        assert log.columns["contrastive_loss"] == "train_loss" and log.values("contrastive_loss") == pytest.approx(
            LOSSES
        )


RUNS = {
    "a column": "run,epoch,loss\n" + "".join(f"{run},{r},{a + up}\n" for r, (a, _) in ROWS for run, up in (("x", 0), ("y", 1))),
    "one after the other": "epoch,loss\n" + "".join(f"{r},{a + up}\n" for up in (0, 1) for r, (a, _) in ROWS),
    "each with its header": "".join("epoch,loss\n" + "".join(f"{r},{a + up}\n" for r, (a, _) in ROWS) for up in (0, 1)),
    "a chart": "Step,x - loss,y - loss\n" + "".join(f"{r},{a},{a + 1}\n" for r, (a, _) in ROWS),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_runs_in_one_file_are_judged_each_for_itself(tmp_path, name):
    """And never averaged."""
    logs = read_log(kept(tmp_path / "runs.csv", RUNS[name]))
    assert [list(np.round(log.values("contrastive_loss"), 6)) for log in logs] == [
        LOSSES,
        [loss + 1 for loss in LOSSES],
    ]
    assert len({log.run for log in logs}) == 2


def test_of_a_resumed_run_the_later_rows_count(tmp_path):
    """It went back to a checkpoint; epochs that were trained twice are no average."""
    text = "epoch,loss\n" + "".join(f"{r},{a}\n" for r, (a, _) in ROWS) + "4,2.5\n5,2.3\n6,2.1\n"
    assert one(kept(tmp_path / "log.csv", text)).values("contrastive_loss") == pytest.approx(
        [*LOSSES[:4], 2.5, 2.3, 2.1]
    )


def test_training_first_and_validation_after_it_is_one_run(tmp_path):
    """Blocks of rows whose epochs begin anew, of different columns."""
    text = "phase,epoch,loss\n" + "".join(f"{phase},{r},{a}\n" for phase in ("train", "test") for r, (a, _) in ROWS)
    log = one(kept(tmp_path / "log.csv", text))
    assert log.columns["contrastive_loss"] == "train_loss" and log.columns["val_loss"] == "test_loss"


def test_what_is_not_understood_is_listed_with_an_example(tmp_path):
    """And what was read out of a text is said."""
    text = "epoch,loss,note,state\n" + "".join(f"{r},tensor({a}),fine so far {r},ok\n" for r, (a, _) in ROWS)
    log = one(kept(tmp_path / "log.csv", text))
    assert log.unreadable == ("note (as 'fine so far 0')", "state (as 'ok')")
    assert any("the first number of cells as 'tensor(4.1)'" in note for note in log.notes)


def test_a_temperature_is_no_devices_and_within_its_range(tmp_path):
    """Nor is a correlation a similarity, or a learning rate one; what numbers refute is said."""
    columns = {"gpu_temp": 61, "temp": 60, "cosine_lr": 0.001, "pearson_cosine": 0.9, "cosine_recall": 1.0, "sim": 0.5}
    path = tmp_path / "log.csv"
    pd.DataFrame({"loss": LOSSES, **columns}).to_csv(path, index=False)
    log = one(path)
    assert log.columns == {"learning_rate": "cosine_lr", "similarity": "sim", "contrastive_loss": "loss"}
    assert any("temp is not taken for temperature: 60 is outside 0.001 to 10" in note for note in log.notes)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.xlsx", b"PK\x03\x04more", "save the sheet as CSV"),
        ("x.db", b"SQLite format 3\x00", "a SQLite database"),
        ("x.pkl", b"\x80\x04more", "a pickle"),
        ("x.json", b'{"a": 1}', "JSON without a table, with the keys a"),
        ("y.json", b"{bad", "no JSON that can be read"),
        (
            "words.csv",
            b"epoch,loss\n0,see the run of monday 1\n1,see the run of friday 2\n",
            "hold words and no numbers: loss",
        ),
    ],
)
def test_what_is_no_log_is_refused_by_name(tmp_path, name, content, said):
    """With what to do."""
    with pytest.raises(InputError, match=said):
        read_log(kept(tmp_path / name, content))
