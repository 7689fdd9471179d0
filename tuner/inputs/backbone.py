"""The backbone that the options name."""

from __future__ import annotations

import re
from pathlib import Path

from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec
from tuner.cli.run_options import EMBEDDED, DataOptions, ModelOptions

WORDS = ("none", "pretrained")
"""What --weights can be beside a file."""


def check_blocks(trainable_blocks: int | None, blocks: int, backbone: str) -> None:
    """InputError if --trainable-blocks is more than the backbone has."""
    if trainable_blocks is not None and trainable_blocks > blocks:
        raise InputError(
            f"--trainable-blocks is {trainable_blocks}, but the backbone {backbone} has {blocks} blocks; "
            f"valid is 0 (the head only) to {blocks}, or none for all. Give such a number."
        )


def backbone_spec(
    data: DataOptions, model: ModelOptions, name: str | None = None, image_size_px: int | None = None
) -> BackboneSpec:
    """The backbone that the options name; or another one, for images of another size, with the weights that they give it.

    Raises InputError where they give it none.
    """
    size = image_size_px or data.image_size_px or (64 if data.data == EMBEDDED else 128)
    name = name or model.backbone
    return BackboneSpec(name, _path(weights_of(model, name)), size, model.input_mean, model.input_std)


def weights_of(model: ModelOptions, name: str) -> str:
    """What --weights says for this backbone: NAME=WEIGHTS of it, else what holds for all of them.

    >>> two = ModelOptions(weights="resnet18=a.pth,resnet34=pretrained")
    >>> weights_of(two, "resnet34"), weights_of(ModelOptions(), "resnet34")
    ('pretrained', 'none')
    """
    each = _by_name(model.weights)
    if each is not None:
        if name not in each:
            raise InputError(
                f"--weights {model.weights} gives none to the backbone {name}; valid is NAME=WEIGHTS for each backbone that is "
                f"tried, with commas. Add {name}=none, {name}=pretrained, or {name}=FILE."
            )
        return each[name]
    if name != model.backbone and model.weights not in WORDS:
        raise InputError(
            f"--weights {model.weights} is a file, which fits one backbone, and {name} is tried beside {model.backbone}; valid "
            "is none, pretrained, or NAME=WEIGHTS for each, with commas. Give, for example, "
            f"{model.backbone}={model.weights},{name}=none."
        )
    return model.weights


def resolved_weights(model: ModelOptions) -> str:
    """What --weights says, with the paths of files as they are understood in any folder."""
    each = _by_name(model.weights)
    if each is None:
        return _path(model.weights)
    return ",".join(f"{name}={_path(weights)}" for name, weights in each.items())


def _by_name(weights: str) -> dict[str, str] | None:
    """Of NAME=WEIGHTS,NAME=WEIGHTS; None of anything else, such as a file whose path has an equals sign."""
    if Path(weights).expanduser().exists():
        return None
    parts = [part.partition("=") for part in weights.split(",")]
    if not all(sign and given and re.fullmatch(r"[\w.]+", name) for name, sign, given in parts):
        return None
    return {name: given for name, _, given in parts}


def _path(weights: str) -> str:
    return weights if weights in WORDS else str(Path(weights).expanduser().resolve())
