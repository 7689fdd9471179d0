"""Why a file is not where a table says it is, where that shows: another spelling of its path leads to one that is there."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILE_ADDRESS = re.compile(r"file:(//[^/]*)?(?=/)", re.IGNORECASE)


def why_missing(path: str, base: Path) -> str:
    """What keeps a path, absolute or relative to `base`, from being found; empty where nothing shows.

    >>> why_missing("https://images.example/a.jpg", Path())
    'an address of a network: download the file first'
    """
    reasons, spelt = [], path
    for reason, mended in _SPELLINGS:
        if (changed := mended(spelt)) != spelt:
            reasons.append(reason)
            spelt = changed
    if _ADDRESS.match(spelt):
        return "an address of a network: download the file first"
    if re.match(r"[A-Za-z]:/", spelt):
        return "a path of another system (Windows): write it relative to the table"
    found, letters = _found(base, spelt)
    if found is None or not (reasons := reasons + letters):
        return ""
    return f"{' and '.join(reasons)}: {found} is there"


def _without_scheme(path: str) -> str:
    return unquote(_FILE_ADDRESS.sub("", path, count=1)) if _FILE_ADDRESS.match(path) else path


_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("blanks around it", str.strip),
    ("a file:// address", _without_scheme),
    ("~ is no folder here", os.path.expanduser),
    ("backslashes instead of slashes", lambda path: path.replace("\\", "/")),
)


def _found(base: Path, path: str) -> tuple[Path | None, list[str]]:
    """The file or folder that the path means when letters are taken generously, and in what they differ."""
    at = Path("/") if path.startswith("/") else base.absolute()
    reasons: dict[str, None] = {}  # in order, each once
    for part in PurePosixPath(path.lstrip("/")).parts:
        if part == ".." or (at / part).exists():
            at = at / part
            continue
        key = _generous(part)
        same = [name for name in _names(at) if _generous(name) == key]
        stem = [name for name in _names(at) if _generous(Path(name).stem) == _generous(Path(part).stem)]
        if not same and not stem:
            return None, []
        name = (same or stem)[0]
        reasons |= dict.fromkeys(_differences(part, name) if same else ["another suffix"])
        at = at / name
    return at, list(reasons)


@functools.lru_cache(maxsize=64)
def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(os.listdir(folder))) if folder.is_dir() else ()  # noqa: PTH208 - names, not paths


def _generous(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


def _differences(given: str, name: str) -> list[str]:
    one, other = (unicodedata.normalize("NFC", text) for text in (given, name))
    reasons = {
        "a blank at an end of a name": one.strip() != one or other.strip() != other,
        "other case": one.strip() != other.strip(),
        "the same letters in another Unicode form (NFC, NFD)": (one == given) != (other == name),
    }
    return [reason for reason, holds in reasons.items() if holds]
