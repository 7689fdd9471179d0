"""The backbone that the options name."""

from __future__ import annotations

from pathlib import Path

from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec
from tuner.cli.run_options import DataOptions, ModelOptions
from tuner.inputs.dataset import EMBEDDED


def check_blocks(trainable_blocks: int | None, blocks: int, backbone: str) -> None:
    """InputError if --trainable-blocks is more than the backbone has."""
    if trainable_blocks is not None and trainable_blocks > blocks:
        raise InputError(
            f"--trainable-blocks is {trainable_blocks}, but the backbone {backbone} has {blocks} blocks; "
            f"valid is 0 (the head only) to {blocks}, or none for all. Give such a number."
        )


def backbone_spec(data: DataOptions, model: ModelOptions) -> BackboneSpec:
    """The backbone that the options name."""
    size = data.image_size_px or (64 if data.data == EMBEDDED else 128)
    weights = model.weights
    if weights not in ("none", "pretrained"):
        weights = str(Path(weights).expanduser().resolve())
    return BackboneSpec(model.backbone, weights, size, model.input_mean, model.input_std)
