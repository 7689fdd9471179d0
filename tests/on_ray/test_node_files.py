"""Files of the driver's on a real Ray: mapped where they are seen, fetched once a node where they are not."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from tests.tools.real_ray import until
from tests.tools.synthetic import pair_data
from trainable.data.pairs import PairData
from trainable.mapped import Draft, file_of, let_go
from tuner.cluster.node_files import DriverFiles


@pytest.fixture(scope="module", autouse=True)
def _ray(cluster: Any) -> Iterator[None]:
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_what_a_node_sees_is_mapped_and_what_it_does_not_see_is_fetched_once(tmp_path: Path) -> None:
    """To the driver's path; two workers that ask at once have one file. On one machine nobody is asked.

    The file is removed once the driver's node has mapped it: then the other processes are on a node that does not see it.
    """
    draft = Draft(tmp_path / "pixels.npy", (100_000, 4, 4, 3), np.uint8)
    draft.array[:, 0, 0, 0] = np.arange(100_000) % 251
    data = dataclasses.replace(pair_data(size_px=4), pixels=draft.keep())
    expected = int(data.pixels.sum())
    assert DriverFiles(here=True, limit_gb=1).known(data) is data
    files = DriverFiles(here=False, limit_gb=1)
    assert files.known(data) is data
    shared = ray.put(data)

    @ray.remote(num_cpus=0)
    class Worker:
        def look(self, data: PairData) -> tuple[str, int, int]:
            """Path and number of the file that is mapped, and what is in it."""
            path = file_of(data.pixels)
            return str(path), path.stat().st_ino, int(data.pixels.sum())

    workers = [Worker.remote() for _ in range(2)]
    before = tmp_path.joinpath("pixels.npy").stat().st_ino
    seen = ray.get([worker.look.remote(shared) for worker in workers])
    assert seen == [(str(tmp_path / "pixels.npy"), before, expected)] * 2
    tmp_path.joinpath("pixels.npy").rename(tmp_path / "elsewhere")
    first, second = ray.get([worker.look.remote(shared) for worker in workers])
    assert first == second and first[1] != before and (first[0], first[2]) == (str(tmp_path / "pixels.npy"), expected)
    let_go()


def test_without_room_for_a_copy_numbers_come_through_the_object_store(tmp_path: Path) -> None:
    """Where neither the driver's path nor the node's own cache folder can be made."""
    draft = Draft(tmp_path / "cache" / "pixels.npy", (100, 4, 4, 3), np.uint8)
    draft.array[...] = 7
    data = dataclasses.replace(pair_data(size_px=4), pixels=draft.keep())
    DriverFiles(here=False, limit_gb=1).known(data)
    shared = ray.put(data)
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    (tmp_path / "cache").write_text("no folder can be here")

    @ray.remote(num_cpus=0)
    def look(data: list[Any], folder: str) -> tuple[bool, int]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", folder)
            found = ray.get(data[0])
        return file_of(found.pixels) is None, int(found.pixels.sum())

    assert ray.get(look.remote([shared], str(tmp_path / "cache"))) == (True, 7 * 100 * 48)
    let_go()


def test_the_server_goes_with_the_names_that_say_of_it(tmp_path: Path) -> None:
    """A Ray that was running before, as a notebook's, is left without a process of the run's."""
    draft = Draft(tmp_path / "pixels.npy", (100, 4, 4, 3), np.uint8)
    data = dataclasses.replace(pair_data(size_px=4), pixels=draft.keep())
    files = DriverFiles(here=False, limit_gb=1)
    files.known(data)
    shared = ray.put(data)
    server = ray.get(files._server.__ray_call__.remote(lambda server: os.getpid()))
    del files, shared
    let_go()
    until(lambda: not Path(f"/proc/{server}").exists(), "the file server was gone")
