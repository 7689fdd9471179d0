"""Features computed once on the cluster, before any trial, and shared with all of them as files that every process maps.

They lie in the cache: no trial's or worker's death loses them, and a machine has one copy in its page cache however many trials
it runs. A node that does not see the driver's cache fetches a copy, as `node_files` says.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
import ray
import torch
from rich.console import Console

from trainable.data.augmentation import how
from trainable.data.pairs import PairData
from trainable.mapped import ByName, Draft
from trainable.model import features
from trainable.model.backbone import Backbone
from trainable.model.encoder import IMAGES_AT_ONCE
from trainable.process import prepare_process
from tuner.cli.console import file_progress
from tuner.cluster.connection import TrialResources
from tuner.cluster.feature_cache import FeatureCache

_IMAGES_A_TASK = 256
_IMAGES_A_THREAD = 2 * IMAGES_AT_ONCE
_Part = tuple[slice, dict[int, np.ndarray | None]]
"""Images, and their activations at each cut; None where the precision cannot hold them."""
_VERSION = 1
"""Raise it when the same backbone would give other numbers: a change of how prefixes are run."""


def with_features(
    data: PairData,
    backbone: Backbone,
    wanted: Iterable[int | None],
    resources: TrialResources,
    *,
    memory_gb: float,
    precision: str = "fp32",
    cache: FeatureCache,
    console: Console,
    here: bool = False,
) -> PairData:
    """The data with the activations at every wanted cut that fits the memory; a trial starts from the nearest one.

    wanted: values of trainable_blocks that trials can have; precision: fp32, fp16, or auto (fp16 where fp32 does not
    fit); fp16 only where it is harmless. here: this machine is the whole cluster. Reads from the cache what it has.
    """
    cuts = features.cacheable_cuts(backbone, wanted)
    sizes = features.sizes_gb(backbone, cuts, len(data.pixels))
    halves: set[int] = set()
    if precision == "fp16" or (precision == "auto" and sum(sizes.values()) > memory_gb):
        halves = features.harmless_halves(backbone, data.pixels, cuts)
    chosen = features.choose(sizes, memory_gb, halves, wherever_possible=precision == "fp16")
    if not chosen:
        return data
    keys = _keys(data, backbone, chosen, resources)
    found = {cut: array for cut, key in keys.items() if (array := cache.get(key)) is not None}
    missing = {cut: stored for cut, stored in chosen.items() if cut not in found}
    if missing:
        computed, failed = _compute(data, backbone, missing, resources, console, _Store(cache, keys), here)
        if failed:
            console.print(
                f"note: features are not kept for the next run: {cache.folder} cannot be written ({failed.strerror}). The "
                "run goes on. Make room there, or give another folder with --cache.",
                soft_wrap=True,
                markup=False,
            )
        found |= computed
    how = "computed once" if missing else "from the cache"
    said = _what(found, cuts, chosen) + (_not_halved(cuts, halves) if precision == "fp16" else "")
    console.print(f"[bold]features[/bold]   {how}, {said}", soft_wrap=True)
    return dataclasses.replace(data, features=found)


class _Store:
    """Where computed features are written: files of the cache, or memory where there is no room for them.

    failed: why there was none, if it was asked for.
    """

    def __init__(self, cache: FeatureCache, keys: dict[int, str]) -> None:
        self._cache, self._keys = cache, keys
        self._drafts: dict[int, Draft] = {}
        self.failed: OSError | None = None

    def make(self, cut: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array to write the cut's features to."""
        draft = None
        try:
            draft = self._cache.draft(self._keys[cut], shape, dtype)
        except OSError as error:
            self.failed = error
        if draft is None:
            return np.empty(shape, dtype)
        self._drafts[cut] = draft
        return draft.array

    def keep(self, cut: int, array: np.ndarray) -> np.ndarray:
        """The array that was written, mapped where it has a file."""
        draft = self._drafts.pop(cut, None)
        if draft is None:
            return array
        try:
            return self._cache.put(self._keys[cut], draft)
        except OSError as error:
            self.failed = error
            return np.array(array)

    def drop(self) -> None:
        """What was not kept leaves nothing."""
        for draft in self._drafts.values():
            draft.drop()


