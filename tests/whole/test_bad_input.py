"""Every foreseeable mistake ends the command with exit code 2 and one message, before anything is begun or written."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from trainable.config import METRICS, TrialConfig
from trainable.data.pairs import PairTable
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError
from trainable.metrics.thresholds import cross_fitted
from trainable.model import weights
from tuner.cli.run_options import RunOptions
from tuner.cluster import address as addresses
from tuner.cluster import node_decoding
from tuner.cluster.connection import Cluster
from tuner.inputs import dataset
from tuner.results.writer import RunTables
from tuner.run import main

ROOT = Path(__file__).parents[2]


def pair_frame(in_split: int = 8) -> pd.DataFrame:
    """`in_split` identities in each split, each with a positive pair and a negative one with its neighbour."""
    rows = []
    for split in ("train", "val", "test"):
        for i in range(in_split):
            for j in (i, (i + 1) % in_split):
                front, angle = (f"{split}{place}" for place in (i, j))
                rows.append((f"{front}_f.png", f"{angle}_a.png", int(i == j), front, angle, split))
    return pd.DataFrame(rows, columns=["front", "angle", "pair_label", "front_identity", "angle_identity", "split"])


def write(folder: Path, frame: pd.DataFrame) -> Path:
    """The table and its images, one colour each."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(sorted({*frame["front"], *frame["angle"]})):
        Image.new("RGB", (8, 8), (number * 5 % 256, 9, 80)).save(folder / name)
    frame.to_csv(folder / "pairs.csv", index=False)
    return folder / "pairs.csv"


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A pair table without a mistake."""
    return write(tmp_path_factory.mktemp("sound"), pair_frame())


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path, sound):
    """Runs the command in an empty folder; returns its message after checking all that a refusal must be."""

    def run(*arguments: object, data: object = sound) -> str:
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        monkeypatch.setattr(ray, "init", lambda *a, **k: pytest.fail("Ray was started"))
        before = contents(tmp_path)
        common = ["--data", data, "--image-size-px", 8, "--batch-size", 4, "--cache", tmp_path / "cache"]
        code = main([str(argument) for argument in [*common, *arguments]])
        out, err = capsys.readouterr()
        assert code == 2, err
        assert err.startswith("error: ") and err.count("\nerror: ") == 0 and "Traceback" not in out + err
        assert contents(tmp_path) == before, "something was written"
        return err

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """All but what the cache has made for the next time; of what was half made there nothing stays."""
    cache = folder / "cache"
    assert not list(cache.rglob(".*"))
    there = [path for path in folder.rglob("*") if path != cache and cache not in path.parents]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in there}


def says(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message, f"{part!r} is not in: {message}"


# The command line


@pytest.mark.parametrize(
    ("option", "value", "parts"),
    [
        ("--metric", "val_loss", ["'val_loss'", *METRICS, "floor moves with the temperature"]),
        ("--metric", "val_acc", ["'val_acc'", "perhaps val_auc, val_accuracy"]),
        ("--sampler", "tpee", ["'tpee'", "tpe, gp, random, qmc", "perhaps tpe"]),
        ("--scheduler", "pbt", ["'pbt'", "asha, hyperband, median, none"]),
        ("--device", "tpu", ["'tpu'", "auto, cpu, cuda"]),
        ("--precision", "fp8", ["'fp8'", "auto, fp32, bf16, fp16"]),
        ("--temperature", "0", ["temperature is 0.0", "a number above 0"]),
        ("--temperature", "-0.1", ["temperature is -0.1", "a number above 0"]),
        ("--threshold", "2", ["threshold is 2.0", "a cosine from -1 to 1"]),
        ("--threshold", "-1.01", ["threshold is -1.01", "a cosine from -1 to 1"]),
        ("--learning-rate", "0", ["learning_rate is 0.0", "a number above 0"]),
        ("--backbone-lr-ratio", "1.5", ["backbone_lr_ratio is 1.5", "above 0 and up to 1"]),
        ("--epochs", "0", ["epochs is 0", "a whole number from 1"]),
        ("--batch-size", "1", ["batch_size is 1", "a whole number from 2"]),
        ("--trainable-blocks", "-1", ["trainable_blocks is -1", "a whole number from 0"]),
        ("--trainable-blocks", "99", ["--trainable-blocks is 99", "test_byobnet has", "valid is 0"]),
        ("--trials", "0", ["--trials is 0", "from 1"]),
        ("--time-budget-s", "0", ["--time-budget-s is 0.0", "above 0"]),
        ("--cpus-per-trial", "0", ["--cpus-per-trial is 0", "from 1"]),
        ("--gpus-per-trial", "1.5", ["--gpus-per-trial is 1.5", "a fraction of one GPU, or a whole number"]),
        ("--gpus-per-trial", "-1", ["--gpus-per-trial is -1.0", "from 0"]),
        ("--max-failures", "-1", ["--max-failures is -1", "from 0"]),
        ("--cache-gb", "-1", ["--cache-gb is -1.0", "from 0"]),
        ("--image-size-px", "1", ["--image-size-px is 1", "from 8 to 4096"]),
        ("--image-size-px", "100000", ["--image-size-px is 100000", "from 8 to 4096"]),
        ("--views", "0", ["--views is 0", "from 1 to 1000"]),
        ("--feature-precision", "fp61", ["'fp61'", "fp32, fp16, auto", "perhaps fp16"]),
        ("--dashboard-port", "99999", ["--dashboard-port 99999", "a free port up to 65535"]),
    ],
)
def test_a_value_that_no_run_can_have(refused, option, value, parts):
    """The option, what was given and what is valid, whatever the rest of the command says."""
    says(refused(option, value), *parts)


def test_input_statistics(refused):
    """A standard deviation of 0 would divide by it."""
    says(refused("--input-std", 0.5, 0, 0.5), "std is (0.5, 0.0, 0.5)", "3 numbers above 0")


def test_more_pixels_than_memory():
    """Known from the number of images, before one is decoded."""
    with pytest.raises(InputError, match=r"1,000,000,000 images of 224 px take 150,528\.0 GB.*valid is up to .*40% of"):
        dataset.check_memory(10**9, 224)
    with pytest.raises(InputError, match=r"images in 4 views of 224 px take 602,112\.0 GB.*fewer --views"):
        dataset.check_memory(10**9, 224, 4)


# The space


def test_an_unknown_space(refused):
    """The names that there are, the near one first; and how to give a file."""
    says(refused("--space", "temprature"), "'temprature'", "mean temperature", "freezing, joint", "ends in .py")
    says(refused("--space", "mine.py"), "mine.py' is not a file", "suggest(trial)")
    says(refused("--space", ""), "there is no space ''", "freezing, joint")


UNIFORM = "trial.suggest_float({!r}, {}, {})"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def suggest(trial:\n", ["is not Python", "line 1", "Correct it"]),
        ("learning_rate = 0.1\n", ["has no function suggest", "valid is suggest(trial)"]),
        ("import nothing_like_this\n", ["fails when it is read", "nothing_like_this"]),
        ("exit()\n", ["fails when it is read", "SystemExit"]),
        ("def suggest(trial):\n    raise KeyError('no')\n", ["fails when asked", "line 2: KeyError"]),
        ("def suggest(trial):\n    exit()\n", ["fails when asked", "line 2: SystemExit"]),
        ("def suggest(trial):\n    return 3\n", ["returned 3", "valid is a dictionary"]),
        ("def suggest(trial):\n    return {'temperature': 0.1}\n", ["the same configuration every time", "vary"]),
        ("temperature 0.0 0.5", ["temperature is 0.0", "a number above 0"]),
        ("temperature -1.0 -0.5", ["temperature is -", "a number above 0"]),
        ("threshold 0.0 1.5", ["threshold is 1.", "a cosine from -1 to 1"]),
        ("learing_rate 0.1 0.5", ["no parameter 'learing_rate'", ", ".join(TrialConfig.names())]),
        ("epochs 1.0 9.0", ["sets epochs", "--epochs"]),
        ("batch_size 2.0 9.0", ["sets batch_size", "ln(batch_size)", "--batch-size"]),
        ("seed 1.0 9.0", ["sets seed", "--seed"]),
        ("trainable_blocks 0.5 2.5", ["trainable_blocks is", "a whole number from 0, or none for all"]),
        (
            "def suggest(trial):\n    return {'trainable_blocks': trial.suggest_int('trainable_blocks', 0, 99)}\n",
            ["trainable_blocks is", "but the backbone has", "valid is 0", "suggest(trial, blocks)"],
        ),
    ],
)
def test_a_space_of_ones_own(refused, tmp_path, text, parts):
    """Its mistakes are found by trying it: in its text, in what it raises, and at both ends of its ranges."""
    if text[-1] != "\n":
        name, low, high = text.split()
        text = f"def suggest(trial):\n    return {{{name!r}: {UNIFORM.format(name, low, high)}}}\n"
    (tmp_path / "mine.py").write_text(text)
    message = refused("--space", tmp_path / "mine.py")
    says(message, "mine", *parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["backbone=test_byobnet,resnet_18"], ["tries backbone resnet_18", "any model name of timm"]),
        (["backbone=test_byobnet,test_vit", "--weights", "test_byobnet=none"], ["none to the backbone", "NAME="]),
        (["views=0,1"], ["views is 0", "a whole number from 1"]),
        (["views"], ["--also is 'views'", "NAME=VALUE,VALUE"]),
    ],
)
def test_a_choice_of_what_trials_start_from(refused, arguments, parts):
    """A backbone that there is not, weights for one of them only, views that are none, a name without values."""
    says(refused("--space", "temperature", "--also", *arguments), *parts)


# The backbone and its weights


def test_an_unknown_backbone(refused):
    """Near names, or near tags of weights."""
    says(refused("--backbone", "resnet_18"), "no backbone 'resnet_18'", "resnet18", "model name of timm")
    says(refused("--backbone", "resnet18.nope"), "no weights tagged 'nope'", "a1_in1k")


def test_images_that_the_backbone_cannot_take(refused):
    """The sizes that fit its patches."""
    message = refused("--backbone", "test_vit", "--image-size-px", 40)
    says(message, "patches of 16 px", "images of 40 px", "multiples of 16, the nearest: 32 or 48")


def test_weights_that_cannot_be_had(refused, monkeypatch, tmp_path):
    """No network: how to give a file. No file, no weights file, those of another net: which, and what fits."""
    monkeypatch.setattr(weights, "_is_cached", lambda cfg: False)
    monkeypatch.setattr(weights, "_reachable", lambda address: False)
    message = refused("--backbone", "test_resnet", "--weights", "pretrained")
    says(message, "the network they would come by cannot be reached", "Give a weights file", "or none for random")
    says(refused("--weights", "gone.pth"), "gone.pth does not exist", "Valid weights are none, pretrained")
    (tmp_path / "text.safetensors").write_text("no tensors at all")
    says(refused("--weights", tmp_path / "text.safetensors"), "cannot be read", "Valid weights are")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    says(refused("--weights", tmp_path / "epoch.pth"), "does not hold a model's named tensors", "Valid weights are")
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    message = refused("--backbone", "test_resnet", "--weights", tmp_path / "vit.safetensors")
    says(message, "does not fit the backbone 'test_resnet'", "missing (", "unexpected (", "give a file of this one")


# The pairs


def test_a_missing_table(refused, sound):
    """Names like it; or what a table and a folder of identities are."""
    says(refused(data=sound.with_name("pair.csv")), "there is no", "pair table (.csv, .parquet or .jsonl)", "pairs.csv")
    says(refused(data=sound.with_name("a_empty")), "there is no")


def test_an_empty_folder(refused, tmp_path):
    """Which layouts are read."""
    (tmp_path / "empty").mkdir()
    says(refused(data=tmp_path / "empty"), "no identity with both a front and an angle image", "front*/ and angle*/")


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("pairs.csv", b"", ["is empty", "a CSV with a header"]),
        ("pairs.csv", b"front,angle,pair_label\na,b,1\nc,d,0,5,6\n", ["not a well-formed CSV", "line 3"]),
        ("pairs.csv", b"front,angle,label\na,b,1\n", ["no column 'pair_label'", "rename label to pair_label"]),
        ("pairs.parquet", b"PAR1 and no more", ["not a Parquet file", "Write the table again"]),
        ("pairs.xlsx", b"", ["'.xlsx'", ".csv, .parquet or .jsonl"]),
    ],
)
def test_a_malformed_table(refused, tmp_path, name, content, parts):
    """Where it breaks, and which columns are needed."""
    (tmp_path / name).write_bytes(content)
    says(refused(data=tmp_path / name), name, *parts)


def changed(frame: pd.DataFrame, rows: object, column: str, value: object) -> pd.DataFrame:
    frame = frame.astype(object)
    frame.loc[rows, column] = value
    return frame


def test_labels(refused, tmp_path):
    """Others than 0 and 1, with counts and lines; and one class only."""
    message = refused(data=write(tmp_path / "odd", changed(pair_frame(), [1, 3], "pair_label", "2")))
    says(message, "2 of 48 rows have another pair_label than 0 or 1", "'2': 2 (lines 3, 5)", "Valid are 0 (different)")
    frame = pair_frame()
    message = refused(data=write(tmp_path / "one", frame[frame["pair_label"] == 1]))
    says(message, "every one of its 24 pairs has pair_label 1", "valid is a table with pairs of both", "pair_label 0")


def test_images_that_cannot_be_used(refused, tmp_path):
    """All of them in one message, by kind and with counts, whether they are absent or broken."""
    table = write(tmp_path / "broken", pair_frame())
    (table.parent / "val0_f.png").write_text("a text")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(table.parent / "val1_f.png")
    os.truncate(table.parent / "val1_f.png", 5000)
    (table.parent / "val2_a.png").write_bytes(b"")
    message = refused(data=table)
    says(message, "3 of 48 images cannot be used", "1 not an image", "1 truncated or damaged", "1 empty")
    says(message, "val0_f.png", "val1_f.png", "val2_a.png", "Restore these files")
    for name in ("test0_f.png", "test5_a.png"):
        (table.parent / name).unlink()
    says(refused(data=table), "2 of 48 images are missing", "test0_f.png", "test5_a.png", "Restore the files")


def test_an_identity_in_two_splits(refused, tmp_path):
    """Which, and in which; validation would measure memory."""
    frame = changed(pair_frame(), slice(0, 0), "split", "val")
    message = refused(data=write(tmp_path / "leak", frame))
    says(message, "1 of 24 identities are in more than one split", "train0: train, val", "in one split only")


def test_too_few_pairs_for_a_batch(refused, sound):
    """Pairs and identities of the train split, and the largest batch they fill."""
    message = refused("--batch-size", 64)
    says(message, "the train split has 16 pairs of 8 identities", "a batch of 64", "Use --batch-size 16 or less")


def test_a_val_split_too_small_to_solve_thresholds_on(refused, tmp_path):
    """Each pair meets a threshold solved without its identities; where that cannot be, the first epoch would fail."""
    frame = pair_frame()
    few = frame[(frame["split"] != "val") | frame["front_identity"].isin(["val0", "val1"])]
    message = refused(data=write(tmp_path / "few", few))
    says(message, "the val split has 4 pairs of 3 identities", "at least 4 identities", "Add val pairs")


@pytest.mark.parametrize("in_split", [2, 3, 4, 5, 6])
def test_a_val_split_is_accepted_just_when_thresholds_can_be_solved_on_it(tmp_path, in_split):
    """The check is right at its edge: it refuses what training could not validate, and nothing else."""
    frame = pair_frame(in_split)
    table = read_pairs(write(tmp_path, frame.drop_duplicates(["front", "angle"])))
    rows = table.rows("val")
    scores = np.random.default_rng(0).random(len(rows))
    try:
        cross_fitted(scores, table.pair_label[rows], table.front_identity[rows], table.angle_identity[rows])
        solvable = True
    except ValueError:
        solvable = False
    assert accepted(table) == solvable
    assert solvable == (in_split >= 4)  # the fewest: a negative pair, and another one that shares no identity with it


def accepted(table: PairTable) -> bool:
    try:
        dataset.check_validation(table)
    except InputError:
        return False
    return True


# Results, clusters, runs to go on with


@pytest.mark.parametrize(
    ("results", "parts"),
    [
        ("a_file/results", ["cannot be written", "a_file is a file", "a folder that you may write or make"]),
        ("ftp://host/results", ["cannot be opened", "s3://", "Change --results"]),
        ("/proc/results", ["cannot be written", "Change --results"]),
        ("", ["the results root is ''", "a local folder or a URI"]),
        ("s3:bucket", ["the results root is 's3:bucket'", "Do you mean s3://bucket?"]),
        ("gs:/bucket/x", ["the results root is 'gs:/bucket/x'", "Do you mean gs://bucket/x?"]),
        ("s3://", ["cannot be written", "Change --results"]),
    ],
)
def test_results_that_cannot_be_written(refused, tmp_path, results, parts):
    """Known before the search, not after."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a_file").touch()
    says(refused("--results", results), *parts)


