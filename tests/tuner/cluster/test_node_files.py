"""A node's own copies of the driver's files: fetched once, whole, bounded; numbers where there is no room. Without Ray."""

from __future__ import annotations

import dataclasses
import errno
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tools.synthetic import pair_data
from trainable.mapped import ByName, Draft, Name, bound, fetched_by, file_of, hold, let_go
from tuner.cluster import node_files
from tuner.cluster.node_files import DriverFiles, FileServer, NodeCopy

ARRAY = np.arange(6000, dtype=np.float32).reshape(60, 100)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of the driver's, in the folder `pixels` of a cache."""
    return kept(tmp_path / "driver" / "pixels" / "a.npy")


def kept(file: Path, array: np.ndarray = ARRAY) -> Path:
    draft = Draft(file, array.shape, array.dtype)
    draft.array[...] = array
    draft.keep()
    return file


class Calls:
    """A FileServer as an actor's handle would have it, here; `asked` is what it was asked for."""

    def __init__(self, server: FileServer) -> None:
        self.asked: list[tuple[str, Any]] = []
        for name in ("offer", "rows", "numbers"):
            setattr(self, name, type("Method", (), {"remote": staticmethod(self._noting(name, getattr(server, name)))}))

    def _noting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            self.asked.append((name, arguments))
            return method(*arguments)

        return called


