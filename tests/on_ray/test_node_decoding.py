"""Images decoded by tasks on the nodes of a real Ray: what they come to is what the driver alone makes of them, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from PIL import Image

from tests.trainable.data.test_images import table_of
from trainable.data.decoder import Seen
from trainable.data.images import Images, read_images
from trainable.errors import InputError
from tuner.cli.run_options import HardwareOptions
from tuner.cluster import node_decoding
from tuner.cluster.node_decoding import Join

IMAGES, SIZE_PX = 60, 12


@pytest.fixture(scope="module", autouse=True)
def _ray(cluster: Any) -> Iterator[None]:
    """Connected to the cluster, with another node."""
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    cluster.remove_node(other)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few images are many."""
    monkeypatch.setattr(node_decoding, "_FEW", IMAGES // 4)
    monkeypatch.setattr(node_decoding, "_IMAGES_A_TASK", 8)


@pytest.fixture
def images(tmp_path: Path) -> list[Path | bytes]:
    """Photographs in files and in the table itself; a third have 12 bits in 16."""
    random, found = np.random.default_rng(0), []
    for at in range(IMAGES):
        file = tmp_path / f"{at}.{'jpg' if at % 3 else 'png'}"
        if at % 3:
            Image.fromarray(random.integers(0, 256, (30, 20 + at, 3), dtype=np.uint8)).save(file)
        else:
            Image.fromarray(random.integers(0, 4096, (30, 20), dtype=np.uint16)).save(file)
        found.append(file.read_bytes() if at % 5 == 0 else file)
    return found


class Watched:
    """What nodes decoded, by the place of the image in what they were asked for."""

    def __init__(self) -> None:
        self.places: list[set[int]] = []
        self._join = Join(HardwareOptions())

    def __call__(self, *asked: Any) -> Any:
        self.places.append(set())
        for part in self._join.elsewhere(*asked):
            self.places[-1] |= set(part)
            yield part


def same(first: Images, second: Images) -> bool:
    """To the bit, with all that was found out on the way."""
    others = [(found.fingerprint, found.scales, found.note) for found in (first, second)]
    return np.array_equal(first.pixels, second.pixels) and others[0] == others[1]


def test_what_nodes_decode_is_what_the_driver_decodes(images: list[Path | bytes]) -> None:
    """Pixels, fingerprint and levels, of files and of encoded images; those of more than 8 bits are looked at twice."""
    table, nodes, told = table_of(images), Watched(), []
    alone = read_images(table, SIZE_PX, "crop")
    shared = read_images(table, SIZE_PX, "crop", progress=lambda *at: told.append(at), elsewhere=nodes)
    assert same(alone, shared) and shared.scales
    assert nodes.places == [set(range(IMAGES)), set(range(IMAGES // 3))]
    assert told[-1] == (IMAGES, IMAGES) and told == sorted(told)


def test_an_image_that_nodes_see_otherwise_is_the_drivers(
    images: list[Path | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by its time of change: another machine may have another file of the same name."""
    of = Seen.of
    monkeypatch.setattr(Seen, "of", lambda path: of(path)._replace(changed_ns=1) if path.stem == "13" else of(path))
    table, nodes = table_of(images), Watched()
    assert same(read_images(table, SIZE_PX), read_images(table, SIZE_PX, elsewhere=nodes))
    assert nodes.places[0] == set(range(IMAGES)) - {13}


def test_bad_images_are_told_as_the_driver_tells_them(images: list[Path | bytes]) -> None:
    """All of them, by kind and name; and what a node cannot see is not bad."""
    images[3] = b""
    images[7].unlink()
    images[31].write_bytes(images[31].read_bytes()[:200])
    table, nodes, said = table_of(images), Watched(), []
    for elsewhere in (None, nodes):
        with pytest.raises(InputError) as caught:
            read_images(table, SIZE_PX, elsewhere=elsewhere)
        said.append(str(caught.value))
    assert said[0] == said[1] and "3 of 60 images" in said[0]
    assert nodes.places == [set(range(IMAGES)) - {3, 7, 31}]


def test_nodes_that_do_not_see_the_images_are_not_asked_for_them(
    images: list[Path | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are any for a few images, or where there is no other machine, or none that has time: then the driver decodes."""
    table = table_of(images)
    with monkeypatch.context() as patch:
        patch.setattr(Seen, "of", lambda path: Seen(path, 0, 0))
        nodes = Watched()
        assert same(read_images(table, SIZE_PX), read_images(table, SIZE_PX, elsewhere=nodes))
        assert nodes.places[0] == set()
    own = [node for node in ray.nodes() if node["NodeID"] == ray.get_runtime_context().get_node_id()]
    unready = {"nodes": lambda: own, "wait": lambda tasks, **options: ([], tasks)}
    for owner, name, value in ((node_decoding, "_FEW", IMAGES + 1), *((ray, *each) for each in unready.items())):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            nodes = Watched()
            read_images(table, SIZE_PX, elsewhere=nodes)
            assert nodes.places[0] == set()


def test_an_interrupt_is_heard_at_once(images: list[Path | bytes]) -> None:
    """Ctrl-C while nodes decode: nothing more is given to them, and the cluster is free for the next."""

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    table = table_of(images)
    with pytest.raises(KeyboardInterrupt):
        read_images(table, SIZE_PX, progress=interrupted, elsewhere=Watched())
    assert same(read_images(table, SIZE_PX), read_images(table, SIZE_PX, elsewhere=Watched()))


def test_a_node_that_is_lost_leaves_its_images_to_the_driver(
    images: list[Path | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on."""
    get, failed = ray.get, []

    def lost(answer: Any, **options: Any) -> Any:
        found = get(answer, **options)
        if isinstance(found, list) and not failed:
            failed.append(len(found))
            raise ray.exceptions.WorkerCrashedError
        return found

    monkeypatch.setattr(node_decoding.ray, "get", lost)
    table, nodes = table_of(images), Watched()
    assert same(read_images(table, SIZE_PX), read_images(table, SIZE_PX, elsewhere=nodes))
    assert failed and len(nodes.places[0]) == IMAGES - failed[0]
