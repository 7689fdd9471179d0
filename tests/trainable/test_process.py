"""A process told to compute keeps the memory that it frees, and no library of it takes more threads than it was told."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, torch
from trainable.process import prepare_process

def faults():
    for _ in range(10):
        torch.ones(12_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

by_itself = faults()
prepare_process(1)
print(by_itself, faults(), torch.get_num_threads())
"""

_THREADS = """
import numpy, scipy.linalg, sklearn.metrics, threadpoolctl
from trainable.process import prepare_process
prepare_process(1)
numpy.ones((500, 500)) @ numpy.ones((500, 500))
print(*(pool["num_threads"] for pool in threadpoolctl.threadpool_info()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_used_again():
    """Tensors of 48 MB, made one after the other: their pages are made once, not for each."""
    asked = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    by_itself, prepared, threads = map(int, asked.stdout.split())
    assert prepared < by_itself / 10
    assert threads == 1


def test_every_library_takes_as_many_threads_as_it_is_told():
    """NumPy's and SciPy's BLAS too, though they were imported with two: their threads would spin beside those that train."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", _THREADS]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert set(asked.stdout.split()) == {"1"}
