"""What a choice costs: seconds of training against what it reached, and the choices that no other beats in both."""

from __future__ import annotations

import pandas as pd

from trainable.config import METRICS
from trainable.errors import InputError


def prices(trials: pd.DataFrame, *, metric: str) -> pd.DataFrame:
    """The trials that can win, each with its price, the cheapest first.

    trials: rows of `results.trials()`, of runs on the same data and, as seconds are compared, on the same machine. metric:
    what they rank by, one of METRICS. Sick and failed trials are left out. Pruned ones count with what they had reached in
    the seconds that they had. A training judged at several thresholds is one choice, at its best threshold.

    Columns beside those of `trials`: `seconds`, the time of the training (of a replay that of the trial it is from), and
    `pareto`, whether no other trial is at least as good in no more seconds.
    """
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; valid are: {', '.join(METRICS)}. Choose one of them.")
    rows = trials.assign(_training=trials.replay_of.fillna(trials.trial), seconds=trials.train_s).reset_index(drop=True)
    replays = rows[rows.replay_of.notna()]
    if len(replays):
        trained = rows[rows.replay_of.isna()].set_index(["run", "trial"]).train_s
        theirs = trained.reindex(pd.MultiIndex.from_frame(replays[["run", "_training"]]))
        rows.loc[replays.index, "seconds"] = theirs.to_numpy()
    rows = rows[rows.state.isin(["completed", "pruned"]) & rows.objective.notna() & rows.seconds.notna()]
    best_first = METRICS[metric] == "min"
    rows = rows.sort_values("objective", ascending=best_first, kind="stable").drop_duplicates(["run", "_training"])
    rows = rows.sort_values("seconds", kind="stable").drop(columns="_training")  # among equally cheap the best first
    better = -rows.objective if best_first else rows.objective
    before = better.cummax().shift(fill_value=float("-inf"))
    return rows.assign(pareto=better > before).reset_index(drop=True)
