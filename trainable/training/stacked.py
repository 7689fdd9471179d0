"""Heads that train as one batch: several trainings of one configuration, as those of a trial's folds, step side by side.

A head's step is small calls as much as it is products. Stacked, the heads share the calls: 1.0 to 1.5 times as fast on a CPU
core, more the smaller the features are (`python -m benchmarks.heads`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it

from trainable.model.encoder import NORM_EPSILON
from trainable.training.loop import Training
from trainable.training.losses import MEASURED, Targets, batch_loss, epoch_means, measured

_Batch = tuple[Tensor, Tensor, Targets]


class StackedHeads:
    """The heads of K trainings as (K, ...) parameters, of which each training's own are views from now on.

    trainings: of one configuration, seed and data aside, which `can_be_stacked`. Everything but the training steps stays
    theirs: batches, rates, optimiser, validation, report and saved state. Their numbers are those of each trained alone, to
    rounding.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._trainings = trainings
        self._own = [list(training.encoder.head.parameters()) for training in trainings]
        self._stacked = [torch.stack(same).detach().requires_grad_() for same in zip(*self._own, strict=True)]
        for number, parameters in enumerate(self._own):
            for parameter, stacked in zip(parameters, self._stacked, strict=True):
                parameter.data = stacked.detach()[number]
        head = trainings[0].encoder.head
        self._layers = list(head.children()) or [head]

    def train_epoch(self) -> list[tuple[dict[str, float], float]]:
        """Train the next epoch of all: for each what `Training.conclude` takes, the seconds shared evenly."""
        started = time.perf_counter()
        count, epoch = len(self._trainings), self._trainings[0].epochs_done + 1
        batches = []
        for training in self._trainings:
            training.encoder.train()
            batches.append(training.batches.of_epoch(np.random.default_rng([training.config.seed, epoch])))
        sums = torch.zeros(count, len(MEASURED), dtype=torch.float64, device=self._trainings[0].device)
        for step in range(max(training.batches.per_epoch for training in self._trainings)):
            sums += self._step(epoch, step, [next(of_one, None) for of_one in batches])
        share = (time.perf_counter() - started) / count
        steps = [training.batches.per_epoch for training in self._trainings]
        return [(epoch_means(row, of_one), share) for row, of_one in zip(sums.tolist(), steps, strict=True)]

    def _step(self, epoch: int, step: int, batches: Sequence[_Batch | None]) -> Tensor:
        """(K, len(MEASURED)); zeros for a training that has no batch left. A step that is looked at is each training's own."""
        here = [batch for batch in batches if batch is not None]
        if len(here) == len(batches) and all(training.batches.middle != step for training in self._trainings):
            return self._train_step(epoch, step, here)
        nothing = torch.zeros(len(MEASURED), dtype=torch.float64, device=self._trainings[0].device)
        both = zip(self._trainings, batches, strict=True)
        return torch.stack([nothing if batch is None else one.step(epoch, step, *batch) for one, batch in both])

    def _train_step(self, epoch: int, step: int, batches: Sequence[_Batch]) -> Tensor:
        images, _, targets = zip(*batches, strict=True)
        stacked = Targets(*map(torch.stack, zip(*targets, strict=True)))
        rows = self._trainings[0].gather(torch.cat(images))
        front, angle = self._embed(rows.view(len(batches), -1, rows.shape[-1])).chunk(2, dim=1)
        loss = batch_loss(front, angle, stacked, self._trainings[0].config)
        # Contiguous, as fused AdamW wants it on a GPU, where the gradient of a batched product is a transposed one.
        gradients = [found.contiguous() for found in torch.autograd.grad(loss.total.sum(), self._stacked)]
        for number, (training, parameters) in enumerate(zip(self._trainings, self._own, strict=True)):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient[number]
            training.set_learning_rates(epoch, step)
            training.optimizer.step()
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        return measured(stacked, torch.ones_like(norms), loss.parts, norms)

    def _embed(self, x: Tensor) -> Tensor:
        """(K, N, F) features to (K, N, E) embeddings of length 1."""
        parameters = iter(self._stacked)
        for layer in self._layers:
            if isinstance(layer, nn.Linear):
                x = _linear(x, next(parameters), next(parameters))
            elif isinstance(layer, nn.LayerNorm):
                scale, shift = next(parameters), next(parameters)
                x = F.layer_norm(x, layer.normalized_shape, eps=layer.eps) * scale[:, None] + shift[:, None]
            else:
                x = layer(x)
        return F.normalize(x, dim=2, eps=NORM_EPSILON)


def can_be_stacked(trainings: Sequence[Training]) -> bool:
    """Whether only heads train, from stored features, in fp32, with batches of one size and a temperature that stays."""
    first = trainings[0]
    layers = list(first.encoder.head.children()) or [first.encoder.head]
    known = all(isinstance(layer, nn.Linear | nn.LayerNorm) or not list(layer.parameters()) for layer in layers)
    sizes = {training.batches.size for training in trainings}
    stays = first.config.temperature_lr_ratio == 0
    return known and stays and first.starts_from_features and first.settings.precision == "fp32" and len(sizes) == 1


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if x.device.type == "cpu":
        found: Tensor = _HeadByHead.apply(x, weight, bias)
        return found
    return torch.baddbmm(bias[:, None], x, weight.mT)


class _HeadByHead(torch.autograd.Function):
    """(K, N, D) times (K, H, D), plus (K, H): a product for each head, on a CPU faster than one batched product."""

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
