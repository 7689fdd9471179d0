"""What several runs say, side by side: who leads and how surely, what each parameter does, what accuracy costs in seconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from trainable.config import METRICS, TrialConfig, idle, sign
from tuner.analysis import text
from tuner.analysis.advice import RUN_COLUMNS as ADVICE_COLUMNS
from tuner.analysis.advice import advise
from tuner.analysis.expectation import COLUMNS as EXPECTATION_COLUMNS
from tuner.analysis.expectation import expectation
from tuner.analysis.importance import Effect, effects
from tuner.analysis.pareto import front
from tuner.analysis.winner import rates
from tuner.results.one_run import asked_for, searched_in
from tuner.results.tables import plain_rows

GROUP = ["data", "data_fingerprint", "metric"]
"""Runs that agree in these are ranked against each other, and no others. `data` is where the first of them found the pairs."""
_SETTING = ["backbone", "weights", "image_size_px", "views"]
_TEST = [
    f"test_{what}{end}"
    for what in ("accuracy_winner", "accuracy_default", "difference", "difference_solved")
    for end in ("", "_low", "_high")
]
_PARAMETERS = [name for name in TrialConfig.names() if name not in ("seed", "epochs")]
_FIXED = ["max_epochs", *(name for name in _PARAMETERS if name != "threshold")]
_TOLD = [
    "space", "run", "trial", "state", "is_default", "replay_of", "repeat_of", "objective", "train_s", "parameters",
    "image_ms", "over_limits", "max_epochs", "threshold_source",
]  # fmt: skip
_NOTED = ["threshold_for", "threshold_winner", "state", "searched", "objectives", "hostname", "device", "started_at", "wall_s"]
_NOTED += [*_SETTING, *_TEST]
_SAID = list(dict.fromkeys([*ADVICE_COLUMNS, *EXPECTATION_COLUMNS]))
_NOTED += [name for name in _SAID if name not in (*_NOTED, *GROUP)]
_WITH_INTERVAL = ["val_auc", "val_accuracy"]
_ACCURACY = [f"{name}{end}" for name in _WITH_INTERVAL for end in ("", "_low", "_high")] + ["val_accuracy_solved"]
RUN_COLUMNS, TRIAL_COLUMNS = [*GROUP, *_NOTED], [*_TOLD, *_ACCURACY, *_PARAMETERS]
"""What a comparison reads of the tables."""
RATES = ["true_accept_rate", "false_accept_rate", "tar_at_far_1e1", "tar_at_far_1e2", "tar_at_far_1e3"]
"""What `with_rates` adds to the leaderboard."""


@dataclass(frozen=True)
class Comparison:
    """Three tables; the rows of each say in GROUP's columns which runs they may be compared with."""

    leaderboard: pd.DataFrame
    """One row a run, the best of a group first. `rank_low` to `rank_high`: places that noise could give it."""
    effects: pd.DataFrame
    """One row a searched parameter and `comparison`: runs that differ in nothing but what they searched and their seed."""
    prices: pd.DataFrame
    """One row a trial that no other one of its group on the same machine beats in both objective and `cost`: seconds, and what
    else the runs' objectives weigh."""

    def groups(self) -> Iterator[tuple[dict[str, str], Comparison]]:
        """Each group's name, by GROUP's columns, with its part of the tables."""
        for _, names in self.leaderboard[GROUP].drop_duplicates().iterrows():
            parts = (table[(table[GROUP] == names).all(axis=1)] for table in self.tables().values())
            yield {str(name): value for name, value in names.items()}, Comparison(*parts)

    def tables(self) -> dict[str, pd.DataFrame]:
        """By name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def compare(runs: pd.DataFrame, trials: pd.DataFrame) -> Comparison:
    """Compare runs: rows of `results.runs()` and of `results.trials()`, the same runs in both."""
    runs, trials = _described(runs, trials), trials[TRIAL_COLUMNS]
    by_group = [
        (runs[runs.group == group], trials[trials.run.isin(runs.run[runs.group == group])])
        for group in runs.group.drop_duplicates()
    ]
    return Comparison(
        _joined([_leaderboard(part, tried) for part, tried in by_group]),
        _joined([_effects(part, tried) for part, tried in by_group]),
        _joined([_prices(part, tried) for part, tried in by_group]),
    )


def with_rates(comparison: Comparison, scores: pd.DataFrame) -> Comparison:
    """The comparison with what each winner's threshold does to its validation pairs, in columns of the leaderboard.

    scores: rows of the table `scores` of the winners, at least; a winner without any has no rates.
    """
    of_trial = dict(list(scores.astype({"run": str}).groupby(["run", "trial"])))
    found: list[dict[str, float | None]] = []
    for row in plain_rows(comparison.leaderboard[["run", "trial", "threshold_winner"]]):
        pairs = of_trial.get((row["run"], row["trial"]))
        if pairs is None or row["threshold_winner"] is None or pairs.pair_label.nunique() != 2:
            found.append({})
        else:
            found.append(rates(row["threshold_winner"], pairs.score.to_numpy(), pairs.pair_label.to_numpy()))
    board = comparison.leaderboard
    return replace(comparison, leaderboard=board.join(pd.DataFrame(found, board.index, RATES, dtype=float)))


def _described(runs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Runs with what they searched, their group and `setting`, all that is the same for a run's trials."""
    runs = runs.sort_values("started_at", kind="stable").astype(dict.fromkeys(GROUP, object))
    runs["data_fingerprint"] = runs.data_fingerprint.fillna("unknown, of " + runs.run)  # equal to no other's
    runs["data"] = runs.data.fillna("unknown").groupby(runs.data_fingerprint).transform("first")
    unknown = runs[~runs.metric.isin(METRICS)]
    if len(unknown):
        warnings.warn(
            f"runs that were ranked by something unknown are left out: {', '.join(unknown.run)}", stacklevel=3
        )
    runs = runs[runs.metric.isin(METRICS)].sort_values(GROUP, kind="stable", ignore_index=True)
    searched = [
        list(noted) if noted is not None else searched_in(trials[trials.run == run])
        for run, noted in zip(runs.run, runs.searched, strict=True)
    ]
    fixed = trials.groupby("run", observed=True)[_FIXED].first().reindex(runs.run).to_dict("records")
    settings = [
        str([names, setting, {name: value for name, value in values.items() if name not in names}])
        for names, setting, values in zip(searched, runs[_SETTING].to_numpy().tolist(), fixed, strict=True)
    ]
    return runs.assign(
        searched=pd.Series(searched, runs.index), setting=settings, group=runs.groupby(GROUP, sort=False).ngroup()
    )


