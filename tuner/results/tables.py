"""The result tables: Parquet files that are whole at every moment, from a run's first trial to its last.

    results/runs/space=temperature/run=RUN/part-0.parquet
    results/trials/space=temperature/run=RUN/part-0.parquet, part-00001.parquet …     the same for epochs: tuner.results.parts
    results/scores/space=temperature/run=RUN/trial-00007.parquet

The newest file is replaced as soon as a trial ends, by renaming a finished one over it (on an object store closing the upload
is the commit), so a reader finds the old rows or the new ones, and a killed driver loses no finished trial.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

from trainable.errors import InputError, nearest
from tuner.results.alive import last_sign
from tuner.results.reading import read_table
from tuner.results.schema import PART_FILE, PARTITIONS, SCHEMAS, SCORES_FILE
from tuner.results.store import Store

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


def known_runs(root: str | Path | Store) -> list[str]:
    """The names of all runs under the root, sorted; empty if there is none.

    >>> from tuner import results
    >>> results.known_runs("results")
    ['temperature-before-rooms']
    """
    store = Store.at(root)
    found = store.fs.get_file_info(pafs.FileSelector(store.path("runs"), allow_not_found=True, recursive=True))
    matches = (re.search(r"/run=([^/]+)/" + re.escape(PART_FILE) + "$", info.path) for info in found)
    return sorted({unquote(match[1]) for match in matches if match})


def state_dir(root: str | Path | Store, run: str) -> str:
    """Where a run keeps what it needs to go on: path or URI of a folder beside the tables, which is not made here.

    >>> from tuner import results
    >>> results.state_dir("/data/results", "temperature-a1b2")
    '/data/results/state/temperature-a1b2'
    """
    store = Store.at(root)
    return store.uri_of(store.path("state", quote(run, safe="")))


def runs(
    root: str | Path | Store = "results", runs: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a run; `runs` and `columns` limit it to those named. What the columns hold: results/README.md.

    A run that was killed, whose own last word is that it is running, is `dead`.
    Raises InputError for a folder or a run that is not there, ValueError for a column that is not in the table.

    >>> from tuner import results
    >>> results.runs("results")[["run", "state", "metric", "trials_done"]]
                            run     state        metric  trials_done
    0  temperature-before-rooms  finished  val_accuracy            4
    """
    store = Store.at(root)
    frame = _read("runs", store, runs, columns)
    if "state" in frame:
        frame["state"] = [
            "dead" if state == "running" and _is_dead(store, run) else state
            for state, run in zip(frame["state"], frame["run"], strict=True)
        ]
    return frame


def _is_dead(store: Store, run: str) -> bool:
    sign = last_sign(store.below("state", quote(run, safe="")))
    return sign is not None and not sign.lives


def trials(
    root: str | Path | Store = "results", runs: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a trial; `runs` and `columns` limit it to those named. What the columns hold: results/README.md.

    Raises the same errors as `runs`.

    >>> from tuner import results
    >>> trials = results.trials("results").sort_values("objective", ascending=False)
    >>> trials[["trial", "state", "temperature", "objective"]].head(2).round(3)
       trial      state  temperature  objective
    0      0  completed        0.070      0.550
    2      2  completed        1.398      0.475
    """
    return _read("trials", root, runs, columns)


def epochs(
    root: str | Path | Store = "results", runs: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a trial and epoch; `runs` and `columns` limit it to those named: results/README.md.

    Raises the same errors as `runs`.

    >>> from tuner import results
    >>> epochs = results.epochs("results", runs=["temperature-before-rooms"])
    >>> epochs[epochs.trial == 0][["epoch", "contrastive_loss", "val_auc"]].round(3)
       epoch  contrastive_loss  val_auc
    0      1             2.760    0.497
    1      2             2.582    0.525
    """
    return _read("epochs", root, runs, columns)


def scores(
    root: str | Path | Store = "results",
    runs: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    trials: Sequence[int] | None = None,
) -> pd.DataFrame:
    """One row a trial and validation pair; `runs`, `columns` and `trials` limit it to those given: results/README.md.

    Raises the same errors as `runs`.

    >>> from tuner import results
    >>> scores = results.scores("results", trials=[0])
    >>> scores.groupby("pair_label").score.mean().round(3)
    pair_label
    0    0.940
    1    0.943
    Name: score, dtype: float32
    """
    return _read("scores", root, runs, columns, trials)


def _read(
    table: str,
    root: str | Path | Store,
    wanted: Sequence[str] | None,
    columns: Sequence[str] | None,
    trials: Sequence[int] | None = None,
) -> pd.DataFrame:
    store = Store.at(root)
    if store.fs.get_file_info(store.root).type == pafs.FileType.NotFound:
        raise InputError(
            f"there is no {store.uri!r}; valid is a folder that python -m tuner.run has written results to."
        )
    if wanted is not None:
        wanted = [wanted] if isinstance(wanted, str) else wanted
        _check_runs(store, wanted)
    if columns is not None:
        columns = [name for name in columns if name not in PARTITIONS.names]
        check_names(table, columns)
    files = None if trials is None else [SCORES_FILE.format(trial) for trial in trials]
    rows = read_table(store, table, wanted, files, columns)
    frame: pd.DataFrame = rows.to_pandas(maps_as_pydicts="strict")
    # Without this a missing number would turn a column of integers into floats, and of truth values into objects.
    whole = {field.name: "Int64" for field in rows.schema if field.nullable and pa.types.is_integer(field.type)}
    truth = {field.name: "boolean" for field in rows.schema if pa.types.is_boolean(field.type)}
    return frame.astype(whole | truth)


def _check_runs(store: Store, wanted: Sequence[str]) -> None:
    known = known_runs(store)
    for run in wanted:
        if run not in known:
            raise InputError(
                f"there is no run {run!r} in {store.uri!r}; runs are: {', '.join(known) or 'none yet'}. "
                "Name one of them, or change --results."
            )


def check_names(table: str, given: Iterable[str]) -> None:
    """ValueError for a name that is no column of the table."""
    names = SCHEMAS[table].names
    for name in given:
        if name not in names:
            raise ValueError(f"the table {table} has no column {name!r}; near are: {nearest(name, names) or 'none'}")


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries of Python's own values, None where one is missing.

    >>> from tuner import results
    >>> results.plain_rows(results.trials("results", columns=["trial", "error"]))[0]["error"] is None
    True
    """
    from pandas import isna  # here, as `to_pandas` loads pandas only where a table is asked for

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, dict):
            return value
        if isinstance(value, list | np.ndarray):
            return list(value)
        if isna(value):
            return None
        return value.item() if isinstance(value, np.generic) else value

    return [{str(name): plain(value) for name, value in row.items()} for row in table.to_dict("records")]
