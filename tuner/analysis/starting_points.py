"""Configurations that did best in earlier runs, for a search that starts from what is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd

from trainable.config import STARTS_FROM, TrialConfig, sign
from trainable.errors import InputError
from tuner.results import configuration
from tuner.results.tables import known_runs, plain_rows, runs, trials
from tuner.results.trial_record import COMPLETED, PRUNED

AUTO = "auto"


@dataclass(frozen=True)
class StartingPoint:
    """A configuration that did well in another run."""

    config: TrialConfig
    origin: str
    """RUN/TRIAL."""


@dataclass(frozen=True)
class Search:
    """What a search is about, to tell which earlier runs it can learn from."""

    space: str
    searched: tuple[str, ...]
    backbone: str
    data_fingerprint: str | None


def starting_points(root: str, asked: Sequence[str], search: Search) -> list[StartingPoint]:
    """Each run's best configurations: the best of every run first, then the second of every run, and so on.

    asked: names of runs, or only `auto`: every run in the results with the same backbone that searched one of these
    parameters, also on other data; those on the same data first, then those of the same space, then the newest. Raises
    InputError for a run that is not there or has nothing to offer.
    """
    known = known_runs(root)
    if not asked or (list(asked) == [AUTO] and not known):
        return []
    if missing := [name for name in asked if name not in known and list(asked) != [AUTO]]:
        raise InputError(
            f"--start-from {' '.join(missing)}: no such run in {root}; valid are auto alone, or names of runs: "
            f"{', '.join(known) or 'there are none yet'}. Name one of them, or give another --results."
        )
    rows = plain_rows(runs(root, None if list(asked) == [AUTO] else list(asked)))
    chosen = _comparable(rows, search) if list(asked) == [AUTO] else rows
    table = trials(root, [row["run"] for row in chosen]) if chosen else pd.DataFrame()
    begun_with = [name for name in STARTS_FROM if name in search.searched]
    ranked = [_best_first(table[table.run == row["run"]], row, begun_with) for row in chosen]
    if list(asked) != [AUTO]:
        _check_offers(chosen, ranked)
    return [point for points in zip_longest(*ranked) for point in points if point is not None]


def _comparable(rows: Iterable[dict[str, Any]], search: Search) -> list[dict[str, Any]]:
    alike = [r for r in rows if r["backbone"] == search.backbone and {*(r["searched"] or ())} & {*search.searched}]
    newest_first = sorted(alike, key=lambda r: (r["started_at"] is not None, r["started_at"]), reverse=True)
    return sorted(
        newest_first, key=lambda r: (r["data_fingerprint"] != search.data_fingerprint, r["space"] != search.space)
    )


def _check_offers(rows: Sequence[dict[str, Any]], ranked: Sequence[list[StartingPoint]]) -> None:
    for row, points in zip(rows, ranked, strict=True):
        if not points:
            raise InputError(
                f"--start-from {row['run']}: no trial of this run has an epoch that was ranked; valid is a run that has. "
                "Leave it out, or name another one."
            )


def _best_first(table: pd.DataFrame, run: dict[str, Any], begun_with: Sequence[str]) -> list[StartingPoint]:
    """Of one run, completed trials before those that were stopped early; begun_with: what to write out of STARTS_FROM."""
    able = [r for r in plain_rows(table) if r["state"] in (COMPLETED, PRUNED) and r["objective"] is not None]
    better = sign(run["metric"])
    able.sort(key=lambda r: (r["state"] == COMPLETED, better * r["objective"], -r["trial"]), reverse=True)
    return [
        StartingPoint(
            configuration.of_row({**row, **_written(row, run, begun_with), "max_epochs": None, "seed": None}),
            f"{run['run']}/{row['trial']}",
        )
        for row in able
    ]


def _written(row: dict[str, Any], run: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """These cells, with what the trial left to its run: another run may have other ones."""
    return {name: run[name] if row[name] is None else row[name] for name in names}
