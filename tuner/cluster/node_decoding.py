"""Images decoded by tasks on all nodes that see their files, for a driver of a cluster that would take long alone.

What tasks return goes through the object store, some MB at a time, and is dropped when the driver has written it to its file.
An image that a node does not see or cannot use is left to the driver, which says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import PIL
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainable.data.decoder import Decoded, Seen, decoded_if_seen
from trainable.data.images import Elsewhere
from trainable.data.levels import Scale
from tuner.cli.run_options import HardwareOptions
from tuner.cluster.connection import Cluster, connect, is_connected

_FEW = 500
"""The driver decodes so many images alone sooner than workers of other nodes have started."""
_IMAGES_A_TASK, _TASK_BYTES = 256, 10_000_000
_PATIENCE_S = 60.0
"""Where no task ends for so long, others have the cores of the nodes: the driver decodes the rest."""
_SAMPLE = 8
"""Images by which a node is asked whether it sees them all: one that does not would be done with every task at once."""


class Join:
    """Connects to the Ray that the options name, or starts one, when it is called first; returns what that has."""

    def __init__(self, options: HardwareOptions, heads_only: bool = False) -> None:
        self._options, self._is_ours = options, options.address is None and not is_connected()
        self._heads_only = heads_only
        self._cluster: Cluster | None = None

    def __call__(self) -> Cluster:
        if self._cluster is None:
            self._cluster = connect(self._options, self._heads_only)
        return self._cluster

    @property
    def elsewhere(self) -> Elsewhere | None:
        """Decodes on the nodes of a cluster, which is joined for it if there is much to decode.

        None for a Ray of our own: that is this machine, whose cores decode anyway.
        """
        return None if self._is_ours else partial(_decoded, self)


def _decoded(
    join: Callable[[], Cluster],
    images: Sequence[Path | bytes],
    image_size_px: int,
    fit: str,
    scales: Mapping[str, Scale],
) -> Generator[Mapping[int, Decoded], None, None]:
    if len(images) < _FEW:
        return
    join()
    cpus = _cpus_of_nodes_that_see(images)
    at_once = min(_IMAGES_A_TASK, max(1, _TASK_BYTES // (3 * image_size_px**2)))
    parts = iter([range(start, min(start + at_once, len(images))) for start in range(0, len(images), at_once)])
    waiting: dict[Any, tuple[str, range]] = {}

    def give(node: str) -> None:
        for part in parts:
            seen = [Seen.of(image) if isinstance(image, Path) else image for image in images[part.start : part.stop]]
            waiting[_task(decoded_if_seen, node, 1).remote(seen, image_size_px, fit, dict(scales))] = node, part
            return

    for node, count in cpus.items():
        for _ in range(count + 1):  # so that no core waits for the driver
            give(node)
    # Tasks that are left, where nobody has time or after Ctrl-C, are few and short, and end by themselves: `ray.cancel` of
    # one that ends at that moment ends the driver's process (Ray 2.60: "Tried to complete task that was not pending").
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_PATIENCE_S)
        if not ready:
            return
        node, part = waiting.pop(ready[0])
        try:
            found = ray.get(ready[0])
        except RayError:  # its node is lost, or has no memory: it gets no more, and these are left to the driver
            continue
        give(node)
        yield {place: image for place, image in zip(part, found, strict=True) if image is not None}


def _cpus_of_nodes_that_see(images: Sequence[Path | bytes]) -> dict[str, int]:
    """By their ids; empty where no other machine than the driver's does, which decodes better without tasks."""
    own = {ray.get_runtime_context().get_node_id()}
    cpus = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]}
    able = {node for node, count in cpus.items() if count}
    if able <= own:
        return {}
    step = max(1, len(images) // _SAMPLE)
    sample = [seen for image in images[::step] if isinstance(image, Path) and (seen := Seen.of(image))]
    asked = {node: _task(_sees, node, 0).remote(sample, PIL.__version__) for node in able}
    seeing = {node for node, answer in asked.items() if _said_yes(answer)}
    return {node: cpus[node] for node in seeing} if seeing - own else {}


def _task(function: Callable[..., Any], node: str, cpus: int) -> Any:
    on_node = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(function).options(num_cpus=cpus, scheduling_strategy=on_node, name="decoding")


def _sees(sample: Sequence[Seen], pillow: str) -> bool:
    """Whether this node sees these files, and decodes them as the driver does."""
    return pillow == PIL.__version__ and all(file.is_seen for file in sample)


def _said_yes(answer: Any) -> bool:
    try:
        return bool(ray.get(answer))
    except RayError:  # a node that was lost meanwhile
        return False
