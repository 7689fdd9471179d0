"""A run that W&B is told of, without a network: what it would send is read back from W&B's own file. Skipped without W&B."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.real_ray import SMALL, Command, table


def records(file: Path) -> Iterator[Any]:
    """All records of a .wandb file: 7 bytes of its kind, then blocks of 32 KiB as LevelDB's logs have them."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, begun = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        begun += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(begun)
            begun = b""


def test_wandb_keeps_every_trial_with_its_configuration_and_epochs(pairs: Path, tmp_path: Path) -> None:
    """Named as the trial is, in a group of the run's name."""
    pytest.importorskip("wandb")
    arguments = ["--space", "temperature", "--data", pairs, "--trials", 2, "--epochs", 2, "--scheduler", "none"]
    arguments += ["--results", tmp_path / "results", "--no-dashboard", "--log-to", "wandb"]
    command = Command(tmp_path, *SMALL, *arguments, WANDB_MODE="offline")
    command.expect(0)
    trials = table(tmp_path / "results", "trials", command.run).set_index("trial")
    epochs = table(tmp_path / "results", "epochs", command.run).set_index(["trial", "epoch"]).val_auc
    files = sorted((tmp_path / "results" / "wandb").rglob("*.wandb"))
    assert len(files) == 2
    for file in files:
        found = list(records(file))
        (told,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
        config = {item.key: json.loads(item.value_json) for item in told.config.update}
        number = config["number"]
        assert (told.run_group, told.project) == (command.run, "twoview-tuner")
        assert told.display_name.startswith(f"trial {number:03d} ")
        assert config["temperature"] == pytest.approx(trials.temperature[number])
        histories = [record.history for record in found if record.WhichOneof("record_type") == "history"]
        rows = [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in h.item} for h in histories]
        assert [row["val_auc"] for row in rows] == pytest.approx(list(epochs[number]))
        assert all("diagnoses_count" in row for row in rows)
        later = [item for record in found if record.HasField("config") for item in record.config.update]
        (said,) = [json.loads(item.value_json) for item in later if item.key == "verdict"]
        assert said.startswith("completed; ")
