"""docs/tree.md: every module with the first sentence of its docstring. `python -m tests.tools.tree` writes it anew."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "tree.md"
PACKAGES = ("search_spaces", "trainable", "tuner", "benchmarks")
_WIDTH = 34
_HEAD = """# The tree

A verb is a door (a file in `tuner/`), a noun is a room (a folder). Which room may import which is a table in
`tests/whole/test_architecture.py`. `tests/` mirrors the rooms: `tests/tuner/search/test_searcher.py` tests
`tuner/search/searcher.py`; `tests/on_ray/` runs on a real Ray, `tests/whole/` on the whole system.

"""


@functools.cache
def parsed(path: Path) -> ast.Module:
    """A source file's syntax tree, made once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def text() -> str:
    """The page as it should be."""
    lines = [line for package in PACKAGES for line in _lines(ROOT / package, 0)]
    return _HEAD + "```\n" + "\n".join(lines) + "\n```\n"


def _lines(folder: Path, depth: int) -> Iterator[str]:
    yield _line(f"{folder.name}/", folder / "__init__.py", depth)
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    yield from (_line(path.name, path, depth + 1) for path in modules)
    rooms = sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file())
    for room in rooms:
        yield from _lines(room, depth + 1)


def _line(name: str, path: Path, depth: int) -> str:
    described = ast.get_docstring(parsed(path)) or ""
    paragraph = " ".join(described.split("\n\n")[0].split())
    return f"{'  ' * depth + name:{_WIDTH}} {paragraph}"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
