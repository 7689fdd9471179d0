"""How the tests are run: by two processes, a file at a time."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# Before anything imports Ray, which reads them then: else whether the cluster below asks for a token depends on whether
# a Ray of this user's ever made one.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
os.environ |= {"RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600", "RAY_gcs_server_port_wait_time_s": "600"}
os.environ |= {"RAY_agent_register_timeout_ms": "600000", "RAY_worker_register_timeout_seconds": "600"}
os.environ["OMP_NUM_THREADS"] = "1"  # the processes share the cores
# Dozens of processes import the program: it is compiled once, also where the environment says that nothing is to be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("slow, not red", deadline=None)  # no test is timed: a busy machine is no failure
settings.load_profile("slow, not red")

_TOGETHER = (
    ("on_ray/test_resume", "on_ray/test_older_runs"),
    (
        "on_ray/test_chosen_starts",
        "on_ray/test_coming_from",
        "on_ray/test_from_python",
        "on_ray/test_node_decoding",
        "on_ray/test_node_files",
        "on_ray/test_s3",
        "on_ray/test_sharing",
    ),
    ("on_ray/test_end_to_end",),
    ("on_ray/test_readme_cluster",),
    ("tuner/stored/test_export", "tuner/stored/test_score", "tuner/stored/test_reproduce", "tuner/stored/test_hub"),
    ("on_ray/test_cluster",),
)
"""What takes longest, and begins first: files that run in one process, where they share a cluster or a finished run."""


def _process(nodeid: str) -> str:
    """What names the tests that run in one process: their file, or the first one of those that are together."""
    file = nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py")
    return next((files[0] for files in _TOGETHER if file in files), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    places = {files[0]: place for place, files in enumerate(_TOGETHER)}
    items.sort(key=lambda item: places.get(_process(item.nodeid), len(places)))


def pytest_collection_finish() -> None:
    """What was imported stays: no collection of garbage has to look through all of it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Libraries that count what is left at the end would miss what was frozen."""
    gc.unfreeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The files of a process go to it together; by files alone, each process would start a cluster."""
    from xdist.scheduler import LoadFileScheduling

    class ByProcess(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _process(nodeid)

    return ByProcess(config, log)


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
