"""Where pairs are read from, a line for each kind of file and of folder. A new kind is a module of its own and a line here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from trainable.data.folders import no_identities, read_folder
from trainable.data.missing import why_missing
from trainable.data.tables import SIDES, read_csv, read_json_lines, read_parquet
from trainable.errors import InputError, nearest


class Rows(NamedTuple):
    """The rows of a source, as the readers of `tables` give them, with `base`, the folder that their paths are relative to."""

    frame: pd.DataFrame
    base: Path
    notes: tuple[str, ...] = ()


class Dealing(NamedTuple):
    """How identities are dealt to splits, where a source has none of its own."""

    seed: int
    fractions: tuple[float, ...]


FileReader = Callable[[Path, Mapping[str, str]], pd.DataFrame]
FolderReader = Callable[[Path, Dealing], Rows | None]


def read(path: Path, dealing: Dealing) -> Rows:
    """The rows of a file or folder; InputError if there is none, or if it is of no known kind."""
    if path.is_dir():
        for kind in FOLDERS:
            if rows := kind(path, dealing):
                return _not_empty(path, rows)
        raise no_identities(path)
    if not path.exists():
        raise no_such_file(path)
    return _not_empty(path, Rows(_read_file(path), path.absolute().parent))


def _read_file(path: Path, given: Mapping[str, str] | None = None) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix not in FILES:
        raise InputError(
            f"{path} ends in {path.suffix or 'nothing'!r}; valid is a pair table that ends in {_SUFFIXES}, "
            "or a folder of identities. Save the table as one of these."
        )
    return FILES[suffix](path, given or {})


def _not_empty(path: Path, rows: Rows) -> Rows:
    if rows.frame.empty:
        raise InputError(f"{path} holds no pairs, only a header; valid is a row for each pair. Add rows to it.")
    return rows


def _named_table(folder: Path, _: Dealing) -> Rows | None:
    """The table in a folder that is named as such."""
    found = [folder / f"{name}{suffix}" for name in ("pairs", "metadata") for suffix in FILES]
    tables = [path for path in found if path.is_file()]
    if not tables:
        return None
    return Rows(
        _read_file(tables[0]), folder.absolute(), (f"of the folder {folder} the table {tables[0].name} is read",)
    )


def _identities(folder: Path, dealing: Dealing) -> Rows | None:
    """A folder of identities."""
    found = read_folder(folder, dealing.seed, dealing.fractions)
    return found and Rows(found[0], folder.absolute(), found[1])


_PART_OF_A_SPLIT = re.compile(r"(train|validation|valid|val|test)(?![a-z])", re.IGNORECASE)


def _parts(folder: Path, _: Dealing) -> Rows | None:
    """A table in parts: files as Spark, Dask and Hugging Face's data sets write them, also in folders such as split=train."""
    inside = ((path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.suffix.lower() in FILES)
    files = {path: where for path, where in inside if path.is_file() and not any(p[0] in "._" for p in where.parts)}
    if not files:
        return None
    given = {
        path: dict(name.split("=", 1) for name in where.parts[:-1] if "=" in name) for path, where in files.items()
    }
    splits = {path: found[1].lower() for path in files if (found := _PART_OF_A_SPLIT.match(path.name))}
    note = (
        f"of the folder {folder} its {len(files)} parts are read: {', '.join(str(p) for p in list(files.values())[:4])}"
    )
    note += ", …" if len(files) > 4 else ""
    if len(splits) == len(files) and not any("split" in values for values in given.values()):
        given = {path: values | {"split": splits[path]} for path, values in given.items()}
        note += "; where they name no split, it is the one in the file's name"
    frames = [_read_file(path, given[path]) for path in files]
    _check_alike(folder, list(files.values()), frames)
    frame = pd.concat(frames, ignore_index=True).rename_axis("row")
    return Rows(frame, _base(folder, frame), (note,))


def _check_alike(folder: Path, names: list[Path], frames: list[pd.DataFrame]) -> None:
    """InputError unless all parts have the same columns of a pair table."""
    first = set(frames[0].columns)
    other = next((at for at, frame in enumerate(frames) if set(frame.columns) != first), None)
    if other is not None:
        differ = ", ".join(sorted(first ^ set(frames[other].columns)))
        raise InputError(
            f"the parts of {folder} have different columns: {names[0]} and {names[other]} differ in {differ}; valid are the "
            "same in all parts. Write them again, or give one of them alone."
        )


def _base(folder: Path, frame: pd.DataFrame) -> Path:
    """What the paths are relative to: the folder of the parts, or the one beside it, where the first image is."""
    first = next((cell for cell in frame[SIDES[0]] if isinstance(cell, str)), "")
    places = folder.absolute(), folder.absolute().parent
    return next((place for place in places if first and (place / first).is_file()), places[0])


FILES: dict[str, FileReader] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".jsonl": read_json_lines,
}
"""By the end of a file's name."""
FOLDERS: tuple[FolderReader, ...] = (
    _named_table,
    _identities,
    _parts,
)
"""The first that does not return None reads the folder."""
_SUFFIXES = f"{', '.join(list(FILES)[:-1])} or {list(FILES)[-1]}"


def no_such_file(path: Path) -> InputError:
    """What to say of a path where nothing is: why, where that shows, and what lies beside it."""
    folder = path.absolute().parent
    why = why_missing(str(path), Path())
    valid = f"valid is a pair table ({_SUFFIXES}) or a folder of identities"
    said = f"there is no {path}{f' ({why})' if why else ''}"
    if not folder.is_dir():
        return InputError(f"{said}, nor the folder {folder}; {valid}. Correct the path.")
    there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() or entry.suffix.lower() in FILES)
    near = nearest(path.name, there) or ", ".join(there[:5]) or "no table and no folder"
    return InputError(f"{said}; {valid}. In {folder} there is: {near}. Correct the path.")
