"""What a choice costs: seconds of training, or what else counts, against what it reached; and what no other choice beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from trainable.config import METRICS, sign
from trainable.errors import InputError
from trainable.objectives import COSTS

_OF_TRAINING = [COSTS["seconds"].column]
"""What a trial that another one's scores answered for has from that one."""


def front(trials: pd.DataFrame, *, metric: str, costs: Sequence[str] = ("seconds",)) -> pd.DataFrame:
    """The trials that can win, each with its costs, the cheapest first.

    trials: rows of `results.trials()`, of runs on the same data and, as seconds are compared, on the same machine. metric:
    what they rank by, one of METRICS; costs: one or more of COSTS. Sick and failed trials are left out, and those that
    exceed a limit of their run or repeat another trial. Pruned ones count with what they had reached at the cost that they
    had. A training judged at several thresholds is one choice, at its best threshold.

    Columns beside those of `trials`: one for each cost, by its name, and `pareto`, whether no other trial is at least as good
    at no more cost in anything; of equal ones the first counts.

    Raises InputError for a metric or a cost that is none.
    """
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; valid are: {', '.join(METRICS)}. Choose one of them.")
    if unknown := sorted(set(costs) - set(COSTS)):
        raise InputError(f"costs are {', '.join(unknown)}; valid are: {', '.join(COSTS)}. Choose of them.")
    rows = trials.assign(_training=trials.replay_of.fillna(trials.trial)).reset_index(drop=True)
    for cost in costs:
        rows[cost] = rows[COSTS[cost].column].astype(float)
    replays = rows[rows.replay_of.notna()]
    if len(replays):
        trained = rows[rows.replay_of.isna()].set_index(["run", "trial"])
        place = pd.MultiIndex.from_frame(replays[["run", "_training"]])
        for cost in costs:
            if COSTS[cost].column in _OF_TRAINING:
                rows.loc[replays.index, cost] = trained[cost].reindex(place).to_numpy()
    able = rows.state.isin(["completed", "pruned"]) & rows.objective.notna() & rows[list(costs)].notna().all(axis=1)
    rows = rows[able & ~rows.over_limits.map(_any) & rows.repeat_of.isna()]
    best_first = METRICS[metric] == "min"
    rows = rows.sort_values("objective", ascending=best_first, kind="stable").drop_duplicates(["run", "_training"])
    rows = rows.sort_values(list(costs), kind="stable").drop(columns="_training")  # among equally cheap the best first
    beaten = _beaten(np.column_stack([-sign(metric) * rows.objective, *(rows[cost] for cost in costs)]))
    return rows.assign(pareto=~beaten).reset_index(drop=True)


def _any(limits: object) -> bool:
    return isinstance(limits, list | np.ndarray) and len(limits) > 0


def _beaten(points: np.ndarray) -> np.ndarray:
    """(n,) whether another of the points (n, k) is nowhere larger and somewhere smaller, or equal and before it."""
    beaten = np.zeros(len(points), dtype=bool)
    for place, point in enumerate(points):
        no_larger = (points <= point).all(axis=1)
        smaller = no_larger & (points < point).any(axis=1)
        beaten[place] = smaller.any() or no_larger[:place].any()
    return beaten
