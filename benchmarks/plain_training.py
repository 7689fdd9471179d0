"""The training that all plain sides run: a torch DataLoader over image files, and a loop as a competent user writes it.

Same pairs, batches, losses, head, optimiser and schedule as this system, so that the metrics must agree; nothing is shared
between trials, images are decoded in every epoch, and the backbone is in PyTorch's default memory format.
"""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.searching import SourceOptions
from trainable.config import TrialConfig
from trainable.data.pairs import PairTable
from trainable.data.read_pairs import read_pairs
from trainable.model import blocks
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.model.encoder import projection_head

_BUILDING = threading.Lock()
"""Initial weights are drawn from torch's global generator, which trials in threads share: one is built at a time."""


@dataclass(frozen=True)
class Job:
    """What a plain side is to train; travels as a JSON file."""

    source: SourceOptions
    folder: str
    """Where each trial writes its epochs, as NUMBER.jsonl."""
    configurations: list[dict[str, Any]]
    """TrialConfig fields of each trial."""
    first_epochs: int
    """So many of a configuration's epochs are trained; the learning rate follows the schedule of all."""
    workers: int
    """Trials at a time, a core each."""

    def write(self) -> Path:
        """The job's file, in its folder."""
        path = Path(self.folder) / "job.json"
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: str | Path) -> Job:
        """What `write` wrote."""
        values = json.loads(Path(path).read_text())
        return cls(**{**values, "source": SourceOptions(**values["source"])})

    def epochs(self) -> list[dict[str, Any]]:
        """What the trials have written, a row an epoch."""
        files = sorted(Path(self.folder).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def train_trial(job: Job, number: int) -> Iterator[dict[str, Any]]:
    """Train one of the job's configurations; yields and writes down a row an epoch."""
    table = read_pairs(job.source.data)
    source = job.source
    spec = BackboneSpec(source.backbone, source.weights, source.image_size_px, source.input_mean, source.input_std)
    file = Path(job.folder) / f"{number}.jsonl"
    for row in train(TrialConfig.of(job.configurations[number]), spec, table, job.first_epochs):
        with file.open("a") as stream:
            stream.write(json.dumps({"trial": number, **row}) + "\n")
        yield row


def train(config: TrialConfig, spec: BackboneSpec, table: PairTable, first_epochs: int) -> Iterator[dict[str, Any]]:
    """`epoch`, `contrastive_loss`, `val_auc` and `epoch_s` (validation included) of each of the first epochs."""
    with _BUILDING:
        backbone = create_backbone(spec)
        head = projection_head(backbone.feature_size, config)
    mean, std = (
        buffer.flatten().tolist() for buffer in (backbone.mean_255 / 255, 1 / (255 * backbone.inverse_std_255))
    )
    images = PairImages(table, spec.image_size_px, mean, std)
    net = backbone.net.to(memory_format=torch.contiguous_format)  # as timm.create_model gives it
    model = nn.Sequential(net, head)
    _freeze(net, config.trainable_blocks)
    optimizer = torch.optim.AdamW(_groups(model, config))
    train_rows, val_rows = table.rows("train"), table.rows("val")
    steps = max(1, len(train_rows) // config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _factor(step, steps, config))
    own = torch.Generator()  # a loader would draw from the global one, from which another thread may be building
    for epoch in range(1, first_epochs + 1):
        started = time.perf_counter()
        order = np.random.default_rng([config.seed, epoch]).permutation(train_rows)
        batches = [order[i * config.batch_size : (i + 1) * config.batch_size].tolist() for i in range(steps)]
        loss = _train_epoch(
            model, DataLoader(images, batch_sampler=batches, generator=own), optimizer, schedule, config
        )
        auc = _auc(model, DataLoader(torch.utils.data.Subset(images, val_rows.tolist()), batch_size=64, generator=own))
        yield {"epoch": epoch, "contrastive_loss": loss, "val_auc": auc, "epoch_s": time.perf_counter() - started}


class PairImages(Dataset):
    """The pairs of a table; both images of a pair are decoded when it is asked for."""

    def __init__(self, table: PairTable, size_px: int, mean: list[float], std: list[float]) -> None:
        self.table = table
        bicubic = transforms.InterpolationMode.BICUBIC
        self.transform = transforms.Compose(
            [transforms.Resize((size_px, size_px), bicubic), transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.table.pair_label)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        """front and angle (3, S, S) float32, label, identity of the front, identity of the angle."""
        table = self.table
        images = (self._read(table.images[side[row]]) for side in (table.front, table.angle))
        return (*images, int(table.pair_label[row]), int(table.front_identity[row]), int(table.angle_identity[row]))

    def _read(self, image: Path | bytes) -> Tensor:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            return self.transform(opened.convert("RGB"))


def _freeze(net: nn.Module, trainable_blocks: int | None) -> None:
    parts = blocks.block_parameters(net)
    if trainable_blocks is None or trainable_blocks == len(parts):
        return
    trained = frozenset().union(*parts[len(parts) - trainable_blocks :])
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in trained)


def _set_train_mode(model: nn.Module) -> None:
    """Train mode, but a frozen module stays in eval mode: its BatchNorm statistics must not move."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def _groups(model: nn.Module, config: TrialConfig) -> list[dict[str, Any]]:
    groups = []
    for part, ratio in ((model[1], 1.0), (model[0], config.backbone_lr_ratio)):
        trained = [p for p in part.parameters() if p.requires_grad]
        for decays in (True, False):
            members = [p for p in trained if (p.ndim > 1) == decays]
            decay = config.weight_decay if decays else 0.0
            if members:
                groups.append({"params": members, "lr": config.learning_rate * ratio, "weight_decay": decay})
    return groups


def _factor(step: int, steps: int, config: TrialConfig) -> float:
    """Of the learning rate: linear warm-up, then cosine decay to zero over all the configuration's epochs."""
    warmup, total = config.warmup_epochs * steps, config.epochs * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


def _embed(model: nn.Module, images: Tensor) -> Tensor:
    """(B, 3, S, S) to (B, E) of length 1; nothing is recorded for a backbone that is all frozen."""
    net, head = model
    with torch.set_grad_enabled(torch.is_grad_enabled() and any(p.requires_grad for p in net.parameters())):
        features = net(images)
    return F.normalize(head(features), dim=1)


def _train_epoch(
    model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, schedule: Any, config: TrialConfig
) -> float:
    """The epoch's mean contrastive loss, over anchors."""
    _set_train_mode(model)
    total, anchors = 0.0, 0
    for front_images, angle_images, labels, front_identity, angle_identity in loader:
        front, angle = _embed(model, torch.cat([front_images, angle_images])).chunk(2)
        scores = front @ angle.T
        logits = scores / config.temperature
        positive = (front_identity[:, None] == angle_identity) & (front_identity >= 0)[:, None]
        positive = positive.fill_diagonal_(False) | torch.diag(labels == 1)
        contrastive = (_one_way(logits, positive) + _one_way(logits.T, positive.T)) / 2
        own, same = scores.diagonal(), (labels == 1).float()
        consistency = ((1 - own) * same).sum() / same.sum().clamp(min=1)
        above = F.relu(own - config.negative_margin).square() * (1 - same)
        negative = above.sum() / (1 - same).sum().clamp(min=1)
        loss = contrastive + config.consistency_weight * consistency + config.negative_weight * negative
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        batch_anchors = int(positive.any(dim=0).sum() + positive.any(dim=1).sum())
        total += float(contrastive.detach()) * batch_anchors
        anchors += batch_anchors
    return total / max(1, anchors)


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE with the rows of (B, B) logits as anchors: the mean over those with a positive, 0 without one."""
    count = positive.sum(dim=1)
    log_softmax = F.log_softmax(logits, dim=1).masked_fill(~positive, 0)
    return -(log_softmax.sum(dim=1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


@torch.no_grad()
def _auc(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    scores, labels = [], []
    for front_images, angle_images, label, _, _ in loader:
        scores.append((_embed(model, front_images) * _embed(model, angle_images)).sum(dim=1))
        labels.append(label)
    return float(roc_auc_score(torch.cat(labels).numpy(), torch.cat(scores).numpy()))
