"""The machine's ceiling: nothing but the arithmetic of fully trained epochs, in a process a core.

python -m benchmarks.bare_step SOURCE STEPS prints, as JSON, the seconds of a training step and of embedding an image.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it

from benchmarks.searching import SourceOptions
from trainable.config import TrialConfig
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.model.encoder import PairEncoder, projection_head
from trainable.process import prepare_process

_WARM_UP = 2
_VALIDATED_AT_ONCE = 256


@dataclass(frozen=True)
class Ceiling:
    """Seconds, one process on every core at a time, the mean over the processes."""

    step_s: float
    """Forward, backward and optimiser step of a batch of pairs."""
    image_s: float
    """Embedding of one validation image."""

    def epoch_s(self, steps: int, images: int) -> float:
        """Of an epoch of so many steps, and so many distinct validation images."""
        return steps * self.step_s + images * self.image_s

    @classmethod
    def mean(cls, measured: list[Ceiling]) -> Ceiling:
        """The average of several measurements."""
        step_s, image_s = (sum(getattr(m, n) for m in measured) / len(measured) for n in ("step_s", "image_s"))
        return cls(step_s, image_s)


def on_all_cores(source: SourceOptions, steps: int, cores: int) -> Ceiling:
    """Measure it with all cores busy."""
    command = [sys.executable, "-m", "benchmarks.bare_step", json.dumps(asdict(source)), str(steps)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(cores)]
    printed = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a process that measured bare steps failed; its error is above")
    return Ceiling.mean([Ceiling(**json.loads(text)) for text in printed])


def measure(source: SourceOptions, steps: int) -> Ceiling:
    """Measure it in this process: random pixels, no losses but InfoNCE, no pairs, no metrics, one thread."""
    prepare_process(1)
    config = TrialConfig()
    backbone = create_backbone(
        BackboneSpec(source.backbone, source.weights, source.image_size_px, source.input_mean, source.input_std)
    )
    encoder = PairEncoder(backbone, projection_head(backbone.feature_size, config), None)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=3e-4, fused=True)
    shape = (source.image_size_px, source.image_size_px, 3)
    pixels = torch.randint(0, 256, (2 * config.batch_size, *shape), dtype=torch.uint8)
    validated = torch.randint(0, 256, (_VALIDATED_AT_ONCE, *shape), dtype=torch.uint8)

    def step() -> None:
        front, angle = encoder(pixels).chunk(2)
        loss = F.cross_entropy(front @ angle.T / config.temperature, torch.arange(config.batch_size))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def validate() -> None:
        encoder.eval()
        encoder(validated)
        encoder.train()

    return Ceiling(_seconds(step, steps), _seconds(validate, max(1, steps // 8)) / _VALIDATED_AT_ONCE)


def _seconds(work: Callable[[], None], times: int) -> float:
    for _ in range(_WARM_UP):
        work()
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


if __name__ == "__main__":
    print(json.dumps(asdict(measure(SourceOptions(**json.loads(sys.argv[1])), int(sys.argv[2])))))
