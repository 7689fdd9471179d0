"""Features on a real Ray: computed once over its workers, read from the cache the next time."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from tests.tools.synthetic import pair_data
from trainable.data.augmentation import with_views
from trainable.model import features
from trainable.model.backbone import block_count
from trainable.model.backbones import BackboneSpec, create_backbone
from tuner.cluster import shared_features
from tuner.cluster.connection import TrialResources
from tuner.cluster.feature_cache import FeatureCache

SIZE_PX = 32
RESOURCES = TrialResources(cpus=1, gpus=0, concurrent=2, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def _ray(cluster: Any) -> Iterator[None]:
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def share(
    folder: Path, memory_gb: float = 1.0, name: str = "test_resnet", **options: Any
) -> tuple[dict[int, np.ndarray], str]:
    """The features of a small model for every cut, and what was printed."""
    data = pair_data(size_px=SIZE_PX, identities=360)
    backbone = create_backbone(BackboneSpec(name, image_size_px=SIZE_PX))
    output = Console(file=io.StringIO(), width=200)
    shared = shared_features.with_features(
        data,
        backbone,
        [None, *range(block_count(backbone) + 1)],
        RESOURCES,
        memory_gb=memory_gb,
        cache=FeatureCache(folder, limit_gb=1),
        console=output,
        **options,
    )
    return dict(shared.features), output.file.getvalue()


def test_features_are_computed_over_the_workers_and_then_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run computes every cut, equal to one pass in this process; the second computes nothing."""
    first, said = share(tmp_path)
    assert "computed once" in said
    data = pair_data(size_px=SIZE_PX, identities=360)
    assert len(data.pixels) > 2 * shared_features._IMAGES_A_TASK, "several tasks must have worked on this"
    expected = features.extract(create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX)), data.pixels, first)
    assert sorted(first) == [0, 1, 2, 3]
    assert all(np.array_equal(first[cut], expected[cut]) for cut in expected)
    monkeypatch.setattr(shared_features, "_compute", lambda *_: pytest.fail("the cache has every cut"))
    second, said = share(tmp_path)
    assert "from the cache" in said
    assert all(np.array_equal(second[cut], expected[cut]) for cut in expected)


def test_a_damaged_cache_is_computed_again(tmp_path: Path) -> None:
    """A cache file with a flipped byte is not used: the features are those of the first run."""
    first = {cut: np.array(array) for cut, array in share(tmp_path)[0].items()}  # not mapped: the file changes below
    for file in tmp_path.glob("*.npy"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    again, said = share(tmp_path)
    assert "computed once" in said
    assert all(np.array_equal(again[cut], first[cut]) for cut in first)


def test_cuts_beyond_the_memory_are_left_out_and_said_so(tmp_path: Path) -> None:
    """With memory for the pooled features only, they alone are stored; with none, nothing is."""
    one_cut = 1.1 * 720 * 4 * 256 / 1e9
    kept, said = share(tmp_path, memory_gb=one_cut)
    assert sorted(kept) == [0]
    assert "do not fit" in said
    assert share(tmp_path, memory_gb=0.0) == ({}, "")


def _works() -> None:
    """What a worker does that waits for work afterwards."""


def test_a_node_that_dies_takes_no_features_along(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two nodes is lost while it computes, with what it had computed: that is computed again, elsewhere."""
    mortal = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    there = NodeAffinitySchedulingStrategy(mortal.node_id, soft=False)
    ray.get(ray.remote(_works).options(num_cpus=1, scheduling_strategy=there).remote())  # a worker waits for work
    monkeypatch.setattr(shared_features, "_IMAGES_A_TASK", 32)
    wait, calls = ray.wait, iter(range(1000))

    def waited(*arguments: Any, **options: Any) -> Any:
        answer = wait(*arguments, **options)
        if next(calls) == 3:
            cluster.remove_node(mortal)
        return answer

    monkeypatch.setattr(shared_features.ray, "wait", waited)
    found, _ = share(tmp_path)
    data = pair_data(size_px=SIZE_PX, identities=360)
    expected = features.extract(create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX)), data.pixels, found)
    assert sorted(found) == [0, 1, 2, 3]
    assert all(np.array_equal(found[cut], expected[cut]) for cut in expected)


def test_half_precision_makes_room_where_it_is_needed(tmp_path: Path) -> None:
    """Auto stores in fp16 what fp32 leaves no room for, says so, and finds it in the cache; no cut is given up."""
    full, said = share(tmp_path, name="test_convnext")
    assert said.rstrip().endswith("in fp32")
    room_gb = 0.7 * sum(array.nbytes for array in full.values()) / 1e9
    for how in ("computed once", "from the cache"):
        kept, said = share(tmp_path, room_gb, "test_convnext", precision="auto")
        halves = [cut for cut in sorted(kept) if kept[cut].dtype == np.float16]
        assert how in said and f"for trainable_blocks {', '.join(map(str, halves))} fp16" in said
        assert sorted(kept) == sorted(full) and 0 < len(halves) < len(full)
        assert sum(array.nbytes for array in kept.values()) / 1e9 <= room_gb
        assert all(np.array_equal(kept[cut], full[cut].astype(kept[cut].dtype)) for cut in full)
    fewer, said = share(tmp_path, room_gb, "test_convnext")
    assert len(fewer) < len(full) and "do not fit" in said


def test_features_that_halves_would_blur_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where fp16 is asked for; it is said."""
    monkeypatch.setattr(features, "HALF_BLUR", 0.0)
    whole, said = share(tmp_path, precision="fp16")
    assert {array.dtype for array in whole.values()} == {np.dtype(np.float32)}
    assert "[3, 2, 1, 0] not in fp16" in said


def test_a_cut_with_numbers_beyond_halves_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were they overlooked in the sample, the cut is left out, and said so: never infinite, never wrong."""
    data = pair_data(size_px=SIZE_PX)
    backbone = create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(3)  # pooled features reach 1e5
    monkeypatch.setattr(features, "harmless_halves", lambda *_: {0, 1})
    output = Console(file=io.StringIO(), width=200)
    options = {"memory_gb": 1.0, "cache": FeatureCache(tmp_path, limit_gb=1), "console": output}
    found = shared_features.with_features(data, backbone, [0, 1], RESOURCES, precision="fp16", **options).features
    assert list(found) == [1] and np.isfinite(found[1]).all()
    assert "[0] have numbers that fp16 cannot hold" in output.file.getvalue()


def test_views_are_extracted_like_images_and_cached_apart(tmp_path: Path) -> None:
    """Every view has its features, in its row; another number of views is another entry of the cache."""
    plain = pair_data(size_px=SIZE_PX)
    data = dataclasses.replace(plain, pixels=with_views(plain.pixels, 2, plain.fingerprint), views=2)
    backbone = create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX))
    quiet = Console(file=io.StringIO())
    for source in (plain, data):
        options = {"memory_gb": 1.0, "cache": FeatureCache(tmp_path, limit_gb=1), "console": quiet}
        found = shared_features.with_features(source, backbone, [0], RESOURCES, **options).features[0]
        assert np.array_equal(found, features.extract(backbone, source.pixels, [0])[0])
