"""Values of options: what no command can have is told in a sentence; what was saved and what is given make one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainable.errors import InputError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NONE_TOLD = "none is told"
"""Beside the type of an option whose help says itself what none does. A word: options need no tyro before they are read."""
Group = TypeVar("Group", bound="DataclassInstance")
_APP = "twoview-tuner"


def cache_folder(chosen: str | None = None) -> Path:
    """Where rendered data is kept: as chosen, or in the user's cache folder."""
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / _APP


def check_range(name: str, value: float | None, low: float, high: float | None = None) -> None:
    """InputError for an option's value outside its range; none is in every range."""
    if value is not None and (value < low or (high is not None and value > high)):
        up_to = "" if high is None else f" to {high}"
        raise InputError(f"{name} is {value}; valid is a number from {low}{up_to}. Give such a number.")


def check_choice(name: str, value: str, valid: Iterable[str]) -> None:
    """InputError for an option's value that is not one of the valid ones."""
    if value in valid:
        return
    near = nearest(value, list(valid), count=2)
    why = " A loss is not among them: its floor moves with the temperature." if "loss" in value else ""
    perhaps = f", perhaps {near}" if near else ""
    raise InputError(f"{name} is {value!r}; valid are: {', '.join(valid)}.{why} Choose one of them{perhaps}.")


def tupled(value: Any) -> Any:
    """A list as the tuple that it was before it was written to a file; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def overridden(saved: Group, given: Group, default: Group) -> Group:
    """The saved options, with everything given that is not a default in place of the saved value."""
    changes = {}
    for item in dataclasses.fields(saved):
        old, new, plain = (getattr(source, item.name) for source in (saved, given, default))
        if dataclasses.is_dataclass(old) and not isinstance(old, type):
            changes[item.name] = overridden(old, new, plain)
        else:
            changes[item.name] = old if new == plain else new
    return dataclasses.replace(saved, **changes)
