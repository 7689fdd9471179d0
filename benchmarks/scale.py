"""python -m benchmarks.scale: what data of 1,000, 10,000 and 100,000 pairs cost before the first trial, cold and warm.

JPEGs of 224 px are made, two for each pair, and read as a search reads them, in a process of its own each time: the table, the
images (decoded to a file that is mapped), the checks of the images, and the features of the whole frozen backbone. Cold: with
an empty cache; warm: with that of the cold one. Seconds of each phase, the private memory of the process at its highest (what
ending it would give back: pages of mapped files are not in it), and the exponent of the growth from each size to the next.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console

from benchmarks import memory_limit, report
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

SOURCE_PX, SIZE_PX = 224, 128
PHASES = ("table", "images", "checks", "features")
WANTED_EXPONENT, WANTED_WARM, WANTED_DECODING = 1.05, 0.05, 0.85
WANTED_GB, WANTED_SHARE = 1.2, 0.02
"""Private memory of the driver: so much, and this share of the pixels."""
_PAIRS_AN_IDENTITY = 4
_DISTINCT = 200
"""Images that are drawn; the others are these with other colours, which take as long to decode."""


@dataclass(frozen=True)
class Options:
    """Measure what data cost before the first trial, by their size."""

    pairs: tuple[int, ...] = (1000, 10_000)
    """Sizes of the data, smallest first, each a multiple of 40; 100000 takes about 6 GB of disk and an hour."""
    backbone: str = "test_byobnet"
    """Whose features are computed."""
    folder: str | None = None
    """Where images and caches are made; none: a temporary folder, removed at the end."""
    memory_gb: float | None = None
    """Instead: real searches of pixels twice as large as this memory, in it and without a limit; 4 takes an hour or two."""
    quick: bool = False
    """A smoke run: 160 and 320 pairs; its numbers mean nothing and are not judged."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed."""
    options = parse(Options, arguments, prog="python -m benchmarks.scale")
    console = report.console()
    report.heading("Data that grow", console)
    sizes = (160, 320) if options.quick else options.pairs
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.folder) as folder:
        if options.memory_gb is not None:
            return report.verdict(beyond_memory(Path(folder), options.memory_gb, options.backbone, console), console)
        found = []
        for pairs in sizes:
            data = made(Path(folder) / str(pairs), pairs)
            cache = Path(folder) / f"cache-{pairs}"
            found += [(pairs, run, in_a_process(data, cache, options.backbone)) for run in ("cold", "warm")]
        alone = decoding_alone(data, min(2 * sizes[-1], 2000))
    return conclude(found, alone, not options.quick, console)


def beyond_memory(folder: Path, gigabytes: float, backbone: str, console: Console) -> list[report.Target]:
    """Searches of pixels that the memory cannot hold, beside those that it can."""
    pairs = int(memory_limit.TIMES * gigabytes * 1e9 / (2 * 3 * SIZE_PX**2)) // 40 * 40
    with memory_limit.limited(gigabytes):
        pass  # told before images are made for minutes
    return memory_limit.measure(made(folder / "data", pairs), folder, gigabytes, SIZE_PX, backbone, console)


def made(folder: Path, pairs: int) -> Path:
    """A table of so many pairs, half of them positive, over twice as many images of their own."""
    (folder / "images").mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_drawn, [str(folder / "images")] * (2 * pairs), range(2 * pairs), chunksize=100))
    number = np.arange(pairs)
    identity = number // _PAIRS_AN_IDENTITY
    label = number % 2
    other = np.where(label == 1, identity, (identity + 10) % (identity.max() + 1))  # in the same split
    table = pd.DataFrame(
        {
            "front": [f"images/{2 * n}.jpg" for n in number],
            "angle": [f"images/{2 * n + 1}.jpg" for n in number],
            "pair_label": label,
            "front_identity": identity,
            "angle_identity": other,
            "split": np.where(identity % 10 < 8, "train", np.where(identity % 10 == 8, "val", "test")),
        }
    )
    table.to_csv(folder / "pairs.csv", index=False)
    return folder / "pairs.csv"


def _drawn(folder: str, number: int) -> None:
    """A JPEG of soft shapes and noise, as large on the disk as a photograph of its size."""
    random = np.random.default_rng(number % _DISTINCT)
    coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((SOURCE_PX, SOURCE_PX), Image.Resampling.BICUBIC), dtype=np.int16)
    shift = np.random.default_rng(number).integers(-60, 60, 3)
    noisy = soft + shift + random.integers(-8, 9, soft.shape)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(Path(folder) / f"{number}.jpg", quality=90)