def _leaderboard(runs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    metric = runs.metric.iloc[0]
    winners = _with_interval(_best_of_each_run(trials, metric), metric)
    searched = dict(zip(runs.run, runs.searched, strict=True))
    winners["configuration"] = [_configuration(row, searched[row["run"]]) for row in winners.to_dict("records")]
    ended = pd.crosstab(trials.run, trials.state).reindex(columns=["sick", "failed"], fill_value=0)
    counts = ended.assign(trials=asked_for(trials).run.value_counts()).reset_index()
    shown = [
        *GROUP,
        "run",
        "space",
        "state",
        "threshold_for",
        "threshold_winner",
        *_SETTING[:1],
        "hostname",
        "device",
        "started_at",
        "wall_s",
        *_TEST,
    ]
    shown += [name for name in EXPECTATION_COLUMNS if not name.startswith("trials_")]
    columns = ["run", "trial", "objective", "objective_low", "objective_high", "configuration"]
    rows = runs[shown].merge(counts, how="left", on="run").merge(winners[columns], how="left", on="run")
    rows = rows.merge(_advice(runs, trials, winners), on="run")
    rows = rows.fillna({"trials": 0, "sick": 0, "failed": 0}).astype({"trials": int, "sick": int, "failed": int})
    better = sign(metric)
    rows = rows.iloc[np.argsort(-(better * rows.objective).fillna(-np.inf), kind="stable")]
    low, high = _places(rows, better)
    return rows.assign(
        rank_low=pd.Series(low, rows.index, dtype=object), rank_high=pd.Series(high, rows.index, dtype=object)
    )


def _advice(runs: pd.DataFrame, trials: pd.DataFrame, leaders: pd.DataFrame) -> pd.DataFrame:
    """One row a run: `action`, `headline` and `why`, what there is to do after it, and `expectation`, what its winner is worth
    by validation pairs, as its own page says."""
    ended = trials[trials.is_default.fillna(False).astype(bool)]
    by_run = [{row["run"]: row for row in plain_rows(part)} for part in (leaders, ended)]
    by_number = {(row["run"], row["trial"]): row for row in plain_rows(trials)}
    found = []
    for row in plain_rows(runs[["run", "searched", *_SAID]]):
        leader, default = (part.get(row["run"]) for part in by_run)
        leader = by_number.get((row["run"], row["winner_trial"]), leader)
        advice = advise(row, leader, default, row["searched"])
        said = {"action": advice.action, "headline": advice.headline, "why": advice.why}
        found.append({"run": row["run"]} | said | {"expectation": " ".join(expectation(row, leader)) or None})
    return pd.DataFrame(found, columns=["run", "action", "headline", "why", "expectation"])


def _best_of_each_run(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    can_win = trials[trials.state.isin(["completed", "pruned"]) & trials.objective.notna() & trials.repeat_of.isna()]
    order = ["objective", "val_accuracy", "trial"]  # as `best_of` ranks them while a run goes on
    ordered = can_win.sort_values(order, ascending=[METRICS[metric] == "min", False, True], kind="stable")
    return ordered.drop_duplicates("run")


def _with_interval(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`objective_low` and `objective_high`: the interval of the AUC, or of the accuracy at the trial's own threshold, moved to
    the objective, which may be at the solved one; missing for other metrics, of which no interval is kept."""
    of = metric if metric in _WITH_INTERVAL else _WITH_INTERVAL[0]
    moved = rows.objective - rows[of] if metric == of else np.nan
    low, high = rows[f"{of}_low"] + moved, rows[f"{of}_high"] + moved
    return rows.assign(objective_low=low.clip(lower=0), objective_high=high.clip(upper=1))


def _places(rows: pd.DataFrame, better: int) -> tuple[list[int | None], list[int | None]]:
    """The first and last place of each row that noise could give it; rows without an objective have none."""
    apart = _told_apart(rows, better)
    known = rows.objective.notna().to_numpy()
    above, below = apart[:, known].sum(1), apart.T[:, known].sum(1)
    low = [1 + int(count) if ok else None for count, ok in zip(above, known, strict=True)]
    high = [int(known.sum()) - int(count) if ok else None for count, ok in zip(below, known, strict=True)]
    return low, high


def _told_apart(rows: pd.DataFrame, better: int) -> np.ndarray:
    """(n, n) whether the second trial is better than the first by more than their intervals, taken as independent.

    On the same pairs the truth is narrower: what is told apart here is.
    """
    value = (better * rows.objective).to_numpy(dtype=float)
    down, up = rows.objective - rows.objective_low, rows.objective_high - rows.objective
    toward_worse, toward_better = (down, up) if better > 0 else (up, down)
    margin = np.hypot(toward_better.to_numpy(float)[:, None], toward_worse.to_numpy(float)[None, :])
    apart: np.ndarray = value[None, :] - value[:, None] > np.where(np.isnan(margin), np.inf, margin)
    return apart


def _effects(runs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    found = []
    for number, (_, alike) in enumerate(runs.groupby("setting", sort=False)):
        first = alike.iloc[0]
        what = {name: first[name] for name in [*GROUP, "backbone"]}
        what |= {"comparison": number, "spaces": sorted(set(alike.space)), "runs": sorted(alike.run)}
        measured = effects(trials[trials.run.isin(alike.run)], metric=first.metric, searched=first.searched)
        found += [what | asdict(effect) for effect in measured]
    about = [*GROUP, "backbone", "comparison", "spaces", "runs"]
    return pd.DataFrame(found, columns=[*about, *(item.name for item in fields(Effect))])


def _prices(runs: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    metric, better = runs.metric.iloc[0], sign(runs.metric.iloc[0])
    about = runs.set_index("run")[[*GROUP, "backbone", "hostname", "device", "searched"]]
    about = about.rename(columns={"backbone": "backbone_of_run"})
    found = []
    for _, same_machine in runs.groupby(["hostname", "device"], dropna=False):
        theirs = trials[trials.run.isin(same_machine.run)]
        for cost in _costs(same_machine):
            rows = front(theirs, metric=metric, costs=[cost])
            rows = _with_interval(rows[rows.pareto], metric).join(about, on="run")
            rows["backbone"] = rows.backbone.fillna(rows.backbone_of_run)  # its own where the trial did not choose
            rows = rows.assign(cost=cost, price=rows[cost], seconds=rows.get("seconds"))
            rows["gain"], rows["gain_certain"] = _gains(rows, better)
            rows["configuration"] = [_configuration(row, row["searched"]) for row in rows.to_dict("records")]
            found.append(rows)
    columns = [
        *GROUP,
        "hostname",
        "device",
        "cost",
        "price",
        "seconds",
        "objective",
        "objective_low",
        "objective_high",
        "gain",
        "gain_certain",
    ]
    return _joined(found)[[*columns, "space", "run", "trial", "backbone", "configuration"]]


def _costs(runs: pd.DataFrame) -> list[str]:
    """Seconds in any case, then what else their objectives weigh, in the order in which the runs were begun."""
    weighed = [cost for asked in runs.objectives if asked is not None for cost in asked[1:]]
    return list(dict.fromkeys(["seconds", *weighed]))


def _gains(rows: pd.DataFrame, better: int) -> tuple[list[float], list[bool]]:
    """What each price buys over the last one before it that surely bought something, and whether it surely does."""
    value, apart = (better * rows.objective).to_list(), _told_apart(rows, better)
    base, gains, certain = 0, [], []
    for place in range(len(rows)):
        gains.append(value[place] - value[base] if place else np.nan)
        certain.append(bool(apart[base, place]))
        base = place if certain[-1] else base
    return gains, certain


def _configuration(row: dict[Any, Any], searched: list[str]) -> str:
    """What the trial had of the searched parameters, and its threshold with where it is from.

    A threshold that was fixed, not searched, is not what trials rank by and a winner is tested at: that is solved.
    """
    names = [name for name in searched if name != "threshold" and pd.notna(row[name]) and not idle(name, row)]
    texts = [f"{name} {text.parameter(name, row[name])}" for name in names]
    fixed = row["threshold_source"] == "fixed"
    value, source = (None, "solved") if fixed else (row["threshold"], row["threshold_source"])
    return ", ".join([*texts, f"threshold {source}" if pd.isna(value) else f"threshold {value:.3f} {source}"])


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    full = [table for table in tables if len(table)]
    return pd.concat(full, ignore_index=True) if full else (tables[0] if tables else pd.DataFrame())
