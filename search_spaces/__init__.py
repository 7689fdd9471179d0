"""Questions that a run can ask. Each file here is one: its docstring asks it, its `suggest(trial)` says what varies.

`suggest` takes an Optuna trial and, if it has a second parameter `blocks`, the backbone's number of blocks. The
dictionary that it returns is the configuration, constants included; if it returns None, the suggested parameters are.
"""

from __future__ import annotations

import difflib
import inspect
import os
import types
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

__all__ = ["Corner", "Probe", "SearchSpace", "SpaceError", "load", "names"]

_FOLDER = Path(__file__).parent


class SpaceError(ValueError):
    """A mistake in a space or its name. The message says what was got, what is valid and what to do."""


@dataclass(frozen=True)
class Corner:
    """A configuration at the end of one parameter's range, the other parameters at random."""

    parameter: str
    bound: Any
    configuration: dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """What a space can ask for, tried before a run: random configurations, and one at each end of every range."""

    configurations: list[dict[str, Any]]
    corners: list[Corner]
    distributions: dict[str, optuna.distributions.BaseDistribution]
    """By parameter; of several for one parameter the first seen."""


@dataclass(frozen=True)
class SearchSpace:
    """A question and the parameters that vary to answer it. Survives pickling wherever its file is."""

    name: str
    question: str
    function: Callable[..., dict[str, Any] | None]
    source: str
    """The whole text of the file."""
    path: str

    def __reduce__(self) -> tuple[Callable[..., SearchSpace], tuple[str, str, str]]:
        return _compiled, (self.name, self.source, self.path)

    def suggest(self, trial: optuna.Trial, blocks: int) -> dict[str, Any]:
        """The configuration of an Optuna trial; blocks: the backbone's number of blocks, all of which are trainable.

        Raises SpaceError if the space returns neither a dictionary nor None.
        """
        wants_blocks = "blocks" in inspect.signature(self.function).parameters
        returned = self.function(trial, blocks=blocks) if wants_blocks else self.function(trial)
        configuration = dict(trial.params) if returned is None else returned
        if not (isinstance(configuration, dict) and all(isinstance(key, str) for key in configuration)):
            raise SpaceError(
                f"the space {self.name} returned {configuration!r}; valid is a dictionary of parameter names and "
                f"values, or None for the suggested parameters. Change suggest in {self.path}."
            )
        return dict(configuration)

    def probe(self, blocks: int, count: int = 20, seed: int = 0, every: Collection[str] = ()) -> Probe:
        """Configurations at random and at the ends of every range; the same for the same seed.

        every: parameters of which all combinations are tried, as far as the space suggests them. Raises SpaceError if
        `suggest` raises, for instance on a logarithmic range from 0.
        """
        ask = _Asker(self, blocks, seed)
        samples = [ask({}) for _ in range(count)]
        ranges: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}  # one parameter can have several ranges
        for trial, _ in samples:
            before: dict[str, Any] = {}  # what was suggested earlier decides whether and from where a parameter is
            for name, distribution in trial.distributions.items():
                ranges.setdefault((name, repr(distribution)), (distribution, dict(before)))
                before[name] = trial.params[name]
        corners = [
            Corner(name, bound, ask({**before, name: bound})[1])
            for (name, _), (distribution, before) in ranges.items()
            for bound in _bounds(distribution)
        ]
        values = {name: _all_values(name, ranges, self.path) for name in dict.fromkeys(n for n, _ in ranges) if name in every}
        samples += [ask(dict(zip(values, each, strict=True))) for each in product(*values.values()) if values]
        return Probe([configuration for _, configuration in samples], corners, _first_of_each(ranges))


