"""The benchmarks compare like with like: the plain loop trains what this system trains, and arithmetic is as it says."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import heads, memory, overhead, plain_training, report, results, scale, throughput
from benchmarks.made_results import make
from benchmarks.searching import EMBEDDED
from trainable.config import TrialConfig
from trainable.data.images import decode
from trainable.data.pairs import PairData
from trainable.data.read_pairs import read_pairs
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.loop import train

pytestmark = pytest.mark.usefixtures("one_thread")
SPEC = BackboneSpec("test_byobnet", image_size_px=32)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """36 identities seen twice with noise, as PNG files of 40 px, with splits and one negative pair for each."""
    folder: Path = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    rows = ["front,angle,pair_label,front_identity,angle_identity,split"]
    for identity in range(36):
        mosaic = random.integers(0, 256, (4, 4, 3)).repeat(10, axis=0).repeat(10, axis=1)
        for side in ("front", "angle"):
            view = np.clip(mosaic + random.normal(0, 20, mosaic.shape), 0, 255).astype(np.uint8)
            Image.fromarray(view).save(folder / f"{side}{identity}.png")
        first = identity // 12 * 12
        for other in (identity, first + (identity - first + 1) % 12):
            split = ("train", "val", "test")[identity // 12]
            rows.append(f"front{identity}.png,angle{other}.png,{int(other == identity)},{identity},{other},{split}")
    (folder / "pairs.csv").write_text("\n".join(rows))
    return read_pairs(folder / "pairs.csv")


@pytest.mark.parametrize("trainable_blocks", [0, 1, None])
def test_the_plain_loop_reaches_the_metrics_of_this_system(table, trainable_blocks):
    """Epoch by epoch, although it decodes files with torch's own transforms and runs in another memory format."""
    config = TrialConfig(epochs=3, batch_size=8, trainable_blocks=trainable_blocks, learning_rate=1e-3, temperature=0.2)
    data = PairData.of(table, *decode(table, SPEC.image_size_px))
    reports = itertools.islice(train(config, create_backbone(SPEC), data), 2)
    ours = pd.DataFrame([report.numbers() | {"trial": 0} for report in reports])
    plain = pd.DataFrame([{"trial": 0, **row} for row in plain_training.train(config, SPEC, table, first_epochs=2)])
    loss, auc = throughput.differences(ours, plain)
    assert len(plain) == 2 and loss < 1e-3 and auc < 1e-3


def test_a_job_travels_as_a_file(tmp_path):
    """What a plain side reads is what was written for it."""
    job = plain_training.Job(EMBEDDED, str(tmp_path), [{"learning_rate": 1e-3}], first_epochs=1, workers=2)
    assert plain_training.Job.read(job.write()) == job


def rows(*seconds: float) -> pd.DataFrame:
    """An epoch of so many seconds for each of as many trials."""
    numbers = range(len(seconds))
    return pd.DataFrame({"trial": numbers, "epoch": 1, "epoch_s": seconds, "contrastive_loss": 2.0, "val_auc": 0.9})


def test_a_search_that_was_run_in_full_is_not_scaled():
    """Its time is what the clock showed."""
    count = throughput.TRIALS * throughput.EPOCHS
    side = throughput.Side("all", throughput.TRIALS, 100.0, rows(*[0.5] * count), workers=2)
    assert side.ran_all and side.full_search_s == pytest.approx(100)


def test_scaling_counts_the_start_once_and_every_epoch():
    """Two trials of an epoch on two cores, 12 s in all, 10 s of them training: the start takes 2 s."""
    side = throughput.Side("some", 2, 12.0, rows(10.0, 10.0), workers=2)
    assert side.full_search_s == pytest.approx(2 + throughput.TRIALS * throughput.EPOCHS * 10 / 2)


def test_a_plain_epoch_that_this_system_did_not_run_is_no_agreement():
    """What cannot be compared does not pass as equal."""
    assert throughput.differences(rows(1.0), rows(1.0, 1.0)) == (np.inf, np.inf)
    assert throughput.differences(rows(1.0, 1.0), rows(1.0)) == (0, 0)


def test_a_missed_target_is_an_exit_code():
    """One that is not binding is printed only; a missing number is never met."""
    console = report.console()
    missed, nothing = report.Target("ratio", 1.0, 2.0), report.Target("share", float("nan"), 1.0, at_least=False)
    assert report.verdict([report.Target("ratio", 3.0, 2.0)], console) == 0
    assert report.verdict([missed], console) == 1 and report.verdict([nothing], console) == 1
    assert report.verdict([report.Target("ratio", 1.0, 2.0, binding=False)], console) == 0


def moments(*seconds: float) -> pd.Series:
    """Moments so many seconds into a search."""
    return pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(pd.Series(seconds), unit="s")


