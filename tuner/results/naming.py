"""Which run is meant: by its name, the start of it, its space, or as the latest one."""

from __future__ import annotations

from pathlib import Path

from trainable.errors import InputError
from tuner.results import tables
from tuner.results.store import Store

LATEST = "latest"


def named_run(root: str | Path | Store, asked: str) -> str:
    """The name of the run that is meant: a name, `latest`, a space (its latest run), or the start of one name only.

    What means none is given back as it is: whoever reads the run says that it is not there. Raises InputError where
    several names begin so.

    >>> from tuner.results.naming import named_run
    >>> named_run("results", "latest"), named_run("results", "temp")
    ('temperature-before-rooms', 'temperature-before-rooms')
    """
    store = Store.at(root)
    known = tables.known_runs(store)
    if asked in known or not known or not asked:
        return asked
    spaces = _by_start(store)
    meant = [run for run, space in spaces.items() if asked in (LATEST, space)]
    if meant:
        return meant[-1]
    begin = [run for run in known if run.startswith(asked)]
    if len(begin) > 1:
        raise InputError(
            f"{len(begin)} runs in {store.uri!r} begin with {asked!r}: {', '.join(begin)}; valid is a name, the start of one "
            "name only, the name of a space (its latest run), or latest. Give more of the name."
        )
    return begin[0] if begin else asked


def _by_start(store: Store) -> dict[str, str]:
    """The space of each run, by the run's name, the one that started last at the end."""
    rows = tables.runs(store, columns=["started_at"]).sort_values(["started_at", "run"], na_position="first")
    return dict(zip(rows["run"].astype(str), rows["space"].astype(str), strict=True))
