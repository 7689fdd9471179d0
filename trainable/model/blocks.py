"""Where a timm backbone can be cut: its blocks, and how to run it from one cut to another.

A backbone is a sequence: stem, block 1 .. block n, tail (final norm, pooling, pre-logits). Position 0 lies before the
stem (normalised images), position i behind block i, position n behind the tail (pooled features). Families whose blocks
compose are listed in `_FAMILIES` and run from any position to any other with exactly the operations of timm's forward;
every other model runs whole, and its blocks, timm's parameter groups, only say what is trained.

Private names of other libraries that trainable/ uses, all of them; each has a guard, which loses a nicety and not the run:

- timm's `_pos_embed` of transformers, the step between patches and blocks, for which there is no public name. Without it
  they run whole (`Family.private`): nothing of them is computed once but what a fully frozen backbone gives.
- glibc's `mallopt`, public there but no part of Python: `trainable.process` goes without where it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from timm.models.byobnet import ByobNet
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from timm.models.eva import Eva
from timm.models.mobilenetv3 import MobileNetV3
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


def _no_arguments(net: nn.Module, image_size_px: int) -> dict[str, list[Any]]:
    return {}


@dataclass(frozen=True)
class Family:
    """How to take one timm class apart: functions of the net, which hold none of its tensors, so that nets copy."""

    stem: Callable[[Any, Tensor], Tensor]
    blocks: Callable[[Any], list[list[nn.Module]]]
    """Each block is the modules that run one after the other."""
    tail: Callable[[Any, Tensor], Tensor]
    tail_modules: Callable[[Any], list[nn.Module | None]]
    """What trains with the last block: the final norm and whatever has parameters behind it."""
    arguments: Callable[[Any, int], dict[str, list[Any]]] = _no_arguments
    """Keyword arguments of every block (one value a block) that depend on the image size only."""
    private: str = "forward_features"
    """A name of timm's that `stem` needs and that another version may lack."""


def family_of(net: nn.Module) -> Family | None:
    """The family that can be cut exactly; None for any other model, subclasses with a forward of their own included."""
    for timm_class, family in _FAMILIES.items():
        own: Any = type(net)
        original: Any = timm_class
        known = isinstance(net, timm_class) and own.forward_features is original.forward_features
        if known and hasattr(net, family.private):
            return family
    return None


def is_transformer(net: nn.Module) -> bool:
    """Whether the net sees images as patches, each a token."""
    return isinstance(net, VisionTransformer | Eva)


def run(net: nn.Module, x: Tensor, start: int, stop: int, image_size_px: int) -> Tensor:
    """Run the net from one position to a later one.

    x: (B, 3, S, S) normalised images at position 0, else the activation at `start`. Returns the activation at `stop`:
    (B, N, C) tokens, (B, C, H, W) maps, or (B, F) pooled features at the last position.
    """
    family = family_of(net)
    last = len(block_parameters(net)) if family is None else len(family.blocks(net))
    if (start, stop) == (0, last):
        whole: Tensor = net(x)
        return whole
    if family is None:
        raise ValueError(f"{type(net).__name__} runs only from position 0 to {last}, not from {start} to {stop}")
    if start == 0:
        x = family.stem(net, x)
    arguments = family.arguments(net, image_size_px)
    for index, modules in enumerate(family.blocks(net)[start:stop], start):
        *first, block = modules
        for module in first:
            x = module(x)
        x = block(x, **{name: values[index] for name, values in arguments.items()})
    return family.tail(net, x) if stop == last else x


def block_parameters(net: nn.Module) -> list[frozenset[str]]:
    """The names of the parameters of every block, in order; the tail's belong to the last block, the stem's to none."""
    family = family_of(net)
    if family is None:
        return _timm_groups(net)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    blocks = family.blocks(net)
    blocks[-1] = blocks[-1] + [module for module in family.tail_modules(net) if module is not None]
    return [frozenset(names[id(p)] for module in modules for p in module.parameters()) for modules in blocks]


def _timm_groups(net: nn.Module) -> list[frozenset[str]]:
    """Blocks as timm's coarse `group_matcher` has them; the whole net as a single block where there is none."""
    everything = frozenset(name for name, _ in net.named_parameters())
    try:
        timm_net: Any = net
        matcher = timm_net.group_matcher(coarse=True)
        groups = [frozenset(names) for _, names in sorted(group_parameters(net, matcher).items())]
    except (AttributeError, AssertionError, NotImplementedError, TypeError):  # TypeError: the matcher is None
        return [everything]
    _, *blocks = groups  # the first is the stem
    if len(blocks) > 1 and isinstance(matcher, dict) and not any(_matches(matcher, name) for name in blocks[-1]):
        blocks[-2:] = [blocks[-2] | blocks[-1]]  # timm puts what it does not know, the final norm, behind all blocks
    return blocks or [everything]


