"""What a process is told before it computes: how many threads to use, and to keep the memory that it frees."""

from __future__ import annotations

import contextlib
import ctypes

import torch
from threadpoolctl import threadpool_limits

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's mallopt
_LARGE = 2**30


def prepare_process(threads: int) -> None:
    """threads: of each operation, NumPy's and SciPy's too. Freed memory stays with the process.

    A second thread of NumPy's BLAS spins for a while after each product: with one small product an epoch, head-only trials
    on all cores took twice as long.
    By default glibc gives every large tensor's memory back when it is freed, and the system clears its pages anew when the
    next one is made: a third of a fully trained step on a CPU. Other C libraries are left as they are.
    """
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no C library to be asked, or not this one
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGE - 1)
        mallopt(_ARENA_MAX, 1)  # threads would each keep their own
