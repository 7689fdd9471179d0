"""What a column is: its meaning, unit and valid range, said once, beside the dataclass field that holds it.

The command line's help, range checks, the schema of the result tables and their dictionary are all made from this. Light on
purpose: `--help` reads it.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from trainable.errors import InputError

Computed = TypeVar("Computed", bound=Callable[[Any], Any])


@dataclass(frozen=True)
class Column:
    """What is said of a column where it is declared; `of` adds its name and type."""

    meaning: str
    """A few words, as they stand in the column dictionary; in help they become a sentence."""
    unit: str = ""
    low: float | None = None
    """The smallest valid value."""
    above: float | None = None
    """What a valid value is larger than, in place of `low`."""
    high: float | None = None
    """The largest valid value."""
    text: str = ""
    """Of a text: what a valid one is, in words."""
    option: bool = True
    """Whether the command line has an option for it."""
    whole: bool = False
    """Only whole numbers are valid; so it is where the default is one."""
    none: str | None = None
    """What None stands for, where it is valid."""
    better: str | None = None
    """max or min, for what trials can be ranked by: which direction is better."""
    key: bool = False
    """Never null: a row is found by it."""
    stored_as: str = ""
    """Its name in the tables, where that is another one."""
    name: str = ""
    default: Any = None
    kind: Any = None
    """The type of its values, None aside."""

    @property
    def stored(self) -> str:
        """Its name in the tables."""
        return self.stored_as or self.name

    @property
    def valid(self) -> str:
        """The valid values in words, as `a number above 0 and up to 1`."""
        noun = "a whole number" if self.whole else "a cosine" if self.unit == "cosine" else self.text or "a number"
        below = "" if self.high is None else f" to {self.high:g}"
        if self.above is not None:
            noun += f" above {self.above:g}"
            below = below and f" and up{below}"
        elif self.low is not None:
            noun += f" from {self.low:g}"
        return noun + below + ("" if self.none is None else f", or none for {self.none}")

    @property
    def help(self) -> str:
        """Meaning and valid values as a sentence for the command line."""
        said = self.meaning.replace("`", "")
        return f"{said[0].upper()}{said[1:]}; {self.valid}."

    def checked(self, value: Any) -> Any:
        """The value, a whole number as int; InputError if it is not valid.

        >>> temperature = Column("temperature", above=0, name="temperature")
        >>> temperature.checked(0.07)
        0.07
        >>> temperature.checked(0)
        Traceback (most recent call last):
        trainable.errors.InputError: temperature is 0; valid is a number above 0. Change it in the space or on the command line.
        """
        if value is None and self.none is not None:
            return None
        if not self._holds(value):
            raise InputError(
                f"{self.name} is {value!r}; valid is {self.valid}. Change it in the space or on the command line."
            )
        return int(value) if self.whole else value  # a space may suggest 64.0, which is no layer's width

    def _holds(self, value: Any) -> bool:
        if self.text:
            return isinstance(value, str) and bool(value)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return False
        if self.whole and value != int(value):
            return False
        enough = (self.low is None or value >= self.low) and (self.above is None or value > self.above)
        return enough and (self.high is None or value <= self.high)


def hidden(cls: type[Any]) -> set[str]:
    """The fields of a dataclass that are no options of the command line."""
    return {item.name for item in dataclasses.fields(cls) if not item.metadata.get("column", Column("")).option}


def about(meaning: str, unit: str = "", **more: Any) -> dict[str, Any]:
    """The metadata of a dataclass field that is a column, for where `column` does not fit: type checkers see that a plain
    `field(metadata=about(…))` has no default."""
    said = Column(meaning, unit, **more)
    return {"column": said, "help": said.help}  # tyro shows the help


def column(meaning: str, unit: str = "", *, default: Any = dataclasses.MISSING, **more: Any) -> Any:
    """A dataclass field that is a column. more: further fields of Column. A default that is a type, such as list, is called
    for each object."""
    metadata = about(meaning, unit, **{"whole": type(default) is int, **more})
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def computed(meaning: str, unit: str = "", **more: Any) -> Callable[[Computed], Computed]:
    """Marks a method without arguments as a column, below @property; its return type is the column's."""

    def mark(method: Computed) -> Computed:
        method.__dict__["column"] = Column(meaning, unit, **more)
        return method

    return mark


@cache
def of(cls: type[Any]) -> dict[str, Column]:
    """The columns that a dataclass declares, by name, in order: first its fields, then what it computes.

    >>> @dataclass
    ... class Row:
    ...     size_px: int | None = column("edge of the square images", "px", low=8, whole=True)
    >>> of(Row)["size_px"].valid
    'a whole number from 8'
    """
    hints = typing.get_type_hints(cls)
    found = {}
    for item in dataclasses.fields(cls):
        if "column" in item.metadata:
            default = None if item.default is dataclasses.MISSING else item.default
            of_field = {"name": item.name, "default": default, "kind": without_none(hints[item.name])}
            found[item.name] = dataclasses.replace(item.metadata["column"], **of_field)
    for name, value in vars(cls).items():
        getter = value.fget if isinstance(value, property) else None
        said = getattr(getter, "column", None)
        if said is not None:
            kind = without_none(typing.get_type_hints(getter)["return"])
            found[name] = dataclasses.replace(said, name=name, kind=kind)
    return found


def without_none(hint: Any) -> Any:
    """`float` of `float | None`; other types as they are."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    (kind,) = (part for part in typing.get_args(hint) if part is not type(None))
    return kind
