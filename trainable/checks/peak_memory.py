"""How much memory a piece of work takes at its peak: of the accelerator that it runs on, else of this process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """What was found, after the work."""

    gb: float | None = None
    """Growth at the peak, in 10⁹ bytes; None where this system does not tell."""


@contextlib.contextmanager
def measured(device: torch.device) -> Iterator[Peak]:
    """Yields a Peak that is filled in when the work is done."""
    peak = Peak()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak.gb = (torch.cuda.max_memory_allocated(device) - before) / 1e9
        return
    _give_back_freed()
    known = _reset_peak()
    resident_gb = _resident_gb("VmRSS:") if known else 0.0
    yield peak
    if known:
        peak.gb = _resident_gb("VmHWM:") - resident_gb


def _give_back_freed() -> None:
    """Else work that reuses freed memory would seem to take none. Only glibc can be asked to."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    """Forget the process's peak so far; False where that cannot be done."""
    try:
        _CLEAR.write_text("5")  # Linux: the peak of resident memory starts again from now
    except OSError:
        return False
    return True


def _resident_gb(field: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e9
