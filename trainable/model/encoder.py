"""PairEncoder: a timm backbone cut into a frozen prefix and a trainable suffix, with a projection head.

`trainable_blocks` = k says where it is cut. 0: the backbone is frozen, its final norm included, and only the head is
trained. 1 .. n-1: the last k blocks and the tail (the final norm, and what has parameters behind it) are trained. n, or
None: all of the backbone, its stem included.

What keeps the prefix a constant of the search, so that its output can be computed once: its parameters take no
gradient and are in no parameter group; its modules stay in eval mode through every `.train()`, so that BatchNorm
neither uses nor moves batch statistics, and dropout and stochastic depth are off; its tensors are in no trial's
checkpoint. A frozen BatchNorm without running statistics would still mix the images of a batch: then nothing is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it

from trainable.config import TrialConfig
from trainable.model.backbone import Backbone, block_count, resolve_trainable_blocks, seeded

NORM_EPSILON = 1e-6
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

IMAGES_AT_ONCE = 32
"""Size of the batches that frozen parts run on, whatever the size of the batch asked for. Matrix products round
differently in batches of different sizes; only so does an image have one activation, cached or not, in any company.
"""


class PairEncoder(nn.Module):
    """Pixels to an L2-normalised embedding. `suffix(prefix(pixels))`, the prefix's output being what can be cached.

    trainable_blocks: how many blocks train, n for None. The backbone becomes part of the encoder, frozen in place.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, trainable_blocks: int | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.trainable_blocks = resolve_trainable_blocks(backbone, trainable_blocks)
        self._trainable = self._trainable_names()
        only_head = self.trainable_blocks == 0  # then the hundreds of modules of the backbone need not be asked
        self._frozen_modules = tuple(backbone.modules() if only_head else _frozen_modules(self, self._trainable))
        self._starts_at_cut = self.can_start_at(self.trainable_blocks)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in self._trainable)
        self.train()

    @property
    def frozen_is_constant(self) -> bool:
        """Whether the frozen part maps an image to the same activation, whatever else is in its batch."""
        return not any(isinstance(m, _BATCH_NORMS) and m.running_mean is None for m in self._frozen_modules)

    @property
    def cut_is_cacheable(self) -> bool:
        """Whether the prefix does work worth storing; if not, it passes pixels on, and the suffix starts from them."""
        return self._starts_at_cut

    def prefix(self, pixels: Tensor) -> Tensor:
        """The activation at the cut, without a gradient.

        pixels: (B, S, S, 3) uint8. Returns, contiguous, (B, F) features for a frozen backbone, (B, N, C) tokens or
        (B, H, W, C) maps for a partly frozen one, the pixels themselves where `cut_is_cacheable` is false.
        """
        return self.activations(pixels, [self.trainable_blocks])[self.trainable_blocks]

    @torch.no_grad()
    def activations(self, pixels: Tensor, cuts: Iterable[int]) -> dict[int, Tensor]:
        """What `prefix` gives at several cuts, in one pass.

        cuts: values of trainable_blocks, none below the encoder's own: what is trained here is not the same elsewhere.
        """
        cuts = sorted(set(cuts), reverse=True)
        if cuts and cuts[-1] < self.trainable_blocks:
            raise ValueError(f"cut {cuts[-1]} lies in what trains when trainable_blocks is {self.trainable_blocks}")
        reached = [cut for cut in cuts if self.can_start_at(cut)]
        parts = [self._run_to(reached, part) for part in pixels.split(IMAGES_AT_ONCE)] if reached else []
        found = dict.fromkeys(cuts, pixels)
        for cut in reached:
            found[cut] = parts[0].pop(cut) if len(parts) == 1 else torch.cat([part.pop(cut) for part in parts])
        return found

    def suffix(self, activation: Tensor) -> Tensor:
        """activation: what `prefix` returned. Returns (B, E) float32 of length 1, under autocast too."""
        if self.cut_is_cacheable:
            start, x = block_count(self.backbone) - self.trainable_blocks, _restored(activation)
        else:
            start, x = 0, self.backbone.normalised(activation)
        features = self.backbone.run(x, start, block_count(self.backbone))
        return F.normalize(self.head(features).float(), dim=1, eps=NORM_EPSILON)

    @torch.no_grad()
    def advance(self, activation: Tensor, cut: int) -> Tensor:
        """From what `activations` gives at a shallower cut (above `trainable_blocks`) to what `prefix` gives."""
        if cut == self.trainable_blocks:
            return activation
        position, stop = (block_count(self.backbone) - at for at in (cut, self.trainable_blocks))
        parts = []
        for part in activation.split(IMAGES_AT_ONCE):
            filled = torch.cat([part, part.new_zeros(IMAGES_AT_ONCE - len(part), *part.shape[1:])])
            parts.append(_stored(self.backbone.run(_restored(filled), position, stop))[: len(part)])
        return torch.cat(parts)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8. Returns (B, E) float32 embeddings of length 1."""
        return self.suffix(self.prefix(pixels))

    def train(self, mode: bool = True) -> PairEncoder:
        """Train mode for the trained part only."""
        if self.trainable_blocks == 0 and not self.backbone.training:  # hundreds of modules, all of them frozen
            self.training = mode
            self.head.train(mode)
            return self
        super().train(mode)
        for module in self._frozen_modules:
            module.training = False
        return self

    def parameter_groups(
        self, learning_rate: float, backbone_lr_ratio: float, weight_decay: float, layer_decay: float = 1.0
    ) -> list[dict[str, Any]]:
        """Every trained parameter once, in the groups head, head_no_decay, backbone and backbone_no_decay, none empty.

        Each has its own `lr` and `weight_decay`: a scale that only some schedulers apply would silently do nothing.
        layer_decay: the last block's rate times this is that of the one before it, and so on to the stem; below 1 each block
        has groups of its own, backbone.00 the last.
        """
        depths = self._depths() if layer_decay < 1 else {}
        members: dict[str, list[nn.Parameter]] = {}
        undecayed = {f"backbone.net.{name}" for name in getattr(self.backbone.net, "no_weight_decay", set)()}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                decays = parameter.ndim > 1 and not name.endswith(".bias") and name not in undecayed
                depth = f".{depths[name]:02d}" if name in depths else ""
                group = name.partition(".")[0] + depth + ("" if decays else "_no_decay")
                members.setdefault(group, []).append(parameter)
        return [
            {
                "name": group,
                "params": members[group],
                "lr": learning_rate
                * (backbone_lr_ratio if group.startswith("backbone") else 1.0)
                * layer_decay ** int("0" + group.removesuffix("_no_decay").partition(".")[2]),
                "weight_decay": 0.0 if group.endswith("no_decay") else weight_decay,
            }
            for group in sorted(members, reverse=True)
        ]

    def _depths(self) -> dict[str, int]:
        """How many blocks lie behind each parameter's own; the stem lies before all of them."""
        blocks, net = self.backbone.block_parameters, self.backbone.net
        found = {f"backbone.net.{name}": len(blocks) for name, _ in net.named_parameters()}
        for place, names in enumerate(blocks):
            found |= {f"backbone.net.{name}": len(blocks) - 1 - place for name in names}
        return found

    def trainable_state(self) -> dict[str, Tensor]:
        """Copies of all that training can change: trained parameters, and buffers of trained modules."""
        return {name: tensor.detach().clone() for name, tensor in self._changing().items()}

    def frozen_state(self) -> dict[str, Tensor]:
        """The tensors, not copies, that training must not change: everything that is not in `trainable_state`."""
        return self._split_state()[False]

    @torch.no_grad()
    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Put a `trainable_state` back, into the same tensors, which an optimiser may hold.

        Raises ValueError if it is of an encoder of another shape or cut.
        """
        own = self._changing()
        odd = sorted(own.keys() ^ state.keys()) or sorted(k for k in own if own[k].shape != state[k].shape)
        if odd:
            raise ValueError(f"the state is of another encoder or another cut: {len(odd)} tensors differ, as {odd[:3]}")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _run_to(self, cuts: list[int], pixels: Tensor) -> dict[int, Tensor]:
        """The activations of up to IMAGES_AT_ONCE images at cuts in descending order; black images fill the batch."""
        size, count, position, found = len(pixels), block_count(self.backbone), 0, {}
        x = self.backbone.normalised(F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, IMAGES_AT_ONCE - size)))
        for cut in cuts:
            x, position = self.backbone.run(x, position, count - cut), count - cut
            found[cut] = _stored(x)[:size]
        return found

    def _trainable_names(self) -> frozenset[str]:
        """Parameters that train: the head's, and those timm trains in the last blocks, or everywhere."""
        parameters, count = self.backbone.block_parameters, block_count(self.backbone)
        trained = frozenset().union(*parameters[count - self.trainable_blocks :])
        if self.trainable_blocks == count:
            trained = frozenset(name for name, _ in self.backbone.net.named_parameters())
        head = (f"head.{name}" for name, _ in self.head.named_parameters())
        return frozenset(head) | {f"backbone.net.{name}" for name in trained & self.backbone.learnable}

    def can_start_at(self, cut: int) -> bool:
        """Whether the prefix of this cut ends there, or must leave the pixels as they are."""
        return cut < block_count(self.backbone) and self.frozen_is_constant and (cut == 0 or self.backbone.can_be_cut)

    def _changing(self) -> dict[str, Tensor]:
        """The tensors, not copies, that training can change."""
        if self.trainable_blocks == 0:  # every epoch may ask
            return {f"head.{name}": tensor for name, tensor in self.head.state_dict(keep_vars=True).items()}
        return self._split_state()[True]

    def _split_state(self) -> dict[bool, dict[str, Tensor]]:
        frozen = {id(module) for module in self._frozen_modules}
        modules = dict(self.named_modules(remove_duplicate=False))
        parameters = dict(self.named_parameters())
        split: dict[bool, dict[str, Tensor]] = {True: {}, False: {}}
        for name, tensor in self.state_dict(keep_vars=True).items():
            owner = modules[name.rpartition(".")[0]]
            changes = name in self._trainable if name in parameters else id(owner) not in frozen
            split[changes][name] = tensor
        return split


