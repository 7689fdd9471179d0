"""Data twice as large as the memory that a search may use: what a real search takes under such a limit, and without it.

The limit is a memory group of the kernel's (cgroup, version 1 or 2), as a container's is: pages of files count, too, and are
dropped when it is full. Three searches each, from images that nothing has read before: of heads on stored features, of the
last block, and one epoch of all blocks. The first of them decodes, examines and computes features.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import report
from trainable.errors import InputError

WANTED_RATIO = 1.5
TIMES = 2
"""So many times the limit are the pixels."""
SETTINGS = {
    "head only": ("--trainable-blocks", "0", "--epochs", "3", "--trials", "2"),
    "last block": ("--trainable-blocks", "1", "--epochs", "1", "--trials", "1"),
    "all blocks": ("--epochs", "1", "--trials", "1"),
}
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@contextmanager
def limited(gigabytes: float) -> Iterator[Path]:
    """A group whose processes may use so much memory; the file into which a process writes its number to be of it.

    Raises InputError where this user may make none.
    """
    first = (_V1 / "memory.limit_in_bytes").is_file()
    base, name, swap = (_V1, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if first else (
        _V2, "memory.max", "memory.swap.max",
    )  # fmt: skip
    group = base / f"two-view-scale-{os.getpid()}"
    try:
        group.mkdir()
        size = str(int(gigabytes * 1e9))
        (group / name).write_text(size)
        if (group / swap).exists():
            (group / swap).write_text(size if first else "0")
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        raise InputError(
            f"no memory group of the kernel's could be made in {base} ({error}); valid is a machine where this user may make "
            "one. Run it as root, or in a container with that right, or leave out --memory-gb."
        ) from None
    try:
        yield group / "cgroup.procs"
    finally:
        _emptied(group)
        group.rmdir()


def _emptied(group: Path) -> None:
    """What is left in the group, as Ray's processes are for some seconds, goes to the group around it."""
    for _ in range(100):
        left = (group / "cgroup.procs").read_text().split()
        if not left:
            return
        for process in left:
            try:
                (group.parent / "cgroup.procs").write_text(process)
            except OSError:  # it has just ended
                time.sleep(0.1)


def forgotten(folder: Path) -> None:
    """The system drops its pages of all files below the folder: they are read from the disk again."""
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def search(data: Path, folder: Path, setting: str, size_px: int, backbone: str, members: Path | None) -> float:
    """Seconds of a real search of this setting; members: the file of the group that it belongs to, None for no limit."""
    words = ["--space", "temperature", "--data", str(data), "--image-size-px", str(size_px), "--backbone", backbone]
    words += [*SETTINGS[setting], "--results", str(folder / "results"), "--cache", str(folder / "cache")]
    words += ["--cache-gb", "1000", "--scheduler", "none", "--sampler", "random", "--no-dashboard", "--keep-sick"]
    began = time.perf_counter()
    with (folder / "log.txt").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "tuner.run", *words],
            stdout=log,
            stderr=log,
            check=False,
            preexec_fn=None if members is None else partial(_join, members),
        )
    if done.returncode:
        raise RuntimeError(f"{setting} ended with code {done.returncode}: {(folder / 'log.txt').read_text()[-2000:]}")
    return time.perf_counter() - began


def _join(members: Path) -> None:
    members.write_text(str(os.getpid()))


def measure(
    data: Path, folder: Path, gigabytes: float, size_px: int, backbone: str, console: Console
) -> list[report.Target]:
    """All searches under the limit, then without it; the table, and the ratios that are wanted."""
    took: dict[str, dict[str, float]] = {}
    with limited(gigabytes) as members:
        for name, group in (("limited", members), ("free", None)):
            place = folder / name
            place.mkdir()
            forgotten(data.parent)
            took[name] = {setting: search(data, place, setting, size_px, backbone, group) for setting in SETTINGS}
    ratios = {setting: took["limited"][setting] / took["free"][setting] for setting in SETTINGS}
    rows = [
        (setting, "", f"{took['limited'][setting]:.1f}", f"{took['free'][setting]:.1f}", f"{ratio:.2f}")
        for setting, ratio in ratios.items()
    ]
    console.print(report.table(("search", "", f"limit of {gigabytes:g} GB, s", "no limit, s", "ratio"), rows))
    words = f"with pixels of {TIMES * gigabytes:g} GB in {gigabytes:g} GB over the time without a limit"
    return [
        report.Target(f"{setting}: {words}", ratio, WANTED_RATIO, at_least=False) for setting, ratio in ratios.items()
    ]
