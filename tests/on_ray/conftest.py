"""What tests of the real command share: a small pair table and a running Ray cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tools import forked
from trainable.data.turntable import TurntableSpec, write


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair table of 152 rendered pairs of 16 px."""
    spec = TurntableSpec(train_identities=40, val_identities=20, test_identities=16, image_size_px=16)
    return write(tmp_path_factory.mktemp("pairs"), spec)


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    """A running cluster of one node with one CPU, without a dashboard.

    So a run has one worker: that each imports PyTorch is most of what these tests take. Tests that need more add a node.
    """
    with running_cluster(include_dashboard=False) as started:
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, for sockets."""
    made = Path(tempfile.mkdtemp(prefix="tv", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def running_cluster(**head: Any) -> Iterator[Any]:
    """A cluster of one node with one CPU; `head`: more of what that node is told.

    Its workers are forked, and have imported PyTorch.
    """
    from ray.cluster_utils import Cluster  # here: most tests need no Ray

    from tuner.cluster.start import waits_for_node

    class Patient(Cluster):
        """One that waits for a node as long as a busy machine takes to start it, where Ray's waits half a minute."""

        def _wait_for_node(self, node: object, timeout: float = 600) -> None:
            super()._wait_for_node(node, timeout)

        def wait_for_nodes(self, timeout: float = 600) -> None:
            super().wait_for_nodes(timeout)

        def add_node(self, *arguments: Any, **options: Any) -> Any:
            with waits_for_node(600):
                return super().add_node(*arguments, setup_worker_path=forked.__file__, **options)

    forked.start_server()
    settings = {"num_cpus": 1, "include_log_monitor": False, "dashboard_port": None}  # None: a free one
    started = Patient(initialize_head=True, head_node_args=settings | head)
    yield started
    started.shutdown()
