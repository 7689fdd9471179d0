"""A few real training steps at one cut, and everything about them: what moved, what did not, gradients, memory, time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from trainable.checks import peak_memory
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.metrics import spread
from trainable.metrics.verification import verify
from trainable.model.backbone import Backbone, seeded
from trainable.training.loop import Training
from trainable.training.losses import MEASURED

STEPS = 4
"""The first step warms up, and its memory is measured; the others are timed."""
SLOW_S = 8.0
"""After so many seconds two steps must do."""
SCORED_PAIRS = 64


@dataclass(frozen=True)
class Group:
    """One parameter group of the optimiser, after the steps."""

    name: str
    grad_norm: float
    """Of the last step's gradient; 0 where there is none."""
    update_ratio: float
    """Norm of what all steps changed over that of the weights, a step."""


@dataclass(frozen=True)
class FirstSteps:
    """What came of the first steps at one cut."""

    trainable_blocks: int
    steps: int
    trained: int
    """Tensors that the optimiser is to change."""
    without_gradient: tuple[str, ...]
    """Of those, the ones whose last gradient was 0, or that no loss depends on."""
    stuck: tuple[str, ...]
    """Of those with a gradient other than 0, the ones that did not move."""
    kept: int
    """Frozen tensors and buffers, those of frozen norms included."""
    moved: tuple[str, ...]
    """Of those, the ones that moved."""
    groups: tuple[Group, ...]
    losses: tuple[float, ...]
    """Contrastive loss of each step."""
    chance: float
    """What the contrastive loss of the first step would be with equal scores."""
    finite: bool
    """No loss and no gradient was NaN or infinite."""
    mean_cosine: float
    """Before the first step: mean cosine of embeddings of different identities."""
    feature_std: float
    """Before the first step: spread of the embeddings, 1 when even."""
    rank: float
    """Before the first step: RankMe of the embeddings less their mean."""
    rank_limit: int
    auc: float
    """Before the first step: how well untrained scores tell some validation pairs apart."""
    step_s: float
    """Seconds of a step."""
    image_s: float
    """Seconds that scoring takes for each image."""
    memory_gb: float
    """In 10⁹ bytes: growth of the process at its peak, and at least weights, gradients, the optimiser's moments, the best
    epoch's copy, and what a step keeps for its backward pass."""


def take_first_steps(config: TrialConfig, backbone: Backbone, data: PairData, settings: Settings) -> FirstSteps:
    """Train on STEPS batches. data: as `excerpt` gives it; its features, where there are any, are started from."""
    with peak_memory.measured(torch.device(settings.device)) as peak:
        training = Training(config, backbone, data, settings)
        start, image_s = _start(training)
        kept = _kept(training)
        trained = {name: p for name, p in training.encoder.named_parameters() if p.requires_grad}
        before = {name: tensor.detach().clone() for name, tensor in {**trained, **kept}.items()}
        taken, seconds, saved_bytes = _steps(training)
    copies_gb = sum(tensor.nbytes for tensor in before.values()) / 1e9  # the look's own, not the trial's
    gradients = {name: _norm([p]) for name, p in trained.items()}
    moved = {name: not _same(tensor, before[name]) for name, tensor in {**trained, **kept}.items()}
    names = {id(p): name for name, p in trained.items()}
    groups = [_group(group, names, before, len(taken)) for group in training.optimizer.param_groups]
    losses = [step["contrastive_loss"] / max(1, step["anchors"]) for step in taken]
    numbers = [value for step in taken for value in step.values()]
    return FirstSteps(
        trainable_blocks=training.encoder.trainable_blocks,
        steps=len(taken),
        trained=len(trained),
        without_gradient=tuple(name for name, norm in gradients.items() if norm == 0),
        stuck=tuple(name for name in trained if gradients[name] and not moved[name]),
        kept=len(kept),
        moved=tuple(name for name in kept if moved[name]),
        groups=tuple(groups),
        losses=tuple(losses),
        chance=taken[0]["chance_loss"] / max(1, taken[0]["anchors"]),
        finite=all(map(math.isfinite, numbers)),
        **start,
        step_s=float(np.median(seconds[1:] or seconds)),
        image_s=image_s,
        memory_gb=max(_least_bytes(training, saved_bytes) / 1e9, (peak.gb or 0) - copies_gb),
    )


