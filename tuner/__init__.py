"""Many trials: the search over a Ray cluster, its results and its command line.

from tuner import run_search

run = run_search("temperature", trials=8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.api import Run, run_search

__all__ = ["Run", "run_search"]


def __getattr__(name: str) -> Any:
    """What can be imported from here, loaded when it is asked for: importing `tuner` loads nothing."""
    if name in __all__:
        from tuner import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
