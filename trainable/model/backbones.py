"""Backbones from timm: created by name, with random, published or own weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from trainable.errors import InputError, nearest
from trainable.model import blocks, weights
from trainable.model.backbone import Backbone, Triple, seeded

# How timm and torch refuse arguments, sizes and inputs: by assertion, by error, or by stumbling over the consequence.
_REFUSALS = (AssertionError, RuntimeError, TypeError, ValueError, ArithmeticError, LookupError)


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, for which images."""

    name: str
    """Any model name that timm knows, with or without the tag of its weights."""
    weights: str = "none"
    """none (random), pretrained (published, by a network or timm's cache), or the path of a weights file."""
    image_size_px: int = 64
    """Width and height of the images it gets."""
    mean: Triple | None = None
    """Mean of the input's channels on the scale of 0 to 1; None: as timm has it for this name."""
    std: Triple | None = None
    """Standard deviation of the input's channels; None: as timm has it for this name."""


def create_backbone(spec: BackboneSpec, *, seed: int = 0, **overrides: Any) -> Backbone:
    """The backbone, in eval mode and channels-last memory format: convolutions on a CPU are 2 to 5 times faster in it.

    seed: of the random initial weights; the global random state is left alone. overrides: arguments of the timm model.
    Raises InputError for an unknown name, weights that cannot be had or do not fit, or images of the wrong size.

    >>> from trainable.model.backbone import block_count
    >>> backbone = create_backbone(BackboneSpec("test_byobnet", image_size_px=32))
    >>> backbone.feature_size, block_count(backbone)
    (256, 4)
    """
    check_name(spec.name)
    arguments = model_arguments(spec) | overrides
    with seeded(seed):
        net, note = _created(spec, arguments)
    net = net.eval().to(memory_format=torch.channels_last)
    known: Any = net.pretrained_cfg  # timm writes it into every model; torch's types know nothing of it
    mean, std = (_channels(spec, field, known) for field in ("mean", "std"))
    backbone = Backbone(net, spec.image_size_px, _feature_size(net, spec), mean, std)
    backbone.note = note
    return backbone


def check_name(name: str) -> None:
    """InputError with the near names, or near tags of weights, unless timm knows the model."""
    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        near = nearest(model, timm.list_models())
        hint = f"near names are: {near}" if near else "timm.list_models() lists all"
        raise InputError(f"there is no backbone {name!r}; valid is any model name of timm; {hint}.")
    tags = [known.partition(".")[2] for known in timm.list_models(f"{model}.*", pretrained=True)]
    if tag and tag not in tags:
        raise InputError(
            f"the backbone {model!r} has no weights tagged {tag!r}; valid tags are: {', '.join(tags) or 'none'}. "
            f"Without a tag, {model!r} takes timm's default."
        )


def model_arguments(spec: BackboneSpec) -> dict[str, int]:
    """What timm builds the model from: no classifier, and img_size where it is built for one size (others take any)."""
    cfg: Any = timm.get_pretrained_cfg(spec.name)  # known: the name was checked
    fixed = cfg.fixed_input_size
    return {"num_classes": 0, **({"img_size": spec.image_size_px} if fixed else {})}


def _created(spec: BackboneSpec, arguments: dict[str, Any]) -> tuple[nn.Module, str]:
    """The net, and what to say of its weights."""
    if spec.weights == "none":
        return _random(spec, arguments), ""
    published = spec.weights == "pretrained"
    loading = weights.from_hub(spec.name) if published else _from_file(spec, arguments)
    try:
        net = timm.create_model(spec.name, pretrained=True, pretrained_cfg_overlay=loading.overlay, **arguments)
    except (*_REFUSALS, OSError) as error:
        plain = _random(spec, arguments)  # raises, and says so, where the size is to blame and not the weights
        raise InputError(loading.complaint(plain, error)) from error
    known: Any = net.pretrained_cfg
    known.pop("state_dict", None)  # timm keeps a copy of all weights there
    return net, loading.note


def _from_file(spec: BackboneSpec, arguments: dict[str, Any]) -> weights.Loading:
    with torch.device("meta"):  # its names alone are needed: no memory, no random numbers
        names = _random(spec, arguments).state_dict().keys()
    return weights.from_file(spec.name, spec.weights, names)


def _random(spec: BackboneSpec, arguments: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(spec.name, pretrained=False, **arguments)
    except _REFUSALS as error:
        raise InputError(_size_complaint(spec, error)) from error


def _size_complaint(spec: BackboneSpec, error: Exception) -> str:
    cfg: Any = timm.get_pretrained_cfg(spec.name)
    (_, own_px, _) = cfg.input_size
    return (
        f"the backbone {spec.name!r} cannot take images of {spec.image_size_px} px ({type(error).__name__}: {error}). "
        f"It was made for {own_px} px: change image_size_px, or take another backbone."
    )


def _channels(spec: BackboneSpec, field: str, pretrained_cfg: dict[str, Any]) -> Triple:
    """The mean or std that is asked for, else timm's own."""
    values = getattr(spec, field)
    if values is None:
        values = pretrained_cfg[field]
    if len(values) != 3 or (field == "std" and min(values) <= 0):
        above = " above 0" if field == "std" else ""
        raise InputError(f"the input's {field} is {tuple(values)!r}; valid are 3 numbers{above}: red, green, blue.")
    red, green, blue = map(float, values)
    return red, green, blue


@torch.no_grad()
def _feature_size(net: nn.Module, spec: BackboneSpec) -> int:
    """Width F of the pooled features, by running one black image: what timm declares is not always what comes out."""
    _check_patches(net, spec)
    try:
        features = net(torch.zeros(1, 3, spec.image_size_px, spec.image_size_px))
    except _REFUSALS as error:
        raise InputError(_size_complaint(spec, error)) from error
    if not (isinstance(features, Tensor) and features.ndim == 2):
        raise InputError(f"the backbone {spec.name!r} gives no pooled features, one vector an image; take another.")
    return features.shape[1]


def _check_patches(net: nn.Module, spec: BackboneSpec) -> None:
    """timm's transformers of a fixed size ignore, without a word, the pixels that fill no whole patch."""
    embed: Any = getattr(net, "patch_embed", None)
    if not blocks.is_transformer(net) or not hasattr(embed, "patch_size") or getattr(embed, "dynamic_img_pad", False):
        return
    size_px, patch_px = spec.image_size_px, embed.patch_size[0]
    if size_px % patch_px:
        near = sorted({max(patch_px, size_px // patch_px * patch_px), (size_px // patch_px + 1) * patch_px})
        raise InputError(
            f"the backbone {spec.name!r} sees patches of {patch_px} px, which do not fill images of {size_px} px; "
            f"valid image_size_px are multiples of {patch_px}, the nearest: {' or '.join(map(str, near))}."
        )