def test_a_cache_that_cannot_be_written(refused, tmp_path):
    """The embedded set has nowhere to be rendered."""
    (tmp_path / "cache").touch()
    says(refused(data="turntable"), "cannot render into", "choose a cache that is writable")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "no.such.host.invalid:6379", "a..b:1"]
)
def test_an_address_where_nothing_answers(refused, address):
    """Within seconds, and before any image is read."""
    address = address.format(port=free_port())
    says(refused("--address", address, data="nowhere"), address, "nothing answers there", "ray start --head")


def test_an_address_of_a_ray_client(refused):
    """Tune would run where neither data nor results are: told at once, with what to do."""
    says(refused("--address", "ray://head:10001", data="nowhere"), "'ray://head:10001'", "Ray client", "ray job submit")


def test_an_address_where_something_else_answers(refused, monkeypatch):
    """A server that is no Ray's is told apart within seconds; Ray itself would wait for minutes."""
    monkeypatch.setattr(addresses, "_TIMEOUT_S", 1.0)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        says(refused("--address", address, data="nowhere"), address, "no Ray cluster", "ray start --head")


MALFORMED = ["", "head", "head:", ":6379", "head:port", "head:99999", "http://head:80", "local", "head:²"]


def test_a_malformed_address(refused):
    """The spellings that there are."""
    for address in MALFORMED:
        with pytest.raises(InputError) as told:
            addresses.check_address(address)
        says(str(told.value), repr(address), "valid are host:port and auto")
    for address in MALFORMED[:2]:
        says(refused("--address", address, data="nowhere"), repr(address), "valid are host:port and auto")