def in_a_process(data: Path, cache: Path, backbone: str) -> dict[str, Any]:
    """What `phases` finds, in a process of its own."""
    code = f"from benchmarks.scale import phases; phases({str(data)!r}, {str(cache)!r}, {backbone!r})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def phases(data: str, cache: str, backbone: str) -> None:
    """Print, as JSON, the seconds of each phase, the private memory at its highest, and the bytes of the pixels."""
    from trainable.model.backbones import BackboneSpec, create_backbone
    from tuner.cli.run_options import DataOptions
    from tuner.cluster.connection import TrialResources
    from tuner.cluster.feature_cache import FeatureCache
    from tuner.cluster.shared_features import with_features
    from tuner.inputs.dataset import data_path, examined, load

    quiet = Console(file=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the process lives
    options = DataOptions(data=data, image_size_px=SIZE_PX, cache=cache, cache_gb=200)
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def passed(phase: str) -> None:
        nonlocal began
        seconds[phase], began = time.perf_counter() - began, time.perf_counter()

    with private_memory() as highest:
        net = create_backbone(BackboneSpec(backbone, image_size_px=SIZE_PX))
        data_path(options, quiet)
        began = time.perf_counter()
        read = load(options, SIZE_PX, 0, quiet, lambda table, tolerated: passed("table"))
        passed("images")
        examined(read, 32, options, quiet)
        passed("checks")
        resources = TrialResources(1, 0.0, os.cpu_count() or 1, "cpu")
        store = FeatureCache(Path(cache) / "features", 200)
        with_features(read.data, net, [0], resources, memory_gb=200, cache=store, console=quiet, here=True)
        passed("features")
    print(json.dumps(seconds | {"private": highest[0], "pixels": read.data.pixels.nbytes, "images_n": read.data.images}))


@contextmanager
def private_memory() -> Iterator[list[int]]:
    """The most bytes that this process alone had, looked at ten times a second; known at the end."""
    highest, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    highest[0] = max(highest[0], 1024 * int(line.split()[1]))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        over.set()
        thread.join()


def decoding_alone(data: Path, images: int) -> float:
    """Images a second that one core decodes, times the cores."""
    code = (
        "import os, sys, time; os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})\n"
        "from trainable.data.images import read_images\nfrom trainable.data.read_pairs import read_pairs\n"
        "from dataclasses import replace\n"
        f"table = read_pairs({str(data)!r})\n"
        f"part = replace(table, images=table.images[:{images}], image_names=table.image_names[:{images}])\n"
        f"began = time.perf_counter(); read_images(part, {SIZE_PX}, workers=1)\n"
        "print(len(part.images) / (time.perf_counter() - began))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1]) * len(os.sched_getaffinity(0))


def conclude(found: list[tuple[int, str, dict[str, Any]]], alone: float, binding: bool, console: Console) -> int:
    """The table, and whether the targets were met."""
    rows = []
    for pairs, run, one in found:
        memory = (f"{one[name] / 1e9:.2f}" for name in ("private", "pixels"))
        rows.append((f"{pairs:,}", run, *(f"{one[phase]:.2f}" for phase in PHASES), *memory))
    head = "pairs", "cache", *(f"{phase}, s" for phase in PHASES), "private GB", "pixels GB"
    console.print(report.table(head, rows))
    by = {(pairs, run): one for pairs, run, one in found}
    sizes = sorted({pairs for pairs, _, _ in found})
    targets = []
    for small, large in itertools.pairwise(sizes):
        for phase in PHASES:
            ratio = by[large, "cold"][phase] / by[small, "cold"][phase]
            grown = by[large, "cold"]["images_n"] / by[small, "cold"]["images_n"]
            exponent = math.log(ratio) / math.log(grown)
            words = f"growth of {phase}, {small:,} to {large:,} pairs, exponent"
            targets.append(report.Target(words, exponent, WANTED_EXPONENT, at_least=False, binding=binding))
    for pairs in sizes:
        cold, warm = (sum(by[pairs, run][phase] for phase in PHASES[1:]) for run in ("cold", "warm"))
        words = f"warm over cold, {pairs:,} pairs"
        targets.append(report.Target(words, warm / cold, WANTED_WARM, at_least=False, binding=binding))
        one = by[pairs, "cold"]
        room = WANTED_GB + WANTED_SHARE * one["pixels"] / 1e9
        words = f"private memory, {pairs:,} pairs, GB"
        targets.append(report.Target(words, one["private"] / 1e9, round(room, 3), at_least=False, binding=binding))
    last = by[sizes[-1], "cold"]
    speed = last["images_n"] / last["images"]
    console.print(f"decoding: {speed:.0f} images a second; one core alone, times the cores, {alone:.0f}")
    targets.append(report.Target("decoding, share of what the cores can", speed / alone, WANTED_DECODING, binding=binding))
    return report.verdict(targets, console)


if __name__ == "__main__":
    sys.exit(main())
