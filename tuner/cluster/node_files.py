"""The driver's files on all nodes: a node that does not see one fetches a copy of its own, once, from where the driver runs.

Arrays go to workers by their files' names. A worker that does not find a file asks a small server on the driver's node for it,
some rows at a time, while the other workers of its node wait; a node that joins later does the same. The copy lies in a cache
folder, so the next run finds it there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainable.data.pairs import PairData
from trainable.mapped import Draft, Name, alone_in, bound, fetched_by, file_of, hold, opened
from tuner.cli.values import cache_folder

_CHUNK_BYTES = 10_000_000
"""Twice as much of the object store is used by a node that fetches: a chunk is written while the next one travels."""


class FileServer:
    """An actor that reads rows of arrays in files of its node, for processes of other nodes."""

    def __init__(self) -> None:
        self._arrays: dict[Path, np.ndarray] = {}
        self._numbers: dict[Path, Any] = {}

    def offer(self, paths: list[Path]) -> bool:
        """Map these files: they stay readable even if they are removed. False if this node does not see one of them."""
        try:
            self._arrays |= {path: opened(path) for path in paths}
        except (OSError, ValueError):
            return False
        return True

    def rows(self, path: Path, rows: slice) -> np.ndarray:
        """These rows of the array in a file that was offered."""
        return np.array(self._arrays[path][rows])

    def numbers(self, path: Path) -> list[Any]:
        """[reference to the whole array in the object store], where it stays as long as this actor lives."""
        if path not in self._numbers:
            self._numbers[path] = ray.put(np.asarray(self._arrays[path]))
        return [self._numbers[path]]


@dataclasses.dataclass(frozen=True)
class NodeCopy:
    """Gets an array whose file this node does not see: from a copy of the file, made where there is none yet.

    The copy has the driver's path, or lies in the default cache folder where that path cannot be made. A node that has no
    room for it gets the array through the object store, which it must fit then.
    """

    server: Any
    """Handle of a FileServer that was offered the file."""
    limit_gb: float
    """Copies that are unused for longest are removed beyond so many 10⁹ bytes of a folder."""

    def __call__(self, name: Name) -> np.ndarray:
        """The array, mapped from the node's copy, or shared in the node's object store."""
        for file in _places(name.path):
            with suppress(OSError), alone_in(file.parent):
                found = name.opened_at(file)  # another worker may have fetched it while this one waited
                return self._fetched(name, file) if found is None else found
        [reference] = ray.get(self.server.numbers.remote(name.path))
        return cast(np.ndarray, ray.get(reference))

    def _fetched(self, name: Name, file: Path) -> np.ndarray:
        draft = Draft(file, name.shape, name.dtype)
        try:
            for rows, chunk in self._chunks(name, max(1, _CHUNK_BYTES * len(draft.array) // draft.array.nbytes)):
                draft.array[rows] = chunk
            array = draft.keep()
        except BaseException:
            draft.drop()
            raise
        hold(file)
        bound(file.parent, self.limit_gb, keep=file)
        return array

    def _chunks(self, name: Name, at_once: int) -> Iterator[tuple[slice, np.ndarray]]:
        """All rows, `at_once` at a time."""
        parts = [slice(start, start + at_once) for start in range(0, name.shape[0], at_once)]
        coming = self.server.rows.remote(name.path, parts[0])
        for rows, following in zip_longest(parts, parts[1:]):
            chunk = ray.get(coming)
            coming = self.server.rows.remote(name.path, following) if following else None
            yield rows, chunk


def _places(path: Path) -> Iterator[Path]:
    """Where a copy may lie."""
    yield path
    with suppress(RuntimeError):  # whoever runs this has no home
        yield cache_folder() / path.parent.name / path.name


@dataclasses.dataclass(frozen=True)
class DriverFiles:
    """Arrays in files of this process, made known to all nodes of the cluster that it is connected to."""

    here: bool
    """This machine is the whole cluster: all see the same files."""
    limit_gb: float
    """Of the copies in a folder of a node that does not see them."""

    def known(self, data: PairData) -> PairData:
        """The data, whose arrays other processes get by their names wherever they run.

        Where even this node's other processes do not see the files, as where it is a container of its own, the arrays are
        numbers, and go through the object store.
        """
        files = [path for array in (data.pixels, *data.features.values()) if (path := file_of(array))]
        if self.here or not files:
            return data
        if not ray.get(self._server.offer.remote(files)):
            features = {cut: np.asarray(array) for cut, array in data.features.items()}
            return dataclasses.replace(data, pixels=np.asarray(data.pixels), features=features)
        for path in files:
            fetched_by(path, NodeCopy(self._server, self.limit_gb))
        return data

    @functools.cached_property
    def _server(self) -> Any:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return ray.remote(FileServer).options(num_cpus=0, scheduling_strategy=here).remote()
