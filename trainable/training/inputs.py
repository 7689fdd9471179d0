"""What trials start from, on the device that they train on: copied there once for all trials of a process."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from trainable.data.pairs import PairData

_KEPT = 2  # trials of one search alternate between few cuts, and several processes may share an accelerator's memory


class Inputs:
    """The pixels of a data set and its stored features as tensors; those used last stay on the device.

    On the CPU they are the arrays' own memory, which may be shared and read-only: nothing writes to it.
    """

    def __init__(self, device: torch.device, data: PairData) -> None:
        self._device, self._data = device, data
        self._kept: dict[int | None, Tensor] = {}

    def at(self, cut: int | None) -> Tensor:
        """(views · m, ...) activations at a stored cut; None: the (views · m, S, S, 3) pixels."""
        tensor = self._kept.pop(cut, None)
        while tensor is None and len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]  # before the copy, which needs the room
        if tensor is None:
            tensor = _tensor(self._data.pixels if cut is None else self._data.features[cut]).to(self._device)
        self._kept[cut] = tensor
        return tensor


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
