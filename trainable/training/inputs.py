"""What trials start from: on the device that they train on, or, where it is too large, gathered from the host by batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from trainable.data.pairs import PairData
from trainable.mapped import file_of, will_need
from trainable.memory import limit_bytes
from trainable.model.backbone import Backbone, there

_KEPT = 2  # trials of one search alternate between few cuts, and several processes may share an accelerator's memory
_SHARE = 0.25
"""Of a device's memory, or for the CPU of this machine's: larger arrays stay in their file, or in the host's memory."""

_Batch = TypeVar("_Batch")


class Inputs:
    """The pixels of a data set and its stored features, by row, and the backbone; those used last stay on the device.

    On the CPU they are the arrays' own memory, which may be shared and read-only: nothing writes to it.
    """

    def __init__(self, device: torch.device, data: PairData) -> None:
        self._device, self.data = device, data
        self._kept: dict[int | None, Rows] = {}
        self._backbone: tuple[Backbone, Backbone] | None = None

    def backbone(self, backbone: Backbone) -> Backbone:
        """The backbone on the device: itself, or a copy there that later trials are given, too."""
        if self._backbone is None or self._backbone[0] is not backbone:
            self._backbone = backbone, there(backbone, self._device)
        return self._backbone[1]

    def at(self, cut: int | None) -> Rows:
        """(views · m, ...) activations at a stored cut; None: the (views · m, S, S, 3) pixels."""
        rows = self._kept.pop(cut, None)
        while rows is None and len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]  # before the copy, which needs the room
        if rows is None:
            array = self.data.pixels if cut is None else self.data.features[cut]
            kind = GatheredRows if too_large(array, self._device) else Rows
            rows = kind(array, self._device)
        self._kept[cut] = rows
        return rows


def too_large(array: np.ndarray, device: torch.device) -> bool:
    """Whether the array is to be gathered from where it lies, batch by batch."""
    if device.type == "cpu":
        return file_of(array) is not None and array.nbytes > _SHARE * limit_bytes()[0]
    if device.type == "cuda":
        return bool(array.nbytes > _SHARE * torch.cuda.get_device_properties(device).total_memory)
    return False


class Rows:
    """An array (n, ...) on a device, whose rows are gathered there."""

    def __init__(self, array: np.ndarray, device: torch.device) -> None:
        self.tensor = _tensor(array).to(device)

    def gather(self, rows: Tensor) -> Tensor:
        """(B, ...) the rows with these numbers (B,), which are the host's; on the device."""
        return self.tensor.index_select(0, rows.to(self.tensor.device, non_blocking=True))

    def ahead(self, batches: Iterable[_Batch], rows_of: Callable[[_Batch], Tensor]) -> Iterator[_Batch]:
        """The batches, of each of which `gather` is going to be asked for its rows."""
        return iter(batches)


class GatheredRows(Rows):
    """The same of an array that stays on the host, in its file or in memory: the next batch is gathered while one is used."""

    def __init__(self, array: np.ndarray, device: torch.device) -> None:
        self.tensor, self._array, self._device = _tensor(array), array, device
        self._thread = ThreadPoolExecutor(1, "gathers")
        self._coming: list[tuple[Tensor, Future[Tensor]]] = []

    def gather(self, rows: Tensor) -> Tensor:
        for number, (known, gathered) in enumerate(self._coming):
            if known is rows:
                del self._coming[number]
                return gathered.result().to(self._device, non_blocking=True)
        return self._gathered(rows).to(self._device)

    def ahead(self, batches: Iterable[_Batch], rows_of: Callable[[_Batch], Tensor]) -> Iterator[_Batch]:
        self._coming.clear()
        before: list[_Batch] = []
        for batch in batches:
            rows = rows_of(batch)
            self._coming.append((rows, self._thread.submit(self._gathered, rows)))
            yield from before
            before = [batch]
        yield from before

    def _gathered(self, rows: Tensor) -> Tensor:
        """The rows, on the host; for a GPU in memory that it can copy from by itself."""
        will_need(self._array, rows.numpy())
        shape = len(rows), *self.tensor.shape[1:]
        found = torch.empty(shape, dtype=self.tensor.dtype, pin_memory=self._device.type == "cuda")
        return torch.index_select(self.tensor, 0, rows, out=found)


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
