"""TrialConfig: every hyperparameter of one trial, with its default and valid range. Settings: what all trials share."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainable import columns
from trainable.columns import column
from trainable.errors import InputError
from trainable.measures import METRICS, Validation, sign

__all__ = ["MEASURED", "METRICS", "RANK_BY", "Losses", "Purpose", "Settings", "TrialConfig", "sign"]


Choice = tuple[Any, ...]
"""Values of STARTS_FROM: what a trial starts from."""


@dataclass(frozen=True)
class TrialConfig:
    """One configuration, as the default run uses it; a space replaces some of the fields.

    Raises InputError for a value outside its range, on construction.
    """

    learning_rate: float = column("AdamW's learning rate of the projection head", default=3e-3, above=0)
    temperature: float = column("temperature of the contrastive loss (InfoNCE)", default=0.07, above=0)
    temperature_lr_ratio: float = column(
        "learning rate of the temperature's logarithm over that of the projection head, as CLIP's; 0: it stays as it is",
        default=0.0,
        low=0,
    )
    threshold: float | None = column(
        "cosine at and above which a pair counts as the same",
        "cosine",
        default=None,
        low=-1,
        high=1,
        none="the one that is solved on validation scores",
    )
    trainable_blocks: int | None = column(
        "how many of the backbone's last blocks are trained; 0: the projection head only",
        "blocks",
        default=None,
        low=0,
        whole=True,
        none="all of them",
    )
    backbone_lr_ratio: float = column(
        "learning rate of the trained backbone blocks over that of the projection head", default=1.0, above=0, high=1
    )

    epochs: int = column(
        "how often a trial may pass over the training pairs", "epochs", default=6, low=1, stored_as="max_epochs"
    )
    batch_size: int = column(
        "pairs in a batch; at chance the contrastive loss is its logarithm", "pairs", default=32, low=2
    )
    weight_decay: float = column(
        "AdamW's decoupled weight decay; biases and norms are not decayed", default=0.05, low=0
    )
    warmup_epochs: float = column(
        "linear warm-up of the learning rate, before its cosine decay", "epochs", default=1.0, low=0
    )
    consistency_weight: float = column(
        "weight of the consistency loss in the total loss",
        default=0.1,
        low=0,
    )
    negative_weight: float = column(
        "weight of the negative-pair loss in the total loss",
        default=1.0,
        low=0,
    )
    negative_margin: float = column(
        "cosine below which a negative pair costs nothing", "cosine", default=0.0, low=-1, high=1
    )
    label_smoothing: float = column(
        "share of each anchor's target that is spread evenly over all pairs of the batch", default=0.0, low=0, high=0.9
    )
    layer_decay: float = column(
        "factor on the learning rate from each trained backbone block to the one before it",
        default=1.0,
        above=0,
        high=1,
    )
    embedding_size: int = column("width of the embeddings that the cosine compares", default=128, low=2)
    hidden_size: int = column("width of the projection head's hidden layer; 0: the head is linear", default=256, low=0)
    # What a trial starts from: for all trials the run says it, in options of these names; a space may choose.
    backbone: str | None = column(
        "timm's name of the backbone", default=None, text="a model name of timm", none="the run's", option=False
    )
    image_size_px: int | None = column(
        "edge of the square images", "px", default=None, low=8, high=4096, whole=True, none="the run's", option=False
    )
    views: int | None = column(
        "views of each image that training draws from, the plain one included",
        default=None,
        low=1,
        high=1000,
        whole=True,
        none="the run's",
        option=False,
    )
    view_strength: float | None = column(
        "how far augmented views are from the plain image, over the usual distance",
        default=None,
        above=0,
        high=3,
        none="1",
    )
    seed: int = column(
        "seed of the run's splits, sampler and trials; a trial's own one is that of its first weights and batches",
        default=0,
        low=0,
    )

    def __post_init__(self) -> None:
        for name, said in columns.of(TrialConfig).items():
            object.__setattr__(self, name, said.checked(getattr(self, name)))

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

    @property
    def start(self) -> Choice:
        """What it starts from: the values of STARTS_FROM."""
        return tuple(getattr(self, name) for name in STARTS_FROM)

    def training_key(self) -> str:
        """Hash of all that training depends on: everything except the threshold. Equal keys train identical models.

        A parameter that came after the first release counts only where it is not at its default: what an older program
        trained keeps its key, and so its seed.
        """
        values = {**dataclasses.asdict(self), "threshold": None}
        values = {name: v for name, v in values.items() if name in _FIRST or v != _DEFAULTS[name]}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


_FIRST = frozenset(
    (
        *("learning_rate", "temperature", "threshold", "trainable_blocks", "backbone_lr_ratio", "epochs", "batch_size"),
        *("weight_decay", "warmup_epochs", "consistency_weight", "negative_weight", "negative_margin"),
        *("embedding_size", "hidden_size", "seed"),
    )
)
"""The parameters of the first release; no later one is to be added here."""
STARTS_FROM = ("backbone", "image_size_px", "views", "view_strength")
"""The parameters that say what a trial starts from, which is made before any trial, once for each choice."""
OWN: Choice = (None,) * len(STARTS_FROM)
"""The choice of a configuration that leaves all of it to the run."""
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrialConfig)}


def idle(name: str, values: Mapping[str, Any]) -> bool:
    """Whether the parameter does nothing beside these values, of a configuration or a row of `trials`: the backbone's
    learning rate where none of its blocks is trained, the strength of views where there are none."""
    if name == "backbone_lr_ratio":
        return bool(values["trainable_blocks"] == 0)
    return name == "view_strength" and values[name] is None


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The losses of a batch or, in a report, their means over an epoch's batches; how they are computed, and how to add one:
    `trainable.training.losses`."""

    contrastive_loss: float = column("InfoNCE, mean over the epoch's training batches; at least 0", "nats")
    chance_loss: float = column("`contrastive_loss` at chance: mean of ln(positives + negatives) an anchor", "nats")
    consistency_loss: float = column("mean of 1 - cosine over positive training pairs, 0 to 2")
    negative_loss: float = column("mean of relu(cosine - negative_margin)² over negative training pairs")
    total_loss: float = column("the weighted sum that was minimised")
    loss_temperature: float = column("temperature of the contrastive loss: `temperature`, or what was learnt from it")

    @classmethod
    def names(cls) -> list[str]:
        """The names of all losses, in their order."""
        return [field.name for field in dataclasses.fields(Losses)]


