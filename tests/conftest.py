"""How the tests are run: by two processes, of which one alone starts Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Before anything imports Ray, which reads them then: else whether the cluster below asks for a token depends on whether
# a Ray of this user's ever made one.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
os.environ["OMP_NUM_THREADS"] = "1"  # the processes share the cores


class _OneProcessForRay(LoadScopeScheduling):
    """Gives a file to a process as a whole, and all of `on_ray`, whose tests share a cluster, to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return "on_ray" if "on_ray/" in nodeid else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """The processes' scheduler, asked for by pytest-xdist."""
    return _OneProcessForRay(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    items.sort(key=lambda item: "on_ray/" not in item.nodeid)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As a trial on one core: part of what makes its numbers repeatable."""
    import torch  # here: most tests need it not

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's log of every trial."""
    import optuna  # here: most tests need it not

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)
