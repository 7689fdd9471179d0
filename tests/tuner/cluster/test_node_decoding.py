"""When a cluster is joined to decode images; what it decodes is tested in tests/on_ray/test_node_decoding.py."""

from __future__ import annotations

import pytest

from tests.trainable.data.test_images import table_of
from trainable.data.images import read_images
from trainable.errors import InputError
from tuner.cli.run_options import HardwareOptions
from tuner.cluster import node_decoding
from tuner.cluster.connection import Cluster
from tuner.cluster.node_decoding import Join


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[HardwareOptions]:
    """The options of each connection, none of which is made."""
    made: list[HardwareOptions] = []

    def connect(options: HardwareOptions, heads_only: bool) -> Cluster:
        made.append(options)
        return Cluster(options.address, 1, 2.0, 0.0, 1.0, None)

    monkeypatch.setattr(node_decoding, "connect", connect)
    monkeypatch.setattr(node_decoding, "is_connected", lambda: False)
    return made


def test_a_ray_of_our_own_decodes_nothing_and_is_not_started_for_it(joined: list[HardwareOptions]) -> None:
    """It is this machine, whose cores decode anyway."""
    assert Join(HardwareOptions()).elsewhere is None and joined == []


def test_a_cluster_is_joined_once(joined: list[HardwareOptions]) -> None:
    """Whether for its images or for its trials."""
    join = Join(HardwareOptions(address="head:6379"))
    assert join() is join() and len(joined) == 1


def test_bad_images_are_told_before_a_cluster_is_joined_for_few(joined: list[HardwareOptions]) -> None:
    """As the driver alone tells them."""
    elsewhere = Join(HardwareOptions(address="head:6379")).elsewhere
    with pytest.raises(InputError, match="2 of 2 images cannot be used: 2 empty"):
        read_images(table_of([b"", b""]), 8, elsewhere=elsewhere)
    assert joined == []
