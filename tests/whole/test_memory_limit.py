"""The memory group in which a benchmark runs searches of more pixels than the memory holds."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks.memory_limit import forgotten, limited
from trainable.errors import InputError

TAKES = "import sys; from trainable.memory import limit_bytes; print(limit_bytes()[0]); bytearray(int(sys.argv[1]))"


def joins(members: Path) -> None:
    members.write_text(str(os.getpid()))


def test_what_takes_more_than_the_limit_is_ended_and_what_takes_less_is_not() -> None:
    """The product reads the group's limit as a container's; afterwards the group is gone."""
    try:
        with limited(0.2) as members:
            ends = [
                subprocess.run(
                    [sys.executable, "-c", TAKES, str(size)],
                    check=False,
                    capture_output=True,
                    text=True,
                    preexec_fn=partial(joins, members),
                )
                for size in (50_000_000, 400_000_000)
            ]
    except InputError as why:
        pytest.skip(str(why))
    assert [end.returncode for end in ends] == [0, -9]
    assert abs(int(ends[0].stdout) - 0.2e9) < 4096 * 2  # the kernel counts in pages
    assert not members.parent.exists()


def test_files_are_read_from_the_disk_again(tmp_path: Path) -> None:
    """Forgotten pages cost nothing but time: what was written stays."""
    (tmp_path / "in" / "a").parent.mkdir()
    (tmp_path / "in" / "a").write_bytes(b"x" * 10_000)
    forgotten(tmp_path)
    assert (tmp_path / "in" / "a").read_bytes() == b"x" * 10_000
