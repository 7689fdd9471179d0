"""Which run is meant: by its name, the start of it, its space, or as the latest one."""

from __future__ import annotations

from pathlib import Path

from trainable.errors import InputError, nearest
from tuner.results import tables
from tuner.results.store import Store

LATEST = "latest"


def named_run(root: str | Path | Store, asked: str) -> str:
    """The name of the run that is meant: a name, `latest`, a space (its latest run), or the start of one name only.

    Raises InputError, with what there is, where none or several are meant.

    >>> named_run("results", "latest")
    'temperature-before-rooms'
    """
    store = Store.at(root)
    known = tables.known_runs(store)
    if asked in known:
        return asked
    of_space = _by_start(store) if known else {}
    meant = list(of_space) if asked == LATEST else [run for run, space in of_space.items() if space == asked]
    if meant:
        return meant[-1]
    begin = [run for run in known if asked and run.startswith(asked)]
    if len(begin) == 1:
        return begin[0]
    what = f"{len(begin)} runs begin so" if begin else "no such run"
    listed = begin or nearest(asked, known) or known
    raise InputError(
        f"there is no run {asked!r} in {store.uri!r} ({what}); runs are: "
        f"{(listed if isinstance(listed, str) else ', '.join(listed)) or 'none yet'}. Name one of them, the start of one name "
        "only, the name of a space, or latest; or change --results."
    )


def _by_start(store: Store) -> dict[str, str]:
    """The space of each run, by the run's name, the one that started last at the end."""
    rows = tables.runs(store, columns=["started_at", "run", "space"]).sort_values(["started_at", "run"])
    return dict(zip(rows["run"].astype(str), rows["space"].astype(str), strict=True))
