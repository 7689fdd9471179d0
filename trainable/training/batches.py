"""An epoch's batches: which pairs, which view of each image, and what the losses need to know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from trainable.data.pairs import PairData
from trainable.training.losses import Targets

_PAIRS_AT_ONCE = 2**18
"""What the losses need to know of the B × B pairs of a batch is computed for several batches at once, 16 of 128 pairs, as calls
take longer than small batches do; it takes memory, some 30 bytes a pair."""


class Batches:
    """The training pairs of `data` in batches of `batch_size`, on a device; `per_epoch` of them, all of one `size`.

    The pairs left over wait for another epoch: chance is ln(batch size), so every batch must have the same size.
    """

    def __init__(self, data: PairData, batch_size: int, device: torch.device) -> None:
        self._data, self._device = data, device
        self._rows = data.rows("train")
        self.size = min(batch_size, len(self._rows))
        self.per_epoch = max(1, len(self._rows) // batch_size)
        self.middle = self.per_epoch // 2
        """The step that is looked at."""
        self._ends = [torch.tensor(np.asarray(end)) for end in (data.front, data.angle)]
        names = ("pair_label", "front_identity", "angle_identity")
        self._columns = [torch.tensor(np.asarray(getattr(data, name))).to(device) for name in names]
        self.targets: Callable[[Tensor, Tensor, Tensor], Targets] = Targets.of
        """What makes the targets of (..., B) labels, front identities and angle identities."""

    def of_epoch(self, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Targets]]:
        """In random order: (2B,) rows of the inputs, fronts first, (B,) labels, and the targets of the losses.

        The rows are the host's, which may gather a batch before the device is done with the last one.
        """
        order = random.permutation(self._rows)
        shown = self.shown(random)
        batches = torch.from_numpy(order[: self.per_epoch * self.size]).view(-1, self.size)
        for rows in batches.split(max(1, _PAIRS_AT_ONCE // self.size**2)):
            images = shown[torch.cat([end[rows] for end in self._ends], dim=1)]
            there = rows.to(self._device)
            labels, *identities = (column[there] for column in self._columns)
            targets = self.targets(labels, *identities)
            for number in range(len(rows)):
                yield images[number], labels[number], targets.batch(number)

    def shown(self, random: np.random.Generator) -> Tensor:
        """(m,) row of the inputs in which each image is shown this epoch: that of one of its views."""
        images = self._data.images
        view = random.integers(self._data.views, size=images)
        return torch.from_numpy(view * images + np.arange(images))
