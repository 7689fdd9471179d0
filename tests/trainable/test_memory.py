"""What memory may be used: the smallest limit holds, wherever it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainable.memory import limit_bytes

GB = 10**9


def machine(folder: Path, groups: str, **limits: str) -> Path:
    """A root with /proc/self/cgroup and the limits of groups: by path below /sys/fs/cgroup."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    for path, text in limits.items():
        file = folder / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/", {"memory.max": str(GB)}),
        ("0::/jobs/mine", {"jobs/mine/memory.max": "max", "jobs/memory.max": str(GB)}),
        ("0::/not/shown/here", {"memory.max": str(GB)}),
        ("3:cpu:/a\n5:memory:/b\n", {"memory/b/memory.limit_in_bytes": str(GB)}),
        ("5:hugetlb,memory:/b", {"memory/memory.limit_in_bytes": str(GB)}),
    ],
)
def test_a_container_s_limit_is_found(tmp_path, groups, limits):
    """Version 1 and 2, of its own group or of one around it."""
    assert limit_bytes(machine(tmp_path, groups, **limits), {}) == (GB, "this container's")


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/", {"memory.max": "max"}),
        ("5:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}),
        ("5:cpu:/", {"memory/memory.limit_in_bytes": str(GB)}),
    ],
)
def test_no_limit_is_the_machine_s(tmp_path, groups, limits):
    """Whichever way it is said; also where there are no groups."""
    assert limit_bytes(machine(tmp_path, groups, **limits), {})[1] == "this machine's"
    assert limit_bytes(tmp_path / "nothing", {})[1] == "this machine's"


def test_slurm_s_limit_counts(tmp_path):
    """For a node, or for each of its cores; 0 is all that the node has."""
    assert limit_bytes(tmp_path, {"SLURM_MEM_PER_NODE": "100"}) == (100 * 2**20, "this Slurm job's")
    per_core = {"SLURM_MEM_PER_CPU": "50", "SLURM_CPUS_ON_NODE": "2"}
    assert limit_bytes(tmp_path, per_core) == (100 * 2**20, "this Slurm job's")
    assert limit_bytes(tmp_path, {"SLURM_MEM_PER_NODE": "0"})[1] == "this machine's"