def _matches(matcher: dict[str, Any], name: str) -> bool:
    patterns = [entry for entries in matcher.values() if entries for entry in _listed(entries)]
    return any(re.match(pattern, name) for pattern in patterns)


def _listed(entries: str | list[tuple[str, Any]]) -> list[str]:
    return [entries] if isinstance(entries, str) else [pattern for pattern, _ in entries]


def _vit_stem(net: VisionTransformer, x: Tensor) -> Tensor:
    tokens: Tensor = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(x))))
    return tokens


def _vit_tail(net: VisionTransformer | Eva, x: Tensor) -> Tensor:
    return net.forward_head(net.norm(x), pre_logits=True)


def _vit_tail_modules(net: VisionTransformer | Eva) -> list[nn.Module | None]:
    return [net.norm, net.attn_pool, net.fc_norm]


def _eva_stem(net: Eva, x: Tensor) -> Tensor:
    x, _ = net._pos_embed(net.patch_embed(x))
    tokens: Tensor = net.norm_pre(x)
    return tokens


def _eva_rope(net: Any, image_size_px: int) -> dict[str, list[Any]]:
    """Rotary embeddings, which timm derives from the image: from its size alone, as cached tokens come without it."""
    if net.rope is None:
        return {}
    if not net.dynamic_img_size and hasattr(net.rope, "feat_shape"):
        rope = net.rope.get_embed()
    else:
        rope = net.rope.get_embed(shape=net.patch_embed.dynamic_feat_size((image_size_px, image_size_px)))
    return {"rope": list(rope) if net.rope_mixed else [rope] * len(net.blocks)}


def _convnext_blocks(net: Any) -> list[list[nn.Module]]:
    """A stage's downsampling belongs to its first block."""
    stages = [[[block] for block in stage.blocks] for stage in net.stages]
    for stage, blocks in zip(net.stages, stages, strict=True):
        blocks[0].insert(0, stage.downsample)
    return [block for blocks in stages for block in blocks]


_FAMILIES: dict[type[nn.Module], Family] = {
    VisionTransformer: Family(
        stem=_vit_stem,
        blocks=lambda net: [[block] for block in net.blocks],
        tail=_vit_tail,
        tail_modules=_vit_tail_modules,
        private="_pos_embed",
    ),
    Eva: Family(
        stem=_eva_stem,
        blocks=lambda net: [[block] for block in net.blocks],
        tail=_vit_tail,
        tail_modules=_vit_tail_modules,
        private="_pos_embed",
        arguments=_eva_rope,
    ),
    ResNet: Family(
        stem=lambda net, x: net.maxpool(net.act1(net.bn1(net.conv1(x)))),
        blocks=lambda net: [[b] for stage in (net.layer1, net.layer2, net.layer3, net.layer4) for b in stage],
        tail=lambda net, x: net.forward_head(x, pre_logits=True),
        tail_modules=lambda net: [],
    ),
    ByobNet: Family(  # RepVGG, GENet, ResNet-A and others put together from blocks
        stem=lambda net, x: net.stem(x),
        blocks=lambda net: [[block] for stage in net.stages for block in stage],
        tail=lambda net, x: net.forward_head(net.final_conv(x), pre_logits=True),
        tail_modules=lambda net: [net.final_conv, net.head],
    ),
    ConvNeXt: Family(
        stem=lambda net, x: net.stem(x),
        blocks=_convnext_blocks,
        tail=lambda net, x: net.forward_head(net.norm_pre(x), pre_logits=True),
        tail_modules=lambda net: [net.norm_pre, net.head],
    ),
    EfficientNet: Family(  # MobileNetV2 too
        stem=lambda net, x: net.bn1(net.conv_stem(x)),
        blocks=lambda net: [[block] for stage in net.blocks for block in stage],
        tail=lambda net, x: net.forward_head(net.bn2(net.conv_head(x)), pre_logits=True),
        tail_modules=lambda net: [net.conv_head, net.bn2],
    ),
    MobileNetV3: Family(
        stem=lambda net, x: net.bn1(net.conv_stem(x)),
        blocks=lambda net: [[block] for stage in net.blocks for block in stage],
        tail=lambda net, x: net.forward_head(x, pre_logits=True),
        tail_modules=lambda net: [net.conv_head, net.norm_head],
    ),
}
