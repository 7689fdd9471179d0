"""Whether all nodes see the driver's files: then arrays go to them by the files' names, else as their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainable.data.pairs import PairData
from trainable.mapped import file_of


def as_all_nodes_see_it(data: PairData, here: bool) -> PairData:
    """The data, with arrays for numbers where a node does not see their files. here: this machine is the whole cluster.

    Numbers go through Ray's object store, and reach nodes that join later, too.
    """
    arrays = [data.pixels, *data.features.values()]
    files = {path: path.stat().st_size for array in arrays if (path := file_of(array))}
    if here or not files or _seen_everywhere(files):
        return data
    features = {cut: np.asarray(array) for cut, array in data.features.items()}
    return dataclasses.replace(data, pixels=np.asarray(data.pixels), features=features)


def _seen_everywhere(files: Mapping[Path, int]) -> bool:
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    task, on = ray.remote(_has), NodeAffinitySchedulingStrategy
    asked: dict[str, Any] = {"num_cpus": 0, "name": "looking for the cache"}
    answers = [task.options(scheduling_strategy=on(node, soft=True), **asked).remote(dict(files)) for node in nodes]
    return all(ray.get(answers))


def _has(files: Mapping[Path, int]) -> bool:
    """Whether this node has these files, of these sizes."""
    return all(path.is_file() and path.stat().st_size == size for path, size in files.items())