def projection_head(feature_size: int, config: TrialConfig) -> nn.Module:
    """(B, F) features to (B, E), from `config.seed`: an MLP, or one linear layer where hidden_size is 0.

    Its norm is a LayerNorm: BatchNorm would make the embedding of one image depend on the others in its batch.
    """
    hidden_size, embedding_size = int(config.hidden_size), int(config.embedding_size)
    with seeded(int(config.seed)):
        if hidden_size == 0:
            return nn.Linear(feature_size, embedding_size)
        hidden = [nn.Linear(feature_size, hidden_size), nn.LayerNorm(hidden_size), nn.GELU()]
        return nn.Sequential(*hidden, nn.Linear(hidden_size, embedding_size))


def _frozen_modules(root: nn.Module, trainable: frozenset[str]) -> Iterator[nn.Module]:
    """The modules that stay in eval mode: those without a trained parameter.

    A module without any parameter (dropout, an activation) goes with the one that holds it, and stays in eval mode
    where that is trained in part only, since it may lie before the cut.
    """

    trained = {id(parameter) for name, parameter in root.named_parameters() if name in trainable}
    held: dict[str, set[bool]] = {}  # by module: whether its parameters, and those of the modules in it, train
    for name, parameter in root.named_parameters(remove_duplicate=False):
        parts = name.split(".")
        for depth in range(len(parts)):
            held.setdefault(".".join(parts[:depth]), set()).add(id(parameter) in trained)

    def visit(module: nn.Module, path: str, parent_is_frozen: bool) -> Iterator[nn.Module]:
        trains = held.get(path, {not parent_is_frozen})
        if True not in trains:
            yield module
        for name, child in module.named_children():
            yield from visit(child, f"{path}.{name}".lstrip("."), False in trains)

    yield from visit(root, "", False)


def _stored(x: Tensor) -> Tensor:
    """(B, C, H, W) maps as (B, H, W, C): the layout convolutions are fast in, in an order an array of numbers keeps."""
    return x.permute(0, 2, 3, 1).contiguous() if x.ndim == 4 else x.contiguous()


def _restored(activation: Tensor) -> Tensor:
    """The opposite of `_stored`; half-precision numbers become float32 where no autocast asks for them."""
    x = activation.permute(0, 3, 1, 2) if activation.ndim == 4 else activation
    return x if torch.is_autocast_enabled(x.device.type) else x.float()
