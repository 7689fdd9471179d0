"""What can go wrong with a training, done to otherwise healthy ones: one fault each, and what it must be called.

A fault changes the table, the pixels, the configuration or the training; the product has no switch for any of them. The
right names were written down before the faults were first run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it

from trainable.data.pairs import PairTable
from trainable.data.splits import connected
from trainable.training.loop import Training
from trainable.training.losses import BatchLoss, Targets

SIDES = ("front", "angle")
IDENTITIES = ["front_identity", "angle_identity"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and the name that it must be found under."""

    name: str
    right: str
    """A diagnosis of the trial, or, where it can be seen before training, a check of the data."""
    config: dict[str, Any] = field(default_factory=dict)
    """Of the TrialConfig, where it is not the default."""
    rows: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    """Of the pair table's rows, before they are read."""
    pixels: Callable[[np.ndarray, PairTable], np.ndarray] = lambda pixels, table: pixels
    """Of the decoded images, (m, S, S, 3) uint8, in more views where it gives a multiple of them."""
    trial: type[Training] = Training


# Losses and metrics


class BrokenLoss(Training):
    """The broken run's loss, mean of -log(exp(s / tau) + 1e-8) over positive pairs."""

    def _loss(self, front: Tensor, angle: Tensor, targets: Targets) -> BatchLoss:
        config, loss = self.config, super()._loss(front, angle, targets)
        scores = (front * angle).sum(dim=1)
        broken = -torch.log(torch.exp(scores / config.temperature) + 1e-8)[targets.same > 0].mean()
        consistency = (1 - scores) @ targets.same
        negative = torch.relu(scores - config.negative_margin).square() @ targets.other
        total = broken + config.consistency_weight * consistency + config.negative_weight * negative
        parts = loss.parts | {"contrastive_loss": broken.detach(), "total_loss": total.detach()}
        return BatchLoss(total, parts)


class DiagonalPositives(Training):
    """InfoNCE with every pair's own cell as its positive, whatever its label, and no term for negative pairs."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.batches.targets = _diagonal_targets


def _diagonal_targets(labels: Tensor, front_identity: Tensor, angle_identity: Tensor) -> Targets:
    right, nobody = (
        Targets.of(pairs, *[torch.full_like(labels, -1)] * 2) for pairs in (labels, torch.ones_like(labels))
    )
    return nobody._replace(same=right.same, other=torch.zeros_like(right.other))


class ArgmaxAccuracy(Training):
    """Accuracy as the broken run had it: how often the best match's place among all equals a pair's label."""

    def _validate(self) -> dict[str, Any]:
        rows = self.data.rows("val")
        _, embeddings = self.score(rows)
        images = np.unique(np.concatenate([self.data.front[rows], self.data.angle[rows]]))
        front, angle = (embeddings[np.searchsorted(images, getattr(self.data, side)[rows])] for side in SIDES)
        guessed = (front @ angle.T).argmax(dim=1).cpu().numpy()
        wrong = float((guessed == self.data.pair_label[rows]).mean())
        return super()._validate() | {"val_accuracy": wrong, "val_accuracy_solved": wrong}


class HalfPrecisionScores(Training):
    """Cosines of validation pairs computed in fp16."""

    def score(self, rows: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """As Training's, rounded as fp16 rounds."""
        scores, embeddings = super().score(rows)
        return scores.astype(np.float16).astype(np.float32), embeddings


# Models


class ConstantEncoder(Training):
    """A head whose output hardly depends on the image."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.encoder.head.register_forward_hook(lambda head, given, out: 1 + 1e-6 * out)


class OneDirection(Training):
    """Features that are normalised, moved far in one direction, and normalised again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.encoder.head.register_forward_hook(lambda head, given, out: F.normalize(out, dim=1) + 3)


class MovingNorms(Training):
    """Frozen BatchNorm in train mode: `.train()` undoes the `.eval()` of frozen parts."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.encoder._frozen_modules = ()


class ForgottenHead(Training):
    """A head whose parameters the optimiser was not given."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        groups = self.optimizer.param_groups
        groups[:] = [group for group in groups if group["name"].startswith("backbone")]
        self._peak_lrs = [group["lr"] for group in groups]


class NanImage(Training):
    """One training image that is NaN."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        backbone, normalised = self.encoder.backbone, self.encoder.backbone.normalised
        marked = torch.from_numpy(np.array(self.data.pixels[self.data.front[self.data.rows("train")[0]]]))

        def with_nan(pixels: Tensor) -> Tensor:
            found = normalised(pixels)
            found[(pixels == marked).flatten(1).all(dim=1)] = torch.nan
            return found

        backbone.normalised = with_nan


# Data


def shuffled_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Labels at random, within each split; of rows that stand there twice one, or it would contradict the other."""
    rows = rows.drop_duplicates([*SIDES])
    return rows.assign(
        pair_label=rows.groupby("split").pair_label.transform(lambda x: x.sample(frac=1, random_state=0).values)
    )


