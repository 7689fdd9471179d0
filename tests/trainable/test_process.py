"""A process told to compute keeps the memory that it frees, whatever the C library would do by itself."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys, torch
from trainable.process import prepare_process
if sys.argv[1] == "prepared":
    prepare_process(1)
for _ in range(10):
    torch.ones(12_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(12_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, torch.get_num_threads())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_used_again():
    """Tensors of 48 MB, made one after the other: their pages are made once, not for each."""
    faults = {}
    for how in ("by itself", "prepared"):
        asked = subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True)
        faults[how], threads = map(int, asked.stdout.split())
    assert faults["prepared"] < faults["by itself"] / 10
    assert threads == 1
