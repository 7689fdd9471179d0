"""The command line read into a dataclass by tyro: how values are spelt in the help, and how wrong ones are answered."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from trainable import columns
from tuner.cli.values import NONE_TOLD

Options = TypeVar("Options")


def parse(cls: type[Options], arguments: Sequence[str] | None, prog: str, default: Options | None = None) -> Options:
    """The options given in `arguments` (None: those of this process), over those of `default`.

    Exits with 0 after --help, and with 2 after a message for what it cannot read; an InputError that the options raise
    goes through as it is.
    """
    _say_none_once(cls)
    read: Options = tyro.cli(
        cls,
        args=arguments,
        prog=prog,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        registry=_registry(),
    )
    return read


def _say_none_once(cls: type[Any]) -> None:
    """Leave "(default: none)" away where the help itself tells what none does; a default that is another is said."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            _say_none_once(typing.cast(type[Any], hint))
        elif NONE_TOLD in getattr(hint, "__metadata__", ()):
            said = tyro.conf.arg(help_behavior_hint=lambda text: "" if text == "none" else f"(default: {text})")
            cls.__annotations__[name] = typing.Annotated[typing.get_args(hint)[0], said]


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_value_or_none)
    registry.struct_rule(_without_hidden)
    return registry


def _without_hidden(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Columns that are no options keep the value that they have."""
    if not dataclasses.is_dataclass(info.type) or not (hidden := columns.hidden(info.type)):
        return None
    base = info.default if isinstance(info.default, info.type) else info.type()
    hints = typing.get_type_hints(info.type)
    shown = [
        StructFieldSpec(item.name, hints[item.name], getattr(base, item.name), item.metadata.get("help"))
        for item in dataclasses.fields(info.type)
        if item.name not in hidden
    ]
    return StructConstructorSpec(lambda **given: dataclasses.replace(base, **given), tuple(shown))


def _value_or_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Text and numbers (whole, finite, or several), or `none`, which tyro's own rule would spell {None}|INT."""
    kinds = typing.get_args(info.type) if info.type_origin in (typing.Union, types.UnionType) else (info.type,)
    optional = type(None) in kinds
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    parts = typing.get_args(kinds[0]) if kinds and typing.get_origin(kinds[0]) is tuple else kinds
    if len(kinds) != 1 or not all(part in _READ for part in parts):
        return None
    read, metavar = _READ[parts[0]]

    def build(words: list[str]) -> Any:
        if optional and words in (["none"], ["None"]):
            return None
        if len(words) != len(parts):
            raise ValueError(f"got {' '.join(words)!r}; valid are {len(parts)} numbers")
        values = tuple(read(word) for word in words)
        return values if typing.get_origin(kinds[0]) is tuple else values[0]

    def spell(value: Any) -> list[str]:
        return ["none"] if value is None else [str(v) for v in (value if isinstance(value, tuple) else (value,))]

    return PrimitiveConstructorSpec(
        nargs=(1, len(parts)) if optional and len(parts) > 1 else len(parts),
        metavar=" ".join([metavar] * len(parts)),
        instance_from_str=build,
        is_instance=lambda value: (optional and value is None) or isinstance(value, (*parts, int, tuple)),
        str_from_instance=spell,
    )


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"got {word!r}; valid is a whole number") from None


def _finite(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"got {word!r}; valid is a number")
    return number


_READ: dict[type, tuple[Callable[[str], Any], str]] = {
    int: (_whole, "INT"),
    float: (_finite, "FLOAT"),
    str: (str, "TEXT"),
}