MEASURED = columns.of(Validation) | columns.of(Losses)
"""What is said of the numbers that a trial is judged by: those that both `trials` and `epochs` hold."""


RANK_BY = ("last", "best")
"""Which epoch a trial is ranked by. The best of many noisy epochs promises more than it keeps; it was the rule of the first
release."""


@dataclass(frozen=True)
class Purpose:
    """What a threshold is solved for."""

    kind: str = "accuracy"
    """accuracy, eer, far or cost."""
    far: float = 0.0
    """Of far: the largest share of negative pairs that may be accepted."""
    miss: float = 1.0
    """Of cost: what it costs to reject a positive pair."""
    false_accept: float = 1.0
    """Of cost: what it costs to accept a negative pair."""

    @classmethod
    def of(cls, text: str) -> Purpose:
        """Of accuracy, eer, far=RATE or cost=FN:FP; InputError for anything else.

        >>> Purpose.of("far=1e-3").far, Purpose.of("cost=5:1").miss
        (0.001, 5.0)
        """
        kind, _, given = text.partition("=")
        with contextlib.suppress(ValueError):
            if text in ("accuracy", "eer"):
                return cls(text)
            if kind == "far" and 0 < float(given) < 1:
                return cls("far", far=float(given))
            miss, false_accept = map(float, given.split(":"))
            if kind == "cost" and min(miss, false_accept) > 0 and math.isfinite(miss + false_accept):
                return cls("cost", miss=miss, false_accept=false_accept)
        raise InputError(
            f"--threshold-for is {text!r}; valid are accuracy, eer (equal error rates), far=RATE (a false accept rate above 0 "
            "and below 1, as far=1e-3) and cost=FN:FP (what a miss and a false accept cost, as cost=5:1). Give one of these."
        )

    def __str__(self) -> str:
        given = {"far": f"={self.far:g}", "cost": f"={self.miss:g}:{self.false_accept:g}"}
        return self.kind + given.get(self.kind, "")

    @property
    def negatives_needed(self) -> int:
        """So many negative pairs must there be: with fewer a rate so low cannot be seen."""
        return math.ceil(1 / self.far - 1e-9) if self.kind == "far" else 1

    def check(self, negatives: int) -> None:
        """InputError if there are too few negative pairs to solve it on."""
        if negatives < self.negatives_needed:
            raise InputError(
                f"--threshold-for far={self.far:g} needs {self.negatives_needed:,} negative validation pairs, of which one may "
                f"be accepted, and there are {negatives:,}; valid is a rate from {1 / max(negatives, 1):.2g}. Give a higher "
                "one, or more negative pairs."
            )


@dataclass(frozen=True)
class Settings:
    """What all trials of a run share: how they are ranked and on what hardware they train."""

    metric: str = "val_auc"
    """One of METRICS."""
    rank_by: str = "last"
    """One of RANK_BY: the epoch whose metric, weights and threshold are the trial's."""
    threshold_is_searched: bool = False
    threshold_is_favoured: bool = False
    """The configuration's threshold was solved on these validation scores: it is judged at cross-fitted ones."""
    """True: accuracies rank at the configuration's threshold. False: at the solved one, so that no trial is ranked by a
    threshold nobody asked about."""
    device: str = "cpu"
    """torch device that a trial trains on."""
    precision: str = "fp32"
    """fp32, or bf16 or fp16 for the encoder under autocast; losses and scores are always fp32."""
    threads: int = 1
    """CPU threads of a trial; part of what makes its numbers repeatable to the bit."""
    measure_image: bool = False
    """Measure how long an image takes, once a trial."""
    keep_sick: bool = False
    """Train on after a fatal diagnosis. NaN ends a trial all the same: nothing can come after it."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            why = " A loss is not among them: its floor moves with the temperature." if "loss" in self.metric else ""
            raise InputError(f"metric is {self.metric!r}; valid are: {', '.join(METRICS)}.{why} Choose one of them.")
        if self.rank_by not in RANK_BY:
            raise InputError(f"rank_by is {self.rank_by!r}; valid are: {', '.join(RANK_BY)}. Choose one of them.")
