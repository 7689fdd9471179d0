"""What comes from outside, weights, states, images, names, is data: never run, never markup, never a way out of a folder."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.whole.test_bad_input import pair_frame, says, write
from trainable.data.images import decode
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.checkpoint import STATE_FILE, load_state
from tuner import compare, export, replay, report, results
from tuner.results.checkpoints import newest_state
from tuner.results.store import Store
from tuner.results.writer import RunTables

MARKUP = "x[/old]y[red]"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_weights_are_never_unpickled_beyond_tensors(tmp_path: Path, save: str) -> None:
    """A file that would run code is refused, and does not."""
    file, mark = tmp_path / "weights.pth", tmp_path / "ran"
    content = {"state_dict": {"a": Bomb(mark)}}
    if save == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="cannot be read"):
        create_backbone(BackboneSpec("test_resnet", str(file)))
    assert not mark.exists()


def test_saved_states_are_never_unpickled_beyond_tensors(tmp_path: Path) -> None:
    """Whoever can write below the results cannot run code where a run goes on."""
    mark = tmp_path / "ran"
    folder = tmp_path / "state" / "attempt-01" / "trial_0003" / "checkpoint_000000"
    folder.mkdir(parents=True)
    torch.save({"history": Bomb(mark)}, folder / STATE_FILE)
    with pytest.raises(pickle.UnpicklingError):
        load_state(folder)
    assert newest_state(Store.at(tmp_path / "state"), 3) is None
    assert not mark.exists()


def test_names_are_never_markup_in_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Spaces, runs and data are called what they are called."""
    tables = RunTables(tmp_path, MARKUP, f"{MARKUP}-1")
    tables.write_run({"state": "finished", "data": f"{MARKUP}.csv", "data_fingerprint": "a-b", "metric": "val_auc"})
    tables.append_trial({"trial": 0, "state": "completed", "objective": 0.5, "best_epoch": 1, "val_auc": 0.5})
    assert compare.main(["--results", str(tmp_path)]) == 0
    assert f"{MARKUP}-1" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["../r1", "..", "/etc", "r1/../r1", ""])
@pytest.mark.parametrize("verb", [report, replay, export, compare])
def test_a_run_is_a_name_and_never_a_path(verb: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Refused by name, nothing read or written elsewhere."""
    RunTables(tmp_path / "results", "temperature", "r1").write_run({"state": "finished"})
    before = sorted(tmp_path.rglob("*"))
    more = {replay: ["0"], export: ["--to", str(tmp_path / "model")]}.get(verb, [])
    assert verb.main([name, *more, "--results", str(tmp_path / "results")]) == 2
    says(capsys.readouterr().err, "error: ", repr(name))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["..", ".", "1", "", "2.5"])
def test_tables_are_never_written_outside_their_folder(tmp_path: Path, name: str) -> None:
    """Nor as a name that readers would take for a number; a slash is written as %2F."""
    with pytest.raises(InputError):
        RunTables(tmp_path, "temperature", name)
    RunTables(tmp_path / "results", "../../space", "../run").write_run({"state": "running"})
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} == {"results"}
    assert results.known_runs(tmp_path / "results") == ["../run"]


def test_postscript_is_never_handed_to_an_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EPS file, whatever its name, is no image; Ghostscript is not started."""
    table = write(tmp_path, pair_frame())
    Image.new("RGB", (8, 8)).save(tmp_path / "as.eps")
    (tmp_path / "as.eps").replace(tmp_path / "val0_f.png")
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("something was started"))
    with pytest.raises(InputError, match=r"1 of 48 images cannot be used: 1 not an image"):
        decode(read_pairs(table), 8)


HUGE = """
import resource, sys
from pathlib import Path
from trainable.data.images import decode
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError
table = read_pairs(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(table, 8, workers=2)
except InputError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_huge_image_costs_no_memory(tmp_path: Path) -> None:
    """169 megapixels, which Pillow's own limit lets through, are refused by their header."""
    table = write(tmp_path, pair_frame())
    Image.new("1", (13_000, 13_000)).save(tmp_path / "val0_f.png")
    asked = subprocess.run([sys.executable, "-c", HUGE, str(table)], capture_output=True, text=True, check=True)
    says(asked.stdout, "1 of 48 images cannot be used: 1 too large", "13,000 × 13,000 pixels", "89,478,485 pixels")
    assert int(asked.stdout.split()[-1]) < 100, "MB"
