"""A backbone with its normalisation, which runs from one block to another. Nothing here imports timm.

A head that trains on stored features needs no net: the worker of such a trial is spared the import of timm, and with it that
of torchvision and of PyTorch's compiler, half of what it would take to begin.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainable.errors import InputError

Triple = tuple[float, float, float]


class Backbone(nn.Module):
    """A timm net that takes uint8 pixels and can be run from one position to another (see `blocks`)."""

    def __init__(self, net: nn.Module, image_size_px: int, feature_size: int, mean: Triple, std: Triple) -> None:
        super().__init__()
        self.net = net
        self.image_size_px = image_size_px
        self.feature_size = feature_size
        self.mean, self.std = mean, std
        self.note = ""
        """What to say of its weights, once; empty where nothing was decided for the user."""
        # Not persistent: a checkpoint of weights says nothing about pixels.
        self.register_buffer("mean_255", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("inverse_std_255", 1 / (255 * torch.tensor(std).view(1, 3, 1, 1)), persistent=False)
        self.learnable = frozenset(name for name, p in net.named_parameters() if p.requires_grad)
        """Parameters that timm trains; a fixed position embedding is none of them."""
        self.parameter_count = sum(parameter.numel() for parameter in net.parameters())

    def without_net(self) -> Backbone:
        """What a head needs of it that trains on the features of a frozen backbone, stored: everything but the net."""
        rest = copy.deepcopy(self, {id(self.net): nn.Identity().eval()})
        rest.block_parameters = self.block_parameters  # which only the net could tell
        return rest

    @property
    def can_be_cut(self) -> bool:
        """Whether the net runs from a position between its blocks; if not, only whole."""
        from trainable.model import blocks  # here and below: it imports timm

        return blocks.family_of(self.net) is not None

    @functools.cached_property
    def block_parameters(self) -> list[frozenset[str]]:
        """Names, within the net, of the parameters of every block (see `blocks.block_parameters`)."""
        from trainable.model import blocks

        return blocks.block_parameters(self.net)

    def normalised(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8. Returns (B, 3, S, S) float32, channels last in memory as the pixels are."""
        mean, inverse_std = self.get_buffer("mean_255"), self.get_buffer("inverse_std_255")
        return (pixels.permute(0, 3, 1, 2).float() - mean) * inverse_std

    def run(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Run the net from the activation at position `start` to that at `stop`; shapes as in `blocks.run`."""
        if start == stop:
            return x
        from trainable.model import blocks

        return blocks.run(self.net, x, start, stop, self.image_size_px)


def there(backbone: Backbone, device: torch.device | str) -> Backbone:
    """The backbone itself where it lies on the device, else a copy there: what others start from stays where it is."""
    if backbone.get_buffer("mean_255").device.type == torch.device(device).type:
        return backbone
    return copy.deepcopy(backbone).to(device)


def block_count(backbone: Backbone) -> int:
    """The number n of blocks; `trainable_blocks` goes from 0 to n."""
    return len(backbone.block_parameters)


def resolve_trainable_blocks(backbone: Backbone, trainable_blocks: int | None) -> int:
    """The number of blocks to train, n for None; InputError for more than there are."""
    count = block_count(backbone)
    resolved = count if trainable_blocks is None else int(trainable_blocks)
    if not 0 <= resolved <= count:
        raise InputError(
            f"trainable_blocks is {trainable_blocks}, but this {type(backbone.net).__name__} has {count} blocks; "
            f"valid is 0 (head only) to {count} (all), or none for all. Change it in the space."
        )
    return resolved


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers on the CPU from `seed`, and put the global random state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reset the accelerators
        yield