def _what(found: dict[int, np.ndarray], cuts: list[int], chosen: dict[int, str]) -> str:
    """What is stored, in which precision, and which cuts are not and why."""
    text = f"for trainable_blocks {', '.join(map(str, sorted(found)))}" if found else "for nothing"
    text += f": {sum(array.nbytes for array in found.values()) / 1e9:.3f} GB"
    text += f" in {features.stored_as(found)}" if found else ""
    for left_out, why in (
        ([cut for cut in cuts if cut not in chosen], "do not fit --feature-memory-gb"),
        ([cut for cut in cuts if cut in chosen and cut not in found], "have numbers that fp16 cannot hold"),
    ):
        text += f"; {left_out} {why} and start from the next shallower one" if left_out else ""
    return text


def _not_halved(cuts: list[int], halves: set[int]) -> str:
    """Which cuts are not in fp16 though it was asked for."""
    whole = [cut for cut in cuts if cut not in halves]
    return f"; {whole} not in fp16, which would round away what tells images apart" if whole else ""


def _compute(
    data: PairData,
    backbone: Backbone,
    stored: dict[int, str],
    resources: TrialResources,
    console: Console,
    store: _Store,
    here: bool,
) -> tuple[dict[int, np.ndarray], OSError | None]:
    """One pass over the images, split over all workers; and why arrays have no files, where they should have.

    stored: the precision of each cut; a cut that cannot be stored in its precision is left out.
    """
    arrays: dict[int, np.ndarray] = {}
    lost: set[int] = set()
    parts = _parts_here if here and resources.device == "cpu" else _parts_on_cluster
    try:
        with file_progress(console, "computing features") as progress:
            done = 0
            for images, found in parts(data.pixels, backbone, stored, resources):
                for cut, part in found.items():
                    if part is None:
                        lost.add(cut)
                        continue
                    if cut not in arrays:
                        arrays[cut] = store.make(cut, (len(data.pixels), *part.shape[1:]), part.dtype)
                    arrays[cut][images] = part
                done += images.stop - images.start
                progress(done, len(data.pixels))
        kept = {cut: store.keep(cut, array) for cut, array in arrays.items() if cut not in lost}
    finally:
        store.drop()
    return kept, store.failed


def _parts_here(
    pixels: np.ndarray, backbone: Backbone, stored: dict[int, str], resources: TrialResources
) -> Iterator[_Part]:
    """Computed in threads of this process, a trial's share of cores each, while the workers of this machine start."""
    ranges = _ranges(len(pixels), _IMAGES_A_THREAD)
    prepare_process(resources.cpus)  # before there are threads: they share its memory
    with ThreadPoolExecutor(resources.concurrent) as pool:
        work = {
            pool.submit(
                features.extract_range, backbone, pixels, images, stored, resources.device, resources.cpus
            ): images
            for images in ranges
        }
        for done in as_completed(work):
            yield work[done], done.result()


def _parts_on_cluster(
    pixels: np.ndarray, backbone: Backbone, stored: dict[int, str], resources: TrialResources
) -> Iterator[_Part]:
    """Computed by Ray tasks on all nodes; what a lost node had is computed again by Ray."""
    shared_pixels: Any = ray.put(ByName(pixels))  # the array itself where it is read
    shared_backbone = ray.put(backbone)
    task = ray.remote(features.extract_range).options(num_cpus=resources.cpus, num_gpus=resources.gpus, name="features")
    waiting = {
        task.remote(shared_backbone, shared_pixels, images, stored, resources.device, resources.cpus): images
        for images in _ranges(len(pixels), _IMAGES_A_TASK)
    }
    while waiting:
        [ready], _ = ray.wait(list(waiting), num_returns=1)
        yield waiting.pop(ready), ray.get(ready)


def _ranges(images: int, at_once: int) -> list[slice]:
    return [slice(start, min(start + at_once, images)) for start in range(0, images, at_once)]


def _keys(data: PairData, backbone: Backbone, stored: dict[int, str], resources: TrialResources) -> dict[int, str]:
    """The cache's key of each cut, from all that its activations depend on; stored: the cuts' precisions."""
    of_backbone = features.fingerprint(backbone)
    keys = {}
    for cut, precision in stored.items():
        parts = [_VERSION, data.fingerprint, of_backbone, cut, IMAGES_AT_ONCE, resources.cpus, resources.device]
        parts += [data.views, how(data.view_strength)] if data.views > 1 else []
        parts += [precision] if precision != "fp32" else []
        parts += [torch.__version__, torch.backends.cpu.get_cpu_capability()]
        keys[cut] = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:40]
    return keys