def names() -> list[str]:
    """The names of the spaces that come with the project, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(name_or_path: str | os.PathLike[str]) -> SearchSpace:
    """The space of this name, or in the Python file at this path (it ends in .py).

    Raises SpaceError if there is no such space, or if its file has no usable `suggest`.
    """
    text = os.fspath(name_or_path)
    if text in names():
        path = _FOLDER / f"{text}.py"
    elif text.endswith(".py") or len(Path(text).parts) > 1:
        path = Path(text).expanduser().resolve()
    else:
        near = difflib.get_close_matches(text, names(), cutoff=0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise SpaceError(
            f"there is no space {text!r}.{meant} Valid spaces are: {', '.join(names())}, "
            "or the path of a Python file of your own that ends in .py."
        )
    return _compiled(path.stem, _read(path), str(path))


def _read(path: Path) -> str:
    valid = "valid is the path of a Python file with a function suggest(trial). Change the path, or name a space: "
    if not path.is_file():
        raise SpaceError(f"the space {str(path)!r} is not a file; {valid}{', '.join(names())}.")
    if path.suffix != ".py":
        raise SpaceError(f"the space {str(path)!r} does not end in .py; {valid}{', '.join(names())}.")
    if not any(letter.isalpha() for letter in path.stem):
        raise SpaceError(f"the space {str(path)!r} has no letter in its name. Rename the file.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"the space {str(path)!r} cannot be read: {error}; {valid}{', '.join(names())}.") from error


def _compiled(name: str, source: str, path: str) -> SearchSpace:
    module = types.ModuleType(name)
    module.__file__ = path
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        what = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise SpaceError(f"the space {path!r} is not Python, {what}. Correct it.") from error
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:  # the user's own code can raise anything, and a script may call exit()
        raise SpaceError(f"the space {path!r} fails when it is read, {_what(error, path)}. Correct it.") from error
    function = getattr(module, "suggest", None)
    if not (inspect.isfunction(function) and _takes_trial(function)):
        got = f"suggest{inspect.signature(function)}" if inspect.isfunction(function) else "no function suggest"
        raise SpaceError(
            f"the space {path!r} has {got}; valid is suggest(trial), or suggest(trial, blocks) where blocks is the "
            "backbone's number of blocks. Define it in the file."
        )
    return SearchSpace(name, _question(module, path), function, source, path)


def _question(module: types.ModuleType, path: str) -> str:
    first_paragraph = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0]
    return " ".join(first_paragraph.split()) or f"(not stated: give {Path(path).name} a docstring that asks it)"


def _takes_trial(function: Callable[..., Any]) -> bool:
    """Whether the function can be called as f(trial), or as f(trial, blocks=…) if it has a parameter of that name."""
    signature = inspect.signature(function)
    try:
        signature.bind(None, **({"blocks": 0} if "blocks" in signature.parameters else {}))
    except TypeError:
        return False
    return True


class _Asker:
    """Asks a space for one configuration after the other, some parameters fixed."""

    def __init__(self, space: SearchSpace, blocks: int, seed: int) -> None:
        import optuna  # here: naming the spaces need not wait for it

        self._space, self._blocks = space, blocks
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # nobody needs to read that a study was created
        self._study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        optuna.logging.set_verbosity(verbosity)

    def __call__(self, fixed: dict[str, Any]) -> tuple[optuna.Trial, dict[str, Any]]:
        if fixed:
            self._study.enqueue_trial(fixed)
        trial = self._study.ask()
        try:
            return trial, self._space.suggest(trial, self._blocks)
        except SpaceError:
            raise
        except (Exception, SystemExit) as error:  # the user's own code can raise anything
            what = _what(error, self._space.path)
            raise SpaceError(f"the space {self._space.path!r} fails when asked, {what}. Correct suggest.") from error


def _first_of_each(ranges: dict[tuple[str, str], tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for (name, _), (distribution, _) in ranges.items():
        first.setdefault(name, distribution)
    return first


def _bounds(distribution: Any) -> list[Any]:
    choices = getattr(distribution, "choices", None)
    return list(choices) if choices is not None else [distribution.low, distribution.high]


def _all_values(name: str, ranges: dict[tuple[str, str], tuple[Any, Any]], path: str) -> list[Any]:
    """All that the parameter can be; SpaceError where that is a range of real numbers."""
    found: list[Any] = []
    for (ranged, _), (distribution, _) in ranges.items():
        if ranged != name:
            continue
        if hasattr(distribution, "choices"):
            found += distribution.choices
        elif isinstance(distribution.low, int) and not distribution.log:
            found += range(distribution.low, distribution.high + 1, distribution.step)
        else:
            raise SpaceError(
                f"the space {path!r} suggests {name} from a range of numbers, each of which is made before the search; valid "
                f"are a few. Write trial.suggest_categorical({name!r}, [...])."
            )
    return list(dict.fromkeys(found))


def _what(error: BaseException, path: str) -> str:
    """The error in one line, with the line of the space's file that it came through."""
    lines, traceback = [], error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"