@pytest.fixture
def server(source: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """It serves the file, which this machine then sees no more."""
    monkeypatch.setattr(node_files.ray, "get", lambda answer: answer)
    monkeypatch.setattr(node_files.ray, "put", lambda array: array)
    monkeypatch.setattr(node_files, "_CHUNK_BYTES", 4000)
    served = FileServer()
    assert served.offer([source]) and not served.offer([source.with_name("b.npy")])
    source.unlink()
    return Calls(served)


def name_of(file: Path) -> Name:
    return Name(file, ARRAY.shape, ARRAY.dtype)


def test_a_file_that_is_missing_is_fetched_and_found_from_then_on(source: Path, server: Calls) -> None:
    """Some rows at a time, to the same path, mapped and held; another process of the node asks nobody."""
    fetch = NodeCopy(server, limit_gb=1)
    found = fetch(name_of(source))
    assert np.array_equal(found, ARRAY) and file_of(found) == source
    assert [name for name, _ in server.asked] == ["rows"] * 6
    bound(source.parent, 0, keep=source.with_name("other"))
    assert source.exists(), "it is held"
    assert np.array_equal(fetch(name_of(source)), ARRAY) and len(server.asked) == 6
    assert sorted(file.name for file in source.parent.iterdir()) == [".lock", "a.npy"]
    let_go()


@pytest.mark.parametrize("damage", ["short", "another array", "no array"])
def test_what_is_not_the_file_is_replaced(source: Path, server: Calls, damage: str) -> None:
    """A file of that name that is cut short, or holds something else."""
    if damage == "another array":
        kept(source, ARRAY[1:])
    else:
        source.write_bytes(b"\x93NUMPY" if damage == "short" else b"")
    assert np.array_equal(NodeCopy(server, limit_gb=1)(name_of(source)), ARRAY)
    let_go()


def test_where_the_path_cannot_be_made_the_cache_of_the_node_has_the_copy(
    source: Path, server: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its default one, in the folder of the same name; and so the next time."""
    source.parent.rmdir()
    source.parent.write_text("no folder can be here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    for _ in range(2):
        found = NodeCopy(server, limit_gb=1)(name_of(source))
        assert np.array_equal(found, ARRAY)
        assert file_of(found) == tmp_path / "node" / "twoview-tuner" / "pixels" / "a.npy"
    assert len(server.asked) == 6
    let_go()


def test_without_room_on_the_node_numbers_come_through_the_object_store(
    source: Path, server: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are put there once for all who ask; no draft stays."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    first, second = (NodeCopy(server, limit_gb=1)(name_of(source)) for _ in range(2))
    assert np.array_equal(first, ARRAY) and file_of(first) is None
    assert first is second, "the server put it there once"
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.name != ".lock"]


def test_a_node_fetches_once_however_many_workers_ask(source: Path, server: Calls) -> None:
    """The others wait, and map what the first has fetched."""
    together = threading.Barrier(4)

    def worker(_: int) -> np.ndarray:
        together.wait()
        return NodeCopy(server, limit_gb=1)(name_of(source))

    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(found, ARRAY) for found in pool.map(worker, range(4)))
    assert len(server.asked) == 6
    let_go()


def test_a_fetch_that_breaks_off_leaves_nothing(source: Path, server: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a file that looks whole; the error is told, and the next one who asks fetches it all."""
    whole = server.rows.remote
    monkeypatch.setattr(server.rows, "remote", lambda path, rows: whole(path, rows) if rows.start < 30 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        NodeCopy(server, limit_gb=1)(name_of(source))
    assert [file.name for file in source.parent.iterdir()] == [".lock"]
    monkeypatch.setattr(server.rows, "remote", whole)
    assert np.array_equal(NodeCopy(server, limit_gb=1)(name_of(source)), ARRAY)
    let_go()


def test_old_copies_and_abandoned_drafts_go(source: Path, server: Calls) -> None:
    """Beyond the limit, those that nobody uses, with what is told of them; a draft, when its process is gone for an hour."""
    old, used = (kept(source.with_name(f"{name}.npy")) for name in ("old", "used"))
    old.with_suffix(".json").write_text("{}")
    hold(used)
    ours = Draft(source.with_name("ours.npy"), ARRAY.shape, ARRAY.dtype)
    for draft in (".killed.npy-1234", ".young.npy-1234"):
        source.with_name(draft).write_bytes(b"")
    for file in source.parent.iterdir():
        if "young" not in file.name:
            os.utime(file, (time.time() - 10_000,) * 2)
    NodeCopy(server, limit_gb=1e-9)(name_of(source))
    left = {file.name for file in source.parent.iterdir()} - {ours._path.name}
    assert left == {".lock", ".young.npy-1234", "a.npy", "used.npy"}
    assert ours._path.exists(), "it is being written"
    ours.drop()
    let_go()


def test_names_say_where_to_fetch_only_until_the_run_ends(source: Path, tmp_path: Path) -> None:
    """A process that sees the file maps it; one that does not calls what was pickled beside the name."""
    found = Name(source, ARRAY.shape, ARRAY.dtype).opened_at(source)
    fetched_by(source, _Instead(7))
    text = pickle.dumps(ByName(found))
    assert file_of(pickle.loads(text)) == source
    source.rename(tmp_path / "elsewhere.npy")
    assert pickle.loads(text).tolist() == [7]
    (tmp_path / "elsewhere.npy").rename(source)
    let_go()
    assert b"_Instead" not in pickle.dumps(ByName(found))


@dataclasses.dataclass(frozen=True)
class _Instead:
    value: int

    def __call__(self, name: Name) -> np.ndarray:
        return np.array([self.value])


def test_numbers_go_where_the_node_of_the_driver_does_not_see_its_files(
    source: Path, server: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a client of Ray's on another machine. Where one machine is all, nobody is asked."""
    file = kept(source.with_name("mine.npy"))
    array = Name(file, ARRAY.shape, ARRAY.dtype).opened_at(file)
    data = dataclasses.replace(pair_data(size_px=4), features={0: array})
    assert DriverFiles(here=True, limit_gb=1).known(data) is data
    files = DriverFiles(here=False, limit_gb=1)
    monkeypatch.setitem(vars(files), "_server", server)
    assert files.known(data) is data
    monkeypatch.setattr(server.offer, "remote", lambda files: False)
    away = files.known(data)
    assert np.array_equal(away.features[0], ARRAY) and file_of(away.features[0]) is None
    let_go()