def inverted_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """1 for different things, 0 for the same."""
    return rows.assign(pair_label=1 - rows.pair_label)


def without_identities(rows: pd.DataFrame) -> pd.DataFrame:
    """A table that says no more than its labels do, without the few pairs that would contradict the others' labels."""
    images = pd.factorize(np.concatenate([rows.front, rows.angle]))[0]
    front, angle = images[: len(rows)], images[len(rows) :]
    same = (rows.pair_label == 1).to_numpy()
    thing = connected(front[same], angle[same], images.max() + 1)
    return rows[same | (thing[front] != thing[angle])].drop(columns=IDENTITIES)


def shared_identities(rows: pd.DataFrame) -> pd.DataFrame:
    """A tenth of the validation pairs moved to the training split."""
    moved = rows[rows.split == "val"].sample(frac=0.1, random_state=0).index
    return rows.assign(split=rows.split.where(~rows.index.isin(moved), "train"))


def copied(pixels: np.ndarray, table: PairTable) -> np.ndarray:
    """A tenth of the training images replaced by copies of another identity's: a placeholder."""
    found, images = pixels.copy(), np.unique(table.front[table.rows("train")])
    found[images[: len(images) // 10]] = found[images[-1]]
    return found


def imbalanced(rows: pd.DataFrame) -> pd.DataFrame:
    """Twenty negative pairs for each positive one, in every split."""
    positive = rows[rows.pair_label == 1]
    kept = [part.sample(n=max(2, len(part) // 20), random_state=0) for _, part in positive.groupby("split")]
    return pd.concat([rows[rows.pair_label == 0], *kept]).sort_index()


def all_the_same(pixels: np.ndarray, table: PairTable) -> np.ndarray:
    """Every file holds the first image."""
    return np.broadcast_to(pixels[:1], pixels.shape).copy()


def wiped(pixels: np.ndarray, table: PairTable) -> np.ndarray:
    """Three augmented views of each image of which only the mean colour is left."""
    colour = pixels.mean(axis=(1, 2), keepdims=True).astype(np.uint8)
    return np.concatenate([pixels, *[np.broadcast_to(colour, pixels.shape)] * 3])


FAULTS = (
    Fault("the broken loss", "broken-contrastive-formula", trial=BrokenLoss),
    Fault("a constant encoder", "total-collapse", trial=ConstantEncoder),
    Fault("features over-normalised to one direction", "total-collapse", trial=OneDirection),
    Fault("learning rate far too high (3)", "update-too-large", {"learning_rate": 3.0}),
    Fault("learning rate far too low (1e-7)", "update-too-small", {"learning_rate": 1e-7}),
    Fault("temperature 1e-4", "temperature-too-low", {"temperature": 1e-4}),
    Fault("temperature 100", "temperature-too-high", {"temperature": 100.0}),
    Fault("a frozen BatchNorm in train mode", "frozen-part-moved", {"trainable_blocks": 1}, trial=MovingNorms),
    Fault("a head left out of the optimiser", "trained-part-did-not-move", trial=ForgottenHead),
    Fault("labels shuffled", "labels fit identities", rows=shuffled_labels),
    Fault("labels shuffled, where no identity contradicts them", "labels-at-random",
          rows=lambda rows: without_identities(shuffled_labels(rows))),
    Fault("labels inverted", "labels fit identities", rows=inverted_labels),
    Fault("labels inverted, where no identity contradicts them", "inverted-separation",
          rows=lambda rows: without_identities(inverted_labels(rows))),
    Fault("the diagonal positive for pairs of label 0", "negatives-pulled-together", {"negative_weight": 0.0},
          trial=DiagonalPositives),
    Fault("accuracy by argmax", "accuracy-contradicts-scores", trial=ArgmaxAccuracy),
    Fault("all images identical", "variety of images", pixels=all_the_same),
    Fault("augmentation that wipes the image", "augmentation", pixels=wiped),
    Fault("a NaN image", "not-finite", trial=NanImage),
    Fault("identities in two splits", "an identity in one split only", rows=shared_identities),
    Fault("duplicates", "exact copies", pixels=copied),
    Fault("20 pairs of label 0 for each of label 1", "label balance", rows=imbalanced),
    Fault("a threshold above all scores", "threshold-out-of-place", {"threshold": 1.0}),
    Fault("fp16 cosine ties", "precision-artefact", trial=HalfPrecisionScores),
)  # fmt: skip
"""All of them, in the order of the table."""