def test_a_path_of_data_is_looked_for_before_anything_heavy_is_imported():
    """What takes seconds to import is not waited for; an address that cannot be is told before it."""
    code = (
        "import sys; from tuner.run import main; code = main(['--data', 'nowhere.csv']); "
        "print(code, [name for name in ('torch', 'ray', 'timm') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "2 []\n"
    says(told.stderr, "nowhere.csv", "valid is a pair table", "Correct the path.")


def test_auto_without_a_cluster(capsys, monkeypatch, tmp_path, sound):
    """Ray is asked, and what it says is passed on in one line."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    services = ray._private.services  # there may be another Ray on the machine, which it must not find
    monkeypatch.setattr(services, "_find_address_from_flag", lambda flag: set())
    monkeypatch.setattr(services, "find_bootstrap_address", lambda folder: None)
    services.find_gcs_addresses.cache_clear()
    results = tmp_path / "results"
    small = ["--data", sound, "--image-size-px", 8, "--batch-size", 4]
    code = main([str(word) for word in [*small, "--address", "auto", "--results", results]])
    err = capsys.readouterr().err
    assert code == 2 and not ray.is_initialized() and not results.exists()
    says(err, "error: --address auto: no Ray cluster could be joined", "ray start --head")


def test_an_unknown_run(refused, tmp_path):
    """The runs that there are; an empty name, as an unset variable of a shell leaves it, is no new run."""
    results = tmp_path / "results"
    says(refused("--results", results, "--resume", "r1"), "'r1': no such run", str(results), "there are no runs there")
    RunTables(results, "temperature", "temperature-1").write_run({"state": "finished"})
    for name in ("temperature-2", "", "../temperature-1"):
        message = refused("--results", results, "--resume", name)
        says(message, repr(name), "runs there: temperature-1", "give another --results")


def test_a_run_that_cannot_go_on_as_it_began(refused, tmp_path):
    """Its options are damaged, its space or its pairs were changed since, or another epoch count is asked for."""
    results, run = tmp_path / "results", "temperature-1"
    tables = RunTables(results, "temperature", run)
    tables.write_run({"state": "interrupted", "space_source": "another text"})
    file = results / "state" / run / "run.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"options"')
    (file.parent / "lock").touch()  # as every run leaves one
    again = ("--results", results, "--resume", run)
    says(refused(*again), "run.json", "is not JSON", "Restore it")
    file.write_text(json.dumps({"options": RunOptions().as_dict(), "data_fingerprint": "0-0", "attempts": 1}))
    says(
        refused(*again, "--epochs", 3), "begun with --", f"--epochs {TrialConfig().epochs}", "new run, without --resume"
    )
    saved = {**RunOptions().as_dict(), "configuration": {**RunOptions().as_dict()["configuration"], "batch_size": 4}}
    saved["data"] = {**saved["data"], "image_size_px": 8}
    file.write_text(json.dumps({"options": saved, "data_fingerprint": "0-0", "attempts": 1}))
    says(refused(*again), "is not temperature, which the run began with, or was changed since", "Put it back")
    tables.write_run({"space_source": (ROOT / "search_spaces" / "temperature.py").read_text()})
    says(refused(*again), "are not the ones that the run began with", "Put them back")


# What only the cluster can tell, and the command as a process


@pytest.fixture
def no_ray(monkeypatch):
    """A cluster of two cores, without starting one."""
    ended = []
    monkeypatch.setattr(node_decoding, "connect", lambda *options: Cluster(None, 1, 2.0, 0.0, 1.0, None))
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    return ended


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--cpus-per-trial", "99"], ["99 CPUs", "the cluster has 2 CPUs", "Lower --cpus-per-trial"]),
        (["--gpus-per-trial", "1"], ["1 GPUs", "and 0 GPUs", "--gpus-per-trial"]),
        (["--device", "cuda"], ["--device cuda, but the cluster has 0 GPUs", "Use --device cpu"]),
    ],
)
def test_more_than_the_cluster_has(refused, no_ray, arguments, parts):
    """Nothing is written, and Ray is shut down again."""
    says(refused(*arguments), *parts)
    assert no_ray


def command(folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tuner.run", *map(str, arguments)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_the_command_itself(tmp_path):
    """As a person sees it: nothing on the output, one message among the errors, exit code 2, the folder as it was."""
    done = command(tmp_path, "--temperature", 0)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    says(done.stderr, "error: temperature is 0.0; valid is a number above 0")
    assert not list(tmp_path.iterdir())
