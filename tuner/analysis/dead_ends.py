"""What not to try again: ends of parameters' ranges in which every trial was clearly worse than elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd

from tuner.results.one_run import WholeRun

_ERROR = 0.05
"""How often a search without any dead end may be told one, all its parameters and ranges taken together."""


@dataclass(frozen=True)
class DeadEnd:
    """An end of a parameter's range that is not worth another trial."""

    parameter: str
    edge: float
    """Where it begins, the last value that was tried there."""
    is_low: bool
    """Whether it is all below the edge, the edge included; else all above it."""
    trainings: int
    """How many trainings were tried there; one that was judged at several thresholds counts once."""
    best: float | None
    """The best objective among them; None if none of them can be ranked."""

    def holds(self, parameter: str, low: float, high: float) -> bool:
        """Whether a range of a parameter lies within."""
        return parameter == self.parameter and (high <= self.edge if self.is_low else low >= self.edge)


def dead_ends(run: WholeRun) -> list[DeadEnd]:
    """At most one for each end of each searched parameter, in the parameters' order.

    All trainings of a dead end are in the worse half of the run's, sick and failed ones counting as the worst; and so low
    that as many drawn at random would all be as low in less than 5 % of searches, whatever parameter and end one looks at.
    """
    if run.leader is None or not run.searched:
        return []
    ranged = [name for name in run.searched if not run.names_of(name)]  # of names none is beyond another
    found = [_end(run, name, is_low) for name in ranged for is_low in (True, False)]
    return [end for end in found if end is not None]


def _end(run: WholeRun, parameter: str, is_low: bool) -> DeadEnd | None:
    rows = _judged(run, parameter).sort_values(parameter, ascending=is_low, kind="stable")
    values = rows[parameter].to_numpy(dtype=float)
    reached = rows["value"].rank(method="max").cummax().to_numpy(dtype=int)  # of the best so far; the worst has 1
    groups = [k for k in range(2, len(rows) // 2 + 1) if values[k - 1] != values[k]]
    looked_at = 2 * len(run.searched) * len(groups)
    for k in reversed(groups):
        if reached[k - 1] <= len(rows) / 2 and comb(reached[k - 1], k) / comb(len(rows), k) * looked_at <= _ERROR:
            best = rows["value"].iloc[:k].max()
            value = run.sign * float(best) if np.isfinite(best) else None
            return DeadEnd(parameter, float(values[k - 1]), is_low, k, value)
    return None


def _judged(run: WholeRun, parameter: str) -> pd.DataFrame:
    """The trials that tell of the parameter, with the `value` that they are judged by: more is better.

    A training that was judged at several thresholds counts at its best one, except for the threshold itself.
    """
    rows = run.trials.loc[run.having(parameter)].copy()
    able = rows.state.isin(["completed", "pruned"]) & rows.objective.notna()
    rows["value"] = (run.sign * rows.objective.astype(float)).where(able, -np.inf)
    if parameter != "threshold":
        training = rows.replay_of.fillna(rows.trial).astype(int)
        rows = rows.loc[rows.groupby(training)["value"].idxmax()]
    return rows