def excerpt(data: PairData, batch_size: int) -> PairData:
    """As many training pairs as the steps take, some validation pairs, and only their images, in their plain view: what a
    look costs does not grow with the data."""
    train, val = data.rows("train"), data.rows("val")
    rows = np.concatenate([_evenly(train, STEPS * batch_size), _evenly(val, SCORED_PAIRS)])
    images, ends = np.unique(np.concatenate([data.front[rows], data.angle[rows]]), return_inverse=True)
    front, angle = np.split(ends.astype(np.int64), 2)
    return dataclasses.replace(
        data,
        pixels=data.pixels[images],
        front=front,
        angle=angle,
        pair_label=data.pair_label[rows],
        front_identity=data.front_identity[rows],
        angle_identity=data.angle_identity[rows],
        split=data.split[rows],
        views=1,
    )


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])


def _start(training: Training) -> tuple[dict[str, Any], float]:
    """The spread of the embeddings before the first step, and the seconds that scoring takes for each image."""
    data = training.data
    rows = data.rows("val")
    began = time.perf_counter()
    scores, embeddings = training.score(rows)
    image_s = (time.perf_counter() - began) / len(embeddings)
    if not np.isfinite(scores).all():
        nothing: dict[str, Any] = dict.fromkeys(("mean_cosine", "feature_std", "rank", "auc"), math.nan)
        return nothing | {"rank_limit": 0}, image_s
    signs = spread.of_embeddings(scores, embeddings, spread.Sample.of(data, rows))
    found = {
        "mean_cosine": signs["mean_cosine"],
        "feature_std": spread.feature_std(embeddings.cpu().numpy()),
        "rank": signs["rank_centred"],
        "rank_limit": signs["rank_limit"],
        "auc": verify(scores, np.asarray(data.pair_label[rows])).auc,
    }
    return found, image_s


def _kept(training: Training) -> dict[str, Tensor]:
    """All that training must not change, by name: what it may change is in `trainable_state`, the rest is here."""
    encoder = training.encoder
    changes = encoder.trainable_state().keys()
    every = {**dict(encoder.named_parameters()), **dict(encoder.named_buffers())}
    return {name: tensor for name, tensor in every.items() if name not in changes}


def _steps(training: Training) -> tuple[list[dict[str, float]], list[float], int]:
    """The steps' losses, the seconds of each, and the bytes that the first one kept for its backward pass."""
    taken: list[dict[str, float]] = []
    seconds: list[float] = []
    saved: dict[int, int] = {}
    began = time.perf_counter()
    with seeded(training.config.seed):
        steps = training.steps(1)
        while len(taken) < STEPS and (len(taken) < 2 or time.perf_counter() - began < SLOW_S):
            at = time.perf_counter()
            with _counting(saved if not taken else {}):
                step = next(steps, None)
            if step is None:
                break
            taken.append(dict(zip(MEASURED, step.tolist(), strict=True)))  # waits for an accelerator
            seconds.append(time.perf_counter() - at)
    weights = {p.untyped_storage().data_ptr() for p in training.encoder.parameters()}
    return taken, seconds, sum(size for address, size in saved.items() if address not in weights)


@contextmanager
def _counting(storages: dict[int, int]) -> Iterator[None]:
    """Adds the bytes of every storage that autograd keeps, by its address: all are alive until the backward pass."""

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


def _group(group: dict[str, Any], names: dict[int, str], before: dict[str, Tensor], steps: int) -> Group:
    weights = [before[names[id(p)]] for p in group["params"]]
    changes = [p.detach() - old for p, old in zip(group["params"], weights, strict=True)]
    size = float(get_total_norm(weights))
    return Group(
        group["name"], _norm(group["params"]), float(get_total_norm(changes)) / steps / size if size else math.nan
    )


def _norm(parameters: list[Tensor]) -> float:
    gradients = [p.grad for p in parameters if p.grad is not None]
    return float(get_total_norm(gradients)) if gradients else 0.0


def _same(tensor: Tensor, before: Tensor) -> bool:
    return torch.equal(tensor.detach().nan_to_num(), before.nan_to_num())


def _least_bytes(training: Training, saved_bytes: int) -> int:
    encoder = training.encoder
    weights = sum(t.nbytes for t in (*encoder.parameters(), *encoder.buffers()))
    trained = sum(p.nbytes for p in encoder.parameters() if p.requires_grad)
    return weights + 4 * trained + saved_bytes  # gradient, two moments, the best epoch's copy
