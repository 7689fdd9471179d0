"""python -m benchmarks.heads: would several heads train faster as one batch than one after the other?

Heads of one shape, each with pairs of its own, once as every trial trains its head, and once stacked: their features side by
side, layer norm, GELU, loss and backward pass over a leading dimension, one optimiser for all. The large products are made
head by head where the device is a CPU, which is faster there than a batched product. Both ways give the same heads, to rounding
(a test). Processor time on a CPU, so that other work on the machine counts little.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it

from benchmarks import report
from trainable.config import TrialConfig
from trainable.model.encoder import NORM_EPSILON, projection_head
from trainable.process import prepare_process
from trainable.training.losses import Targets, batch_loss
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code

WANTED = 1.5
"""Times as fast: below it trials do not share a batch."""
_IMAGES = 1_134  # as many as vehicle_reid has
_ROUNDS = 5
_CONFIG = TrialConfig(consistency_weight=0, negative_weight=0)


@dataclass(frozen=True)
class Options:
    """Heads trained one by one and as one batch, side by side."""

    features: tuple[int, ...] = (192, 384, 1280)
    """Features of an image: those of a DINO tiny, a DINO small, and a MobileNet."""
    heads: tuple[int, ...] = (3, 8, 32)
    """How many heads: a few folds or repeats of one configuration, or the trials of a search."""
    pairs: int = TrialConfig().batch_size
    """Pairs in a batch of each head."""
    device: str = "cpu"
    """cpu or cuda."""
    quick: bool = False
    """A smoke run: few and small heads; its numbers mean nothing and are not judged."""


class OneByOne:
    """Heads that train as trials do: each with an optimiser of its own."""

    def __init__(self, heads: Sequence[nn.Module], inputs: Tensor, targets: Sequence[Targets]) -> None:
        self._heads, self._inputs, self._targets = heads, inputs, targets
        self._optimizers = [torch.optim.AdamW(head.parameters(), lr=1e-3, fused=True) for head in heads]

    def step(self) -> None:
        """Train each head one step."""
        for head, optimizer, inputs, targets in zip(
            self._heads, self._optimizers, self._inputs, self._targets, strict=True
        ):
            front, angle = F.normalize(head(inputs), dim=1, eps=NORM_EPSILON).chunk(2)
            optimizer.zero_grad()
            batch_loss(front, angle, targets, _CONFIG).total.backward()
            optimizer.step()

    def weights(self) -> list[Tensor]:
        """Each parameter of all heads, stacked."""
        return [torch.stack(same) for same in zip(*(head.parameters() for head in self._heads), strict=True)]


class Stacked:
    """The same heads as one batch: (K, ...) parameters."""

    def __init__(self, heads: Sequence[nn.Module], inputs: Tensor, targets: Sequence[Targets]) -> None:
        stacked = [torch.stack(same).detach() for same in zip(*(head.parameters() for head in heads), strict=True)]
        self._parameters = [parameter.requires_grad_() for parameter in stacked]
        self._inputs = inputs
        self._targets = Targets(*(torch.stack(column) for column in zip(*targets, strict=True)))
        self._optimizer = torch.optim.AdamW(self._parameters, lr=1e-3, fused=True)

    def step(self) -> None:
        """Train all heads one step."""
        wide, bias, scale, shift, narrow, last = self._parameters
        hidden: Tensor = _linear(self._inputs, wide, bias)
        hidden = F.layer_norm(hidden, hidden.shape[-1:]) * scale[:, None] + shift[:, None]
        embeddings = F.normalize(_linear(F.gelu(hidden), narrow, last), dim=2, eps=NORM_EPSILON)
        front, angle = embeddings.chunk(2, dim=1)
        self._optimizer.zero_grad()
        _Contrastive.apply(front, angle, self._targets, _CONFIG.temperature).sum().backward()
        self._optimizer.step()

    def weights(self) -> list[Tensor]:
        """Each parameter of all heads, stacked."""
        return self._parameters


class _LinearOnCpu(torch.autograd.Function):
    """(K, N, D) times (K, H, D): a product for each head, into the rows of one result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        out = x.new_empty(*x.shape[:2], weight.shape[1])
        for number in range(len(x)):
            torch.addmm(bias[number], x[number], weight[number].T, out=out[number])
        return out

    @staticmethod
    def backward(ctx: Any, *of_out: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (slope,), (x, weight) = of_out, ctx.saved_tensors
        of_weight, of_x = torch.empty_like(weight), torch.empty_like(x) if ctx.needs_input_grad[0] else None
        for number in range(len(x)):
            torch.mm(slope[number].T, x[number], out=of_weight[number])
            if of_x is not None:
                torch.mm(slope[number], weight[number], out=of_x[number])
        return of_x, of_weight, slope.sum(dim=1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if x.device.type == "cpu":
        found: Tensor = _LinearOnCpu.apply(x, weight, bias)
        return found
    return torch.baddbmm(bias[:, None], x, weight.mT)


class _Contrastive(torch.autograd.Function):
    """The contrastive term of `batch_loss` over a leading dimension, its gradient in closed form; the other terms are linear
    in the diagonal and cost next to nothing beside it."""

    @staticmethod
    def forward(ctx: Any, front: Tensor, angle: Tensor, targets: Targets, temperature: float) -> Tensor:
        logits = front @ angle.mT / temperature
        log_softmax = torch.cat([logits, logits.mT], dim=1).log_softmax(dim=2)
        loss = -(torch.where(targets.positive, log_softmax, 0) * targets.target).sum(dim=(1, 2))
        of_fronts, of_angles = log_softmax.exp_().mul_(targets.weight).sub_(targets.target).chunk(2, dim=1)
        slope = (of_fronts + of_angles.mT) / temperature
        ctx.save_for_backward(slope @ angle, slope.mT @ front)
        return loss

    @staticmethod
    def backward(ctx: Any, *of_loss: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_front, of_angle = ctx.saved_tensors
        scale = of_loss[0][:, None, None]
        return scale * of_front, scale * of_angle, None, None


def both(heads: int, features: int, pairs: int, device: str) -> tuple[OneByOne, Stacked]:
    """So many heads in both ways: same weights, same features, pairs that are all of one label and of different things."""
    torch.manual_seed(0)
    made = [projection_head(features, TrialConfig(seed=number)).to(device) for number in range(heads)]
    pool = torch.randn(_IMAGES, features)
    inputs = pool[torch.randint(_IMAGES, (heads, 2 * pairs))].to(device)
    labels, numbers = torch.ones(pairs, device=device), torch.arange(pairs, device=device)
    targets = [Targets.of(labels, numbers, numbers)] * heads
    stacked = Stacked(made, inputs, targets)  # first: it copies the weights
    return OneByOne(made, inputs, targets), stacked


def seconds(step: Callable[[], None], times: int, device: str) -> float:
    """Of a step, the least of several rounds."""

    def clock() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    step()
    found = []
    for _ in range(_ROUNDS):
        start = clock()
        for _ in range(times):
            step()
        found.append((clock() - start) / times)
    return min(found)


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    console, options = report.console(), parse(Options, arguments, prog="python -m benchmarks.heads")
    if options.quick:
        options = Options(features=(16,), heads=(2,), pairs=8, device=options.device, quick=True)
    report.heading("Heads in one batch", console)
    prepare_process(1)
    rows, gains = [], []
    for features in options.features:
        for heads in options.heads:
            one_by_one, stacked = both(heads, features, options.pairs, options.device)
            times = 2 if options.quick else max(3, 120 // heads)
            alone, together = (seconds(way.step, times, options.device) / heads for way in (one_by_one, stacked))
            gains.append(alone / together)
            rows.append((features, heads, f"{1e3 * alone:.2f}", f"{1e3 * together:.2f}", f"{gains[-1]:.2f}"))
    console.print(report.table(("features", "heads", "one by one, ms a head's step", "as one batch", "times"), rows))
    target = report.Target("times as fast, least of all", min(gains), WANTED, binding=not options.quick)
    return report.verdict([target], console)


if __name__ == "__main__":
    sys.exit(main())