def test_the_turn_of_a_trial_ends_when_its_worker_gets_the_next():
    """Two workers: trials 0, 2, 4 on one and 1, 3 on the other; the first of each and those without a next do not count."""
    trials = pd.DataFrame(
        {
            "started_at": moments(0, 0, 5.0, 7.0, 6.1),
            "ended_at": moments(4.9, 6.9, 6.0, 9.0, 8.0),
            "train_s": [4.0, 5.0, 0.8, 1.5, 1.5],
        }
    )
    assert overhead.turns(trials).to_dict() == pytest.approx({2: 1.1})
    assert overhead.beside_training(trials).to_dict() == pytest.approx({2: 0.3})


def test_only_what_the_features_add_counts_against_them():
    """The processes' own memory is taken off, and the first trial, which the shared copy counts for, is left out."""
    base, full = memory.Measured([100, 100, 104], shared=0), memory.Measured([100, 130, 150], shared=1000)
    assert memory.added_by_features(base, full, features=1000) == pytest.approx([0.03, 0.05])


def test_memory_is_read_of_a_living_process():
    """This one: what is private to it is a part of what is resident."""
    own = memory.memory_of(os.getpid())
    assert 0 < own["Private_Clean"] + own["Private_Dirty"] <= own["VmHWM"]


def test_synthetic_features_fill_the_memory_and_every_training_pair_is_sound():
    """A positive pair shows one identity, a negative one two; the validation pairs have both labels."""
    backbone = create_backbone(SPEC)
    data = memory.synthetic(backbone, features_mb=5.0)
    assert data.features[0].nbytes == pytest.approx(5e6, rel=0.01)
    assert np.array_equal(data.front_identity == data.angle_identity, data.pair_label == 1)
    assert set(data.pair_label[data.rows("val")]) == {0, 1} and len(data.rows("test")) == 200


def test_memory_that_grows_faster_among_many_runs_misses_its_target():
    """What a run adds is compared between few and many; reading in 2 s misses as well."""
    fair = [results.Measured(runs, 50 * runs, 0.5, 3.0, 100 + 0.2 * runs) for runs in (50, 100, 200)]
    assert results.added_mb(fair) == pytest.approx([0.2, 0.2]) and results.conclude(fair, True, report.console()) == 0
    growing = [*fair[:2], results.Measured(200, 10_000, 0.5, 3.0, 300.0)]
    slow = [*fair[:2], results.Measured(200, 10_000, 2.0, 3.0, 140.0)]
    assert results.conclude(growing, True, report.console()) == results.conclude(slow, True, report.console()) == 1
    assert results.conclude(slow, False, report.console()) == 0


def test_a_comparison_is_timed_and_its_memory_read(tmp_path):
    """Of a process of its own, whose memory is at least an interpreter's; one that fails is an error."""
    make(tmp_path, runs=1, trials=2, epochs=1)
    seconds, megabytes = results.compared(tmp_path)
    assert 0.1 < seconds < 60 and 30 < megabytes < 1000
    with pytest.raises(subprocess.CalledProcessError):
        results.compared(tmp_path / "nothing")


def test_heads_are_timed_in_both_ways(capsys):
    """A smoke run judges nothing, and shows what a step takes one by one and as one batch."""
    assert heads.main(["--quick"]) == 0
    assert "256       2" in capsys.readouterr().out


def test_growth_and_a_second_reading_are_judged(capsys):
    """Ten times the images in twenty times the time is too much; so is a warm start that reads them again."""
    cold = {"table": 0.1, "images": 1.0, "checks": 1.0, "features": 1.0, "private": 5e8, "pixels": 1e8, "images_n": 2000}
    warm = cold | {"images": 0.01, "checks": 0.0, "features": 0.05}
    larger = {name: 10 * value for name, value in cold.items()} | {"private": 9e8}
    found = [(1000, "cold", cold), (1000, "warm", warm), (10_000, "cold", larger), (10_000, "warm", warm)]
    assert scale.conclude(found, 2100.0, True, report.console()) == 0
    assert "MISSED" not in capsys.readouterr().out
    found[2] = (10_000, "cold", larger | {"checks": 20.0})
    found[3] = (10_000, "warm", larger)
    assert scale.conclude(found, 2100.0, True, report.console()) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line]
    assert [line.partition(",")[0] for line in missed] == ["growth of checks", "warm over cold"]


def test_made_pairs_are_sound_in_every_split(tmp_path):
    """Half of them are positive, every image is one of its own, and no identity is in two splits."""
    table = read_pairs(scale.made(tmp_path / "made", 80))
    assert len(table.images) == 160 and sorted({*table.split}) == ["test", "train", "val"]
    assert all(table.pair_label[table.rows(split)].mean() == 0.5 for split in ("train", "val", "test"))
