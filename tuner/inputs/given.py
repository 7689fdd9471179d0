"""What a call in Python gives in place of a file, a table of pairs or a function that is a space, kept as a file: so a run can
be gone on with, and its space read, when the call is forgotten."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import re
import textwrap
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from trainable.errors import InputError
from tuner.cli.values import cache_folder

_IMAGES = ("front", "angle")
_VALID_SPACE = (
    "valid is a name, the path of a .py file, or a function suggest(trial) that stands in a file or a notebook"
)


def kept_folder(results: str, cache: str | None) -> Path:
    """Where they are kept: below the results, or in the cache where those do not lie on this machine."""
    return (cache_folder(cache) if "://" in results else Path(results).expanduser().resolve()) / "inputs"


def data_option(data: Any, folder: Path) -> str:
    """The option `data` for a path or a pandas.DataFrame, which is written below `folder`. InputError for anything else.

    Paths of images that are relative are taken from the current folder, as the frame has none of its own.
    """
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    if not _is_frame(data):
        raise InputError(
            f"data is of type {type(data).__name__}; valid is a pandas.DataFrame with the columns front, angle and pair_label, "
            "the path of a pair table or a folder, or nothing for the embedded set. Give one of them."
        )
    frame = data.reset_index(drop=True).copy()
    for name in (name for name in _IMAGES if name in frame):
        frame[name] = [_absolute(value) for value in frame[name]]
    stream = BytesIO()
    try:
        frame.to_parquet(stream, index=False)
    except (ValueError, TypeError) as error:  # pyarrow's errors are of these kinds
        first = str(error).partition("\n")[0]
        raise InputError(
            f"data: the frame cannot be written as a table ({first}); valid are columns whose values are all of one type. "
            "Correct the column."
        ) from error
    return str(_kept(folder, "pairs.parquet", stream.getvalue()))


def _is_frame(data: Any) -> bool:
    """A pandas.DataFrame, told without importing pandas."""
    return any(
        kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame" for kind in type(data).__mro__
    )


def _absolute(value: Any) -> Any:
    if isinstance(value, str | os.PathLike) and os.fspath(value) and "://" not in os.fspath(value):
        return str(Path(value).expanduser().absolute())
    return value


def space_option(space: Any, folder: Path) -> str:
    """The option `space` for a name, a path or a function, whose source is written below `folder`. InputError else."""
    if isinstance(space, str | os.PathLike):
        return os.fspath(space)
    if not inspect.isfunction(space) or not space.__name__.isidentifier():
        what = "a lambda" if inspect.isfunction(space) else f"of type {type(space).__name__}"
        raise InputError(f"space is {what}; {_VALID_SPACE}. Give one of them.")
    return str(_kept(folder, f"{space.__name__}.py", _space_file(space).encode()))


def _space_file(function: Callable[..., Any]) -> str:
    """A file that holds the function as `suggest`, its docstring as the question, and what it uses from outside."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise InputError(
            f"space: the source of {function.__name__} is not known ({error}); {_VALID_SPACE}. Write it to a file, and give "
            "its path."
        ) from error
    question = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]
    head = [f'"""{question}"""\n'] if question and '"""' not in question and "\\" not in question else []
    head.append("from __future__ import annotations\n")
    head += [line for name, value in _outside(function).items() if (line := _definition(function, name, value))]
    last = "" if function.__name__ == "suggest" else f"\n\nsuggest = {function.__name__}\n"
    return "\n".join([*head, "", source.rstrip() + "\n"]) + last


def _outside(function: Callable[..., Any]) -> dict[str, Any]:
    """The global names, and those of functions around it, that the function uses, with their values."""
    used = inspect.getclosurevars(function)
    return {**used.globals, **used.nonlocals}


def _definition(function: Callable[..., Any], name: str, value: Any) -> str:
    """A line that gives the name its value in a file of its own. InputError where a line cannot."""
    if value is function:
        return ""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    home, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if home not in (None, "__main__", function.__module__) and re.fullmatch(r"\w+", own):
        return f"from {home} import {own} as {name}"
    try:
        if ast.literal_eval(repr(value)) == value:
            return f"{name} = {value!r}"
    except (ValueError, SyntaxError):
        pass
    raise InputError(
        f"space: {function.__name__} uses {name}, {value!r}, which stands outside of it and cannot be kept with it; valid are "
        "modules, what can be imported, and plain values. Define it inside of the function, or write the space to a file."
    )


def _kept(folder: Path, name: str, content: bytes) -> Path:
    """The file with this content: one of the same content has the same path."""
    path = folder / hashlib.sha256(content).hexdigest()[:12] / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(path)
    return path
