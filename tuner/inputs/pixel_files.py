"""Pixels as files in the cache: decoded once, mapped by every process and every later run, which reads no image again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import __version__ as pillow_version
from rich.console import Console

from trainable.data.augmentation import how as how_views
from trainable.data.augmentation import with_views
from trainable.data.decoder import Seen, how
from trainable.data.images import Elsewhere, Images, read_images
from trainable.data.pairs import PairTable
from trainable.findings import Finding
from trainable.mapped import Draft, bound, hold, opened, use
from tuner.cli.console import file_progress

_VERSION = 1
"""Raise it when the same images would give other pixels or other findings."""
CheckMemory = Callable[[], None]
"""Raises InputError where the pixels do not fit the memory."""


class PixelFiles:
    """Decoded images in a folder, each set by what its pixels depend on.

    folder: of the cache; limit_gb: the files that were not used for longest are removed beyond so many 10⁹ bytes, those in
    use and the newest aside; 0: none is made, and pixels are held in memory. elsewhere: decodes what it can of many images.
    """

    def __init__(
        self, folder: Path, limit_gb: float, console: Console, elsewhere: Elsewhere | None = None
    ) -> None:
        self.folder, self._limit_gb, self._console, self._elsewhere = folder, limit_gb, console, elsewhere

    def images(
        self,
        table: PairTable,
        image_size_px: int,
        fit: str,
        views: int,
        check_memory: CheckMemory,
        view_strength: float = 1.0,
    ) -> Images:
        """The table's images, (views · m, S, S, 3), from their file, or decoded and, where there is room, kept in one."""
        how_drawn = how_views(view_strength) if views > 1 else ""
        key = _key(table, image_size_px, fit, views, how_drawn)
        found = self._stored(key)
        if found is not None:
            return found
        rows = views * len(table.images), image_size_px, image_size_px, 3
        decoded = partial(self._decoded, table, image_size_px, fit, views, view_strength)
        draft = self._draft(key, rows)
        if draft is None:
            check_memory()
            return decoded(np.empty(rows, dtype=np.uint8))
        try:
            made = decoded(draft.array)
            kept = replace(made, pixels=draft.keep())
            self._tell(key, kept)
        except BaseException:
            draft.drop()
            raise
        hold(draft.file)
        bound(self.folder, self._limit_gb, keep=draft.file)
        return kept

    def findings(self, read: tuple[Any, ...], make: Callable[[], list[Finding]]) -> list[Finding]:
        """What the checks of images say, from an earlier run or made now. read: all that it depends on."""
        file = self.folder / f"checks-{_hashed(read)}.json"
        with suppress(OSError, ValueError, TypeError):
            return [Finding(**each) for each in json.loads(file.read_text())]
        found = make()
        if self._limit_gb:
            self._write(file, [each.as_dict() for each in found])
        return found

    def _stored(self, key: str) -> Images | None:
        told = self._told(key)
        try:
            known = json.loads(told.read_text())
            file = self._file(key)
            if file.stat().st_size != known["bytes"]:
                return None
            pixels = opened(file)
        except (OSError, ValueError, KeyError):
            return None
        use(file)
        scales = {kind: tuple(scale) for kind, scale in known["scales"].items()}
        return Images(pixels, known["fingerprint"], scales, known["note"])

    def _decoded(
        self, table: PairTable, size_px: int, fit: str, views: int, strength: float, into: np.ndarray
    ) -> Images:
        with file_progress(self._console, "reading images") as progress:
            plain = read_images(
                table, size_px, fit, progress=progress, into=into[: len(table.images)], elsewhere=self._elsewhere
            )
        if views > 1:
            with file_progress(self._console, "drawing views") as progress:
                with_views(
                    plain.pixels, views, plain.fingerprint, progress=progress, into=into, strength=strength
                )
        return replace(plain, pixels=into)

    def _draft(self, key: str, shape: tuple[int, ...]) -> Draft | None:
        """Room for the file; None where none is wanted, or there is none, which is said."""
        if not self._limit_gb:
            return None
        try:
            return Draft(self._file(key), shape, np.uint8)
        except OSError as error:
            self._console.print(
                f"note: pixels are held in memory, as {self.folder} cannot be written ({error.strerror}): the next run decodes "
                "them again. Make room there, or give another folder with --cache.",
                soft_wrap=True,
                markup=False,
            )
            return None

    def _tell(self, key: str, images: Images) -> None:
        size = self._file(key).stat().st_size
        scales = {kind: list(scale) for kind, scale in images.scales.items()}
        about = {"fingerprint": images.fingerprint, "note": images.note, "scales": scales, "bytes": size}
        self._write(self._told(key), about)

    def _write(self, file: Path, content: Any) -> None:
        draft = file.with_name(f".{file.name}-{os.getpid()}")
        with suppress(OSError):  # then the next run makes it again
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(content))
            draft.replace(file)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _told(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _key(table: PairTable, image_size_px: int, fit: str, views: int, how_drawn: str) -> str:
    """Of all that pixels depend on: which images, by name, size and time of change, or by content where a table holds them."""
    return _hashed((_VERSION, image_size_px, how(fit), views, how_drawn, pillow_version, *_seen(table)))


def _seen(table: PairTable) -> Iterator[Any]:
    for image in table.images:
        if isinstance(image, bytes):
            yield hashlib.sha256(image).hexdigest()
            continue
        yield from Seen.of(image) or (image,)  # decoding says what is wrong with one that cannot be seen


def _hashed(parts: tuple[Any, ...]) -> str:
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:40]
