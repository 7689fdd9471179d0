"""How much memory this process may use: the machine's, or less where a container or a batch system says so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_UNLIMITED = 1 << 60
"""What cgroup v1 says where nothing is limited is near 2⁶³."""


def limit_bytes(root: Path = Path("/"), environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The smallest limit, and whose it is: this machine's, the container's (cgroup v1 or v2), or Slurm's.

    root: where /proc and /sys are; environment: None for this process's.
    """
    found = [(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine's")]
    found += [(size, "this container's") for size in _of_cgroups(root)]
    found += [(size, "this Slurm job's") for size in _of_slurm(os.environ if environment is None else environment)]
    return min(found)


def _of_cgroups(root: Path) -> Iterator[int]:
    """The limits of the group that this process is in, and of the groups around it: each of them holds."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux, or none of its groups are shown here
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes") if controllers else ("sys/fs/cgroup", "memory.max")
        )
        inner = Path(path.lstrip("/"))
        for folder in (inner, *inner.parents):  # in a container its own group may be shown as the outermost one
            size = _number(root / base / folder / name)
            if size is not None and size < _UNLIMITED:
                yield size


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" in version 2


def _of_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    """In Slurm's own unit, 2²⁰ bytes; 0 is the whole node's memory."""
    node, cpu, cpus = (environment.get(f"SLURM_{n}", "") for n in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE"))
    if node.isdigit() and int(node):
        yield int(node) << 20
    elif cpu.isdigit() and cpus.isdigit() and int(cpu) * int(cpus):
        yield int(cpu) * int(cpus) << 20
