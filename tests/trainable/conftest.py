"""What tests of training share: rendered objects to learn."""

from __future__ import annotations

import os

import pytest

from trainable.data import images, turntable
from trainable.data.pairs import PairData
from trainable.data.read_pairs import read_pairs


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> PairData:
    """A small turntable set at 32 px, rendered once for all processes; as large as one of them renders by itself."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    spec = turntable.TurntableSpec(train_identities=140, val_identities=52, test_identities=4, image_size_px=32)
    table = read_pairs(turntable.ensure(shared, spec))
    return PairData.of(table, *images.decode(table, 32))
