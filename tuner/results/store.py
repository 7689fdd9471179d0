"""Where results are kept: a local folder, S3, GCS or another file system of pyarrow's; whole files only."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from trainable.errors import InputError

SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_OBJECT_STORES = ("s3", "gcs", "abfs")  # no rename there, and none needed: an upload appears when it is closed


@dataclass(frozen=True)
class Store:
    """Where the tables lie: a pyarrow file system and the root folder in it; `uri` names both."""

    fs: pafs.FileSystem
    root: str
    uri: str

    @classmethod
    def at(cls, root: str | Path | Store, patience_s: int = 4) -> Store:
        """The store at a local folder or a URI. Raises InputError for a URI that pyarrow's file systems do not take.

        patience_s: how long GCS, whose own limit is a quarter of an hour, is asked again where it cannot be reached.
        """
        if isinstance(root, Store):
            return root
        scheme = re.match(r"([a-z][a-z0-9+]+):(?!//)", str(root))
        if not str(root) or (scheme and scheme[1] in (*SCHEMES, "http", "https", "ftp")):
            near = f" Do you mean {scheme[1]}://{str(root)[scheme.end() :].lstrip('/')}?" if scheme else ""
            raise InputError(
                f"the results root is {str(root)!r}; valid is a local folder or a URI that starts with "
                f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}.{near} Change --results."
            )
        if "://" not in str(root):
            path = str(Path(root).expanduser().resolve())
            return cls(pafs.LocalFileSystem(), path, path)
        address = str(root)
        if address.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in address:
            address += f"{'&' if '?' in address else '?'}retry_limit_seconds={patience_s}"
        try:
            fs, path = pafs.FileSystem.from_uri(address)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"the results root {str(root)!r} cannot be opened: {_first_line(error)}; valid is a local folder or a "
                f"URI that starts with {', '.join(f'{scheme}://' for scheme in SCHEMES)}. Change --results."
            ) from error
        return cls(fs, path.rstrip("/"), str(root).rstrip("/") if path.strip("/") else str(root))

    def path(self, *parts: str) -> str:
        """The path of a file or folder under the root, for the file system."""
        return "/".join([self.root, *parts])

    def below(self, *parts: str) -> Store:
        """The store whose root is this folder of this one."""
        folder = self.path(*parts)
        return Store(self.fs, folder, self.uri_of(folder))

    def write(self, folder: str, name: str, content: bytes) -> None:
        """Put a whole file in place; a reader sees the former one or this one, never a part."""
        if self.fs.type_name == "local":
            write_durably(Path(folder), name, content)
            return
        self.fs.create_dir(folder, recursive=True)
        direct = self.fs.type_name in _OBJECT_STORES
        target = f"{folder}/{name}" if direct else f"{folder}/.{name}"  # readers skip names that start with a dot
        with self.fs.open_output_stream(target) as stream:
            stream.write(content)
        if not direct:
            self.fs.move(target, f"{folder}/{name}")

    def uri_of(self, path: str) -> str:
        """Path or URI, to hand to another process, of a path under the root that the file system knows."""
        place, mark, options = self.uri.partition("?")
        return place + path.removeprefix(self.root) + mark + options

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder at the path."""
        return bool(self.fs.get_file_info(path).type != pafs.FileType.NotFound)

    def check_writable(self) -> None:
        """Write a test file and remove it again, without making a folder. Raises InputError if that is refused."""
        try:
            probe = f"{self._nearest_folder()}/.writable-{uuid.uuid4().hex}"
            with self.fs.open_output_stream(probe) as stream:
                stream.write(b"x")
            self.fs.delete_file(probe)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"the results root {self.uri!r} cannot be written: {_first_line(error)}; "
                "valid is a folder that you may write or make. Change --results."
            ) from error

    def _nearest_folder(self) -> str:
        """The root, or where it is not there yet the nearest folder above it; object stores need no folder."""
        folder = self.root
        if self.fs.type_name not in _OBJECT_STORES:
            while folder.strip("/") and not self.exists(folder):
                folder = folder.rpartition("/")[0]
            if self.fs.get_file_info(folder or "/").type == pafs.FileType.File:
                raise NotADirectoryError(f"{folder} is a file, where a folder is needed")
        return folder


def write_durably(folder: Path, name: str, content: bytes) -> None:
    """Put a local file in place so that it is there after a power cut, too: file and folder are on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}"  # readers skip names that start with a dot
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(folder / name)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Have what was made, renamed or removed in a local folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
