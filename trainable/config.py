"""TrialConfig: every knob of one trial. InputError: a mistake of the user, told as one clear message."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from trainable.errors import InputError


@dataclass(frozen=True)
class TrialConfig:
    """One configuration, as the default run uses it; a space replaces some of the fields.

    Raises InputError for a value outside its range, on construction.
    """

    learning_rate: float = 3e-3
    """Learning rate of AdamW, above 0; that of the backbone's trained blocks is backbone_lr_ratio times as large."""
    temperature: float = 0.07
    """Temperature of the contrastive loss (InfoNCE), above 0."""
    threshold: float | None = None
    """Cosine from which on a pair counts as the same, -1 to 1; none: solved on held-out validation scores."""
    trainable_blocks: int | None = None
    """How many of the backbone's last blocks are trained; 0: the projection head only; none: all of the backbone."""
    backbone_lr_ratio: float = 1.0
    """Learning rate of the trained backbone blocks over that of the projection head, above 0 and up to 1."""

    epochs: int = 6
    """How often a trial passes over the training pairs, at least 1."""
    batch_size: int = 32
    """Pairs in a batch, at least 2; the contrastive loss is ln(batch_size) at chance."""
    weight_decay: float = 0.05
    """Decoupled weight decay of AdamW; biases and norms are not decayed."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up before the cosine decay of the learning rate."""
    consistency_weight: float = 0.1
    """Weight of the consistency loss, the mean of 1 - cosine over positive pairs."""
    negative_weight: float = 1.0
    """Weight of the negative-pair loss, the mean of relu(cosine - negative_margin)² over negative pairs."""
    negative_margin: float = 0.0
    """Cosine below which a negative pair costs nothing, -1 to 1."""
    embedding_size: int = 128
    """Width of the embeddings that the cosine compares, at least 2."""
    hidden_size: int = 256
    """Width of the projection head's hidden layer; 0: the head is linear."""
    seed: int = 0
    """Seed of the run's splits, sampler and initial weights; that of each trial follows from it."""

    def __post_init__(self) -> None:
        for name, valid, holds in _RANGES:
            value = getattr(self, name)
            if value is None and name in ("threshold", "trainable_blocks"):
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and holds(value)):
                raise InputError(
                    f"{name} is {value!r}; valid is {valid}. Change it in the space or on the command line."
                )
            if valid.startswith("a whole number"):
                object.__setattr__(self, name, int(value))  # a space may suggest 64.0, which is no layer's width

    @classmethod
    def of(cls, values: dict[str, Any]) -> TrialConfig:
        """The configuration with `values` in place of the defaults; InputError for an unknown name lists the known."""
        unknown = sorted(set(values) - set(cls.names()))
        if unknown:
            raise InputError(
                f"the configuration has no parameter {', '.join(map(repr, unknown))}; "
                f"valid parameters are: {', '.join(cls.names())}. Rename it in the space."
            )
        return cls(**values)

    @classmethod
    def names(cls) -> list[str]:
        """The names of all parameters, in their order."""
        return [field.name for field in dataclasses.fields(cls)]

    def training_key(self) -> str:
        """Hash of all that training depends on: everything except the threshold. Equal keys train identical models."""
        values = {**dataclasses.asdict(self), "threshold": None}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _loss(unit: str, meaning: str) -> Any:
    """A field that carries its unit and meaning, as the result tables and the gauges word it."""
    return dataclasses.field(metadata={"unit": unit, "meaning": meaning})


@dataclass(frozen=True)
class Losses:
    """The losses of a batch or, in a report, their means over an epoch's batches; how they are computed, and how to add one:
    `trainable.training.losses`."""

    contrastive_loss: float = _loss("nats", "InfoNCE, mean over the epoch's training batches; at least 0")
    chance_loss: float = _loss("nats", "`contrastive_loss` at chance: mean of ln(positives + negatives) an anchor")
    consistency_loss: float = _loss("", "mean of 1 - cosine over positive training pairs, 0 to 2")
    negative_loss: float = _loss("", "mean of relu(cosine - negative_margin)² over negative training pairs")
    total_loss: float = _loss("", "the weighted sum that was minimised")

    @classmethod
    def names(cls) -> list[str]:
        """The names of all losses, in their order."""
        return [field.name for field in dataclasses.fields(Losses)]


METRICS = {
    "val_accuracy": "max",
    "val_balanced_accuracy": "max",
    "val_auc": "max",
    "val_average_precision": "max",
    "val_eer": "min",
    "val_d_prime": "max",
}
"""What trials can be ranked by, and the direction that is better. No loss: its floor moves with the temperature."""


def sign(metric: str | None) -> int:
    """1 where more of the metric is better, as of one that is unknown; -1 where less is."""
    return -1 if METRICS.get(metric or "") == "min" else 1


@dataclass(frozen=True)
class Settings:
    """What all trials of a run share: how they are ranked and on what hardware they train."""

    metric: str = "val_accuracy"
    """One of METRICS."""
    threshold_is_searched: bool = False
    """True: accuracies rank at the configuration's threshold. False: at the solved one, so that no trial is ranked by a
    threshold nobody asked about."""
    device: str = "cpu"
    """torch device that a trial trains on."""
    precision: str = "fp32"
    """fp32, or bf16 or fp16 for the encoder under autocast; losses and scores are always fp32."""
    threads: int = 1
    """CPU threads of a trial; part of what makes its numbers repeatable to the bit."""
    keep_sick: bool = False
    """Train on after a fatal diagnosis. NaN ends a trial all the same: nothing can come after it."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            why = " A loss is not among them: its floor moves with the temperature." if "loss" in self.metric else ""
            raise InputError(f"metric is {self.metric!r}; valid are: {', '.join(METRICS)}.{why} Choose one of them.")


_RANGES = [
    ("learning_rate", "a number above 0", lambda v: v > 0),
    ("temperature", "a number above 0", lambda v: v > 0),
    ("threshold", "a cosine from -1 to 1", lambda v: -1 <= v <= 1),
    ("trainable_blocks", "a whole number from 0, or none for all", lambda v: v == int(v) and v >= 0),
    ("backbone_lr_ratio", "a number above 0 and up to 1", lambda v: 0 < v <= 1),
    ("epochs", "a whole number from 1", lambda v: v == int(v) and v >= 1),
    ("batch_size", "a whole number from 2", lambda v: v == int(v) and v >= 2),
    ("weight_decay", "a number from 0", lambda v: v >= 0),
    ("warmup_epochs", "a number from 0", lambda v: v >= 0),
    ("consistency_weight", "a number from 0", lambda v: v >= 0),
    ("negative_weight", "a number from 0", lambda v: v >= 0),
    ("negative_margin", "a cosine from -1 to 1", lambda v: -1 <= v <= 1),
    ("embedding_size", "a whole number from 2", lambda v: v == int(v) and v >= 2),
    ("hidden_size", "a whole number from 0", lambda v: v == int(v) and v >= 0),
    ("seed", "a whole number from 0", lambda v: v == int(v) and v >= 0),
]
