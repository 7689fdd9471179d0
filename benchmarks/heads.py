"""python -m benchmarks.heads: do several heads train faster as one batch than one after the other?

Heads of one configuration, each with pairs of its own: what the folds of a trial are. Epochs of training steps, once each
training by itself and once stacked (`trainable.training.stacked`), in turns; validation, which is each one's own, is left out.
Processor time on a CPU, so that other work on the machine counts little. The target is that of configurations sharing a batch:
below it the trials of a search, which differ in temperature and rate and end at different times, each train alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks import report
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.model.backbone import Backbone
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.process import prepare_process
from trainable.training.inputs import Inputs
from trainable.training.loop import Training
from trainable.training.stacked import StackedHeads
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

WANTED = 1.5
_ROUNDS = 5


@dataclass(frozen=True)
class Options:
    """Heads trained one by one and as one batch, side by side."""

    backbones: tuple[str, ...] = ("vit_tiny_patch16_224", "vit_small_patch16_224", "mobilenetv2_100")
    """Models of timm, of which nothing but the number of features matters: 192, 384 and 1,280 here."""
    heads: tuple[int, ...] = (3, 8, 32)
    """How many heads train: a few folds or repeats of one configuration, or the trials of a search."""
    pairs: int = 810
    """Training pairs of each head: those of vehicle_reid."""
    device: str = "cpu"
    """cpu or cuda."""
    quick: bool = False
    """A smoke run: few and small heads; its numbers mean nothing and are not judged."""


def trainings(backbone: Backbone, heads: int, pairs: int, device: str) -> list[Training]:
    """So many trainings of one configuration on random features, each with seeds and pairs of its own."""
    random, images = np.random.default_rng(0), 2 * pairs
    features = random.standard_normal((images, backbone.feature_size), dtype=np.float32)
    split = np.repeat(np.array([0, 1], dtype=np.int8), [pairs, 2])
    inputs, found = None, []
    for number in range(heads):
        front, angle = random.integers(images, size=(2, pairs + 2))
        label = np.arange(pairs + 2, dtype=np.int8) % 2
        pixels = np.zeros((images, 1, 1, 3), dtype=np.uint8)
        data = PairData(pixels, front, angle, label, front, angle, split, "random", features={0: features})
        inputs = inputs or Inputs(torch.device(device), data)
        config = TrialConfig(trainable_blocks=0, seed=number)
        found.append(Training(config, backbone, data, Settings(device=device), inputs))
    return found


def seconds(epochs: Sequence[Callable[[], object]], device: str) -> list[float]:
    """Of each of these, run in turns, the least of several rounds."""

    def clock() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    found: list[list[float]] = [[] for _ in epochs]
    for _ in range(_ROUNDS + 1):
        for times, epoch in zip(found, epochs, strict=True):
            start = clock()
            epoch()
            times.append(clock() - start)
    return [min(times[1:]) for times in found]


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    console, options = report.console(), parse(Options, arguments, prog="python -m benchmarks.heads")
    if options.quick:
        options = Options(backbones=("test_byobnet",), heads=(2,), pairs=200, device=options.device, quick=True)
    report.heading("Heads in one batch", console)
    prepare_process(1)
    rows, gains = [], []
    for name in options.backbones:
        backbone = create_backbone(BackboneSpec(name))
        for heads in options.heads:
            alone = trainings(backbone, heads, options.pairs, options.device)
            stacked = StackedHeads(trainings(backbone, heads, options.pairs, options.device))
            steps = heads * alone[0].batches.per_epoch
            ways = (lambda alone=alone: [list(one.steps(1)) for one in alone], stacked.train_epoch)
            one_by_one, together = (1e3 * found / steps for found in seconds(ways, options.device))
            gains.append(one_by_one / together)
            rows.append((backbone.feature_size, heads, f"{one_by_one:.2f}", f"{together:.2f}", f"{gains[-1]:.2f}"))
    console.print(report.table(("features", "heads", "one by one, ms a head's step", "as one batch", "times"), rows))
    target = report.Target("times as fast, least of all", min(gains), WANTED, binding=not options.quick)
    return report.verdict([target], console)


if __name__ == "__main__":
    sys.exit(main())
