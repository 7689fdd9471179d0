"""Options by their names rather than by words of a command line: of a TOML file, and of a call in Python."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from trainable import columns
from trainable.errors import InputError, nearest
from tuner.cli.run_options import RunOptions

NOT_KEPT = ("list_spaces", "config", "save_config")
"""What belongs to a command, not to a run: neither a file of options nor a call has it."""


@dataclasses.dataclass(frozen=True)
class NamedOption:
    """One option: the group that holds it (None: the options themselves), its type and its default."""

    group: str | None
    name: str
    type: Any
    default: Any


@cache
def named_options() -> dict[str, NamedOption]:
    """Every option of a run by its name, that of the command line with underscores, in the order of the help."""
    return {option.name: option for option in _options(RunOptions(), None) if option.name not in NOT_KEPT}


def _options(holder: Any, group: str | None) -> Iterator[NamedOption]:
    hints, hidden = typing.get_type_hints(type(holder)), columns.hidden(type(holder))
    for field in dataclasses.fields(holder):
        if field.name in hidden:
            continue
        value = getattr(holder, field.name)
        if dataclasses.is_dataclass(value):
            yield from _options(value, field.name)
        else:
            yield NamedOption(group, field.name, hints[field.name], value)


def from_names(values: Mapping[str, Any], what: str = "run_search") -> RunOptions:
    """The options with these values, the others at their defaults; what: where they were given, for messages.

    Raises InputError for a name that is no option's, and for a value of another type.

    >>> from tuner.cli.named_options import from_names
    >>> from_names({"trials": 32, "learning_rate": 3e-4}).search.trials
    32
    """
    known = named_options()
    groups: dict[str | None, dict[str, Any]] = {}
    for given, value in values.items():
        name = given.replace("-", "_")
        if name not in known:
            near = nearest(name, list(known))
            perhaps = f" Perhaps {near}?" if near else ""
            raise InputError(f"{what}: there is no option {given!r}.{perhaps} Valid are: {', '.join(known)}.")
        option = known[name]
        groups.setdefault(option.group, {})[name] = _typed(option, value, what)
    options = RunOptions()
    held = {
        group: dataclasses.replace(getattr(options, group), **changes)
        for group, changes in groups.items()
        if group is not None
    }
    return dataclasses.replace(options, **held, **groups.get(None, {}))


def _typed(option: NamedOption, value: Any, what: str) -> Any:
    union = typing.get_origin(option.type) in (typing.Union, types.UnionType)
    kinds = typing.get_args(option.type) if union else (option.type,)
    if type(None) in kinds and (value is None or value in ("none", "None")):
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))
    try:
        return _read(kind, value)
    except (TypeError, ValueError):
        or_none = " or none" if type(None) in kinds else ""
        raise InputError(
            f"{what}: {option.name} is {value!r}; valid is {_words(kind)}{or_none}. Give such a value."
        ) from None


def _read(kind: Any, value: Any) -> Any:
    """The value as this type; TypeError or ValueError if it is of another."""
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        many = list(value) if isinstance(value, list | tuple) else [value]
        if parts[-1] is not Ellipsis and len(many) != len(parts):
            raise ValueError
        return tuple(_read(parts[0], one) for one in many)
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind is bool or isinstance(value, bool):
        if kind is bool and isinstance(value, bool):
            return value
        raise TypeError
    if kind is str:
        if isinstance(value, str):
            return value
        raise TypeError
    number = kind(value) if hasattr(value, "__index__") or hasattr(value, "__float__") else None
    if number is None or not math.isfinite(number) or number != value:
        raise TypeError
    return number


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        return "a list of texts" if parts[-1] is Ellipsis else f"a list of {len(parts)} numbers"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]


def read_config(path: str) -> RunOptions:
    """The options of a TOML file, `name = value`, a line each. Raises InputError for what is no such file."""
    file = Path(path).expanduser()
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"--config {path}: it cannot be read ({error}); valid is a TOML file with a line `name = value` for each option, "
            "as --save-config writes it. Correct it."
        ) from error
    return from_names(values, f"--config {path}")


def write_config(options: RunOptions, path: str) -> None:
    """All options as a TOML file that `read_config` reads back. Raises InputError where it cannot be written."""
    lines = ["# python -m tuner.run --config THIS_FILE; what stands on the command line counts more\n"]
    for name, option in named_options().items():
        value = getattr(options if option.group is None else getattr(options, option.group), name)
        line = f"{name} = {_toml(value)}\n"
        lines.append(f"# {line}" if value is None and option.default is None else line)
    try:
        Path(path).expanduser().write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"--save-config {path}: it cannot be written ({error}); valid is a file in a folder that you may write. "
            "Give another one."
        ) from error


def _toml(value: Any) -> str:
    """A value as TOML has it: JSON's spelling, which is the same for texts, numbers, truth values and lists of them."""
    return json.dumps("none" if value is None else value, ensure_ascii=False)
