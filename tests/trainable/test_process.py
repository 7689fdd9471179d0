"""A process told to compute keeps the memory that it frees, and no library of it takes more threads than it was told."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_TOLD = """
import resource
import numpy, scipy.linalg, sklearn, threadpoolctl, torch
from trainable.process import prepare_process

def faults(before_that):
    for _ in range(before_that):
        torch.ones(12_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(1))
prepare_process(1)
print(faults(10))
numpy.ones((500, 500)) @ numpy.ones((500, 500))
print(torch.get_num_threads(), *(pool["num_threads"] for pool in threadpoolctl.threadpool_info()))
"""


@pytest.fixture(scope="module")
def told() -> list[str]:
    """The lines of a process that was told to compute by one thread, though its libraries were imported with two."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", _TOLD]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_used_again(told: list[str]) -> None:
    """Tensors of 48 MB, made one after the other: their pages are made once, not for each."""
    by_itself, prepared = map(int, told[:2])
    assert prepared < by_itself / 10


def test_every_library_takes_as_many_threads_as_it_is_told(told: list[str]) -> None:
    """PyTorch, NumPy's and SciPy's BLAS: their threads would spin beside those that train."""
    assert set(told[2].split()) == {"1"} and len(told[2].split()) >= 3
