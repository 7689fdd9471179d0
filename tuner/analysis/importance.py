"""What each searched parameter does to the objective, over the trials of one run or of several comparable ones.

The importance of a parameter is the share of the trials' ranks that it explains alone: their order by objective, in bins of
the parameter, analysed by variance (Kruskal and Wallis's test, its H as adjusted eta squared). It is 0 without an effect and
near 1 where the parameter decides everything. Ranks make it indifferent to how far behind a collapsed trial lies.

Optuna's evaluators were measured beside it. fANOVA takes 0.4 s for 50 trials and 35 s for 1,000, an interval hundreds of times
that. PED-ANOVA (5 to 15 ms) found no more of the true effects in 16 noisy trials, and needs 100 times as long. Both share a
total of 1 out among the parameters, also where none of them does anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainable.config import METRICS, sign
from trainable.errors import InputError
from tuner.results.one_run import names_among, searched_in

HIGHER, LOWER, BETWEEN, NONE = "higher is better", "lower is better", "best in between", "no effect seen"
MIN_TRIALS = 8
"""Fewer say nothing: any order of so few can be chance."""
_ERROR = 0.05


@dataclass(frozen=True)
class Effect:
    """What one parameter does to the objective."""

    parameter: str
    importance: float
    """0 to 1: the share of the trials' ranks that the parameter explains alone."""
    importance_low: float
    """Lower end of its 95 % interval."""
    importance_high: float
    """Upper end of the same interval."""
    direction: str
    """HIGHER, LOWER, BETWEEN, or NONE where `certain` is false; of a parameter whose values are names the best of them."""
    best_low: float
    """The best fifth of the trials, at least three, lies from here …"""
    best_high: float
    """… to here; of ten or more without the outermost tenths. NaN where there is no trial, or values are names."""
    best_share: float
    """How sure that range is, 0 to 1: the share of the trials in it that are of the best fifth."""
    trials: int
    """How many trials it is read from."""
    certain: bool
    """Shuffled objectives reach the importance in less than 5 % of cases, all searched parameters taken together."""
    note: str
    """What to know before relying on it, in a few words; empty if nothing."""


@dataclass(frozen=True)
class _Measured:
    effect: Effect
    halves: np.ndarray
    """(resamples,) importance in each half of the trials."""


def effects(
    trials: pd.DataFrame,
    *,
    metric: str,
    searched: Sequence[str] | None = None,
    resamples: int = 400,
    seed: int = 0,
) -> list[Effect]:
    """The effect of every searched parameter, the certain ones first, the most important first among them.

    trials: rows of `results.trials()`, of runs on the same data with the same fixed values. metric: what they rank by, one
    of METRICS; it says whether a higher `objective` is better. searched: names of the parameters, as the `runs` table has
    them; None: those that vary within a run.

    Which trials count: completed ones; pruned ones with what they had reached, which ranks them behind; sick ones as the
    worst of all, whatever their numbers; failed ones not at all. A replay, which is another trial's training judged at
    another threshold, counts for `threshold` only: for the others a training counts once, at its best threshold. Trials in
    which a parameter does nothing (`backbone_lr_ratio` where nothing is trained) are left out for that parameter.

    Intervals come from random halves of the trials: a bootstrap without repetitions, which would pass for agreement.
    Where most configurations were trained with several seeds, the halves are of each one's seeds.
    """
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; valid are: {', '.join(METRICS)}. Choose one of them.")
    names = searched_in(trials) if searched is None else list(searched)
    labels = {name: names_among(trials[name].dropna()) for name in names}
    ranked = _ranked(trials, metric, names, labels)
    random = np.random.default_rng(seed)
    found = [_measured(_read_from(ranked, n), n, names, resamples, random, labels[n]) for n in names]
    found.sort(key=lambda one: (not one.effect.certain, -one.effect.importance))
    return [_placed(one, found[place + 1] if place + 1 < len(found) else None) for place, one in enumerate(found)]


def _ranked(trials: pd.DataFrame, metric: str, names: list[str], labels: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """The trials that count: these parameters, `value` (higher is better), `at_best_threshold`, and which `training`.

    labels: of parameters that are names, each of which goes by its place among them.
    """

    def numbers(name: str) -> np.ndarray:
        cells = trials[name].map(labels[name].index, na_action="ignore") if labels.get(name) else trials[name]
        return cells.to_numpy(dtype=float, na_value=np.nan)

    value = numbers("objective") * sign(metric)
    at_best = value
    if metric == "val_accuracy" and "threshold" in names:  # judged there, a misplaced threshold hides no good training
        solved = numbers("val_accuracy_solved")
        at_best = np.where(np.isnan(solved), value, solved)
    source = np.where(np.isnan(numbers("replay_of")), numbers("trial"), numbers("replay_of"))
    columns = {name: numbers(name) for name in dict.fromkeys([*names, "trainable_blocks"])}
    sick = trials.state.eq("sick").to_numpy()
    columns |= {"value": np.where(sick, -np.inf, value), "at_best_threshold": np.where(sick, -np.inf, at_best)}
    columns["training"] = pd.factorize(trials.run)[0] * (source.max(initial=0) + 1) + source
    rows = pd.DataFrame(columns)
    rows["configuration"] = _coded(rows, names)
    rows["trained_configuration"] = _coded(rows, [name for name in names if name != "threshold"])
    return rows[trials.state.ne("failed").to_numpy() & rows["value"].notna().to_numpy()]


def _coded(rows: pd.DataFrame, names: list[str]) -> np.ndarray:
    """(n,) equal numbers for rows that are equal in these columns."""
    if not names:
        return np.zeros(len(rows), dtype=int)
    values = np.nan_to_num(rows[names].to_numpy(), nan=np.finfo(float).max)  # what is absent twice is equal
    return np.unique(values, axis=0, return_inverse=True)[1].reshape(-1)


def _read_from(ranked: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows that tell of the parameter, with the `value` that it is judged by."""
    rows = ranked
    if name != "threshold" and rows.training.duplicated().any():
        rows = rows.sort_values("at_best_threshold", ascending=False, kind="stable")
        rows = rows.drop_duplicates("training").sort_index()
    if name != "threshold":
        rows = rows.assign(value=rows.at_best_threshold)
    if name == "backbone_lr_ratio":
        rows = rows[rows.trainable_blocks > 0]
    return rows[rows[name].notna()]


def _measured(
    rows: pd.DataFrame, name: str, names: list[str], resamples: int, random: np.random.Generator, labels: Sequence[str]
) -> _Measured:
    rows = rows.sort_values(name, kind="stable")  # so that the trials of a bin lie together
    x, value = rows[name].to_numpy(), rows["value"].to_numpy()
    y = rows["value"].rank().to_numpy()
    bins = np.unique(x, return_inverse=True)[1] if labels else _bins(x)
    if len(rows) < MIN_TRIALS or bins.max() == 0:
        why = f"{_trials(len(rows))} too few to tell" if len(rows) < MIN_TRIALS else "it has one value only"
        best = (np.nan, np.nan, np.nan) if labels else _best_range(x, value, NONE)
        effect = Effect(name, 0.0, 0.0, 1.0, NONE, *best, len(rows), False, why)
        return _Measured(effect, np.zeros(resamples))
    configurations = rows["configuration" if name == "threshold" else "trained_configuration"].to_numpy()
    several = len(rows) >= 2 * len(np.unique(configurations))  # most configurations were trained with several seeds
    seeds = configurations if several else None
    halves = _halves(seeds, len(rows), resamples, random)
    of_halves = _explained(y, halves, bins)
    importance = float(_explained(y, np.ones((1, len(rows))), bins)[0])
    p = _chance(y, bins, seeds if len(names) > 1 else None, resamples, random)
    certain = importance > 0 and p * len(names) <= _ERROR
    direction, note = NONE, "not told apart from noise"
    if certain and labels:
        direction, note = _best_names([labels[int(place)] for place in np.unique(x)], y, halves, bins), ""
    elif certain:
        direction, note = _direction(x, y, halves, bins)
    low, high = np.quantile(of_halves, [_ERROR / 2, 1 - _ERROR / 2])
    interval = float(min(low, importance)), float(max(high, importance))
    best = (np.nan, np.nan, np.nan) if labels else _best_range(x, value, direction)
    beyond = {LOWER: np.sum(x < best[0]), HIGHER: np.sum(x > best[1])}.get(direction, 0)
    if beyond > 1:
        note = f"not at its {'lowest' if direction == LOWER else 'highest'}"
    return _Measured(Effect(name, importance, *interval, direction, *best, len(rows), certain, note), of_halves)


def _bins(x: np.ndarray) -> np.ndarray:
    """(n,) the bin of each of the ascending values: one a value where there are few, else about equally filled."""
    values, place = np.unique(x, return_inverse=True)
    count = int(np.clip(len(x) // 8, 3, 8))
    if len(values) <= count:
        return place
    edges = np.quantile(x, np.arange(1, count) / count)
    return np.unique(np.searchsorted(edges, x, side="right"), return_inverse=True)[1]


def _explained(y: np.ndarray, weights: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """(R,) adjusted share of y's variance that lies between the bins. y: (n,) or (R, n); weights: (R, n); bins: (n,)."""
    weighted = weights * y
    count, counts, sums = weights.sum(1), _by_bin(weights, bins), _by_bin(weighted, bins)
    centre = weighted.sum(1) ** 2 / count
    total = (weighted * y).sum(1) - centre
    between = np.divide(sums**2, counts, out=np.zeros_like(sums), where=counts > 0).sum(1) - centre
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 1e-9)
    free = count - (counts > 0).sum(1)
    explained: np.ndarray = np.where(free > 0, np.clip(1 - (1 - share) * (count - 1) / np.maximum(free, 1), 0, 1), 0)
    return explained


def _by_bin(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """(R, bins) sums of the (R, n) values. Not a product of matrices, whose threads wait for busy cores."""
    return np.add.reduceat(values, np.flatnonzero(np.diff(bins, prepend=-1)), axis=1)


def _halves(groups: np.ndarray | None, size: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """(resamples, size) of 0 and 1: a random half, or one of each group; the odd trial by chance."""
    sizes = np.array([size]) if groups is None else np.unique(groups, return_counts=True)[1]
    place = np.arange(size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    coins = random.integers(0, 2, (resamples, size)) / 2
    kept = (place < np.floor(np.repeat(sizes, sizes) / 2 + coins)).astype(float)
    if groups is None:
        permuted: np.ndarray = random.permuted(kept, axis=1)
        return permuted
    shuffled = np.argsort(random.random((resamples, size)) + np.unique(groups, return_inverse=True)[1], axis=1)
    halves: np.ndarray = np.empty_like(kept)
    np.put_along_axis(halves, shuffled, kept, axis=1)  # within groups, which stay apart
    return halves


def _chance(
    y: np.ndarray, bins: np.ndarray, blocks: np.ndarray | None, resamples: int, random: np.random.Generator
) -> float:
    """How often shuffled ranks explain as much. blocks: trials of one configuration, which are shuffled as one."""
    if blocks is not None:  # seeds of one configuration agree for all of its parameters: one observation of each
        _, first, blocks = np.unique(blocks, return_index=True, return_inverse=True)
        order = np.argsort(first)
        y, bins = (np.bincount(blocks, y) / np.bincount(blocks))[order], bins[first[order]]
    ones = np.ones((1, len(y)))
    chance = _explained(random.permuted(np.tile(y, (resamples, 1)), axis=1), ones.repeat(resamples, 0), bins)
    return float((1 + np.sum(chance >= _explained(y, ones, bins)[0] - 1e-9)) / (1 + resamples))


def _direction(x: np.ndarray, y: np.ndarray, halves: np.ndarray, bins: np.ndarray) -> tuple[str, str]:
    """Which bin is best, in the halves; where they disagree, whether ranks rise or fall over all."""
    best = _best_bins(y, halves, bins)
    shares = {LOWER: np.mean(best == 0), HIGHER: np.mean(best == bins.max())}
    shares[BETWEEN] = 1 - sum(shares.values())
    word = max(shares, key=lambda name: shares[name])
    if shares[word] >= 1 - _ERROR:
        return word, ""
    place = pd.Series(x).rank().to_numpy()
    rises = ((halves * (place - place.mean())) * (y - y.mean())).sum(1) > 0
    if rises.mean() >= 1 - _ERROR / 2:
        return HIGHER, "where it is best is not sure" if word != HIGHER else ""
    if rises.mean() <= _ERROR / 2:
        return LOWER, "where it is best is not sure" if word != LOWER else ""
    return word, "its direction is not sure"


def _best_names(names: Sequence[str], y: np.ndarray, halves: np.ndarray, bins: np.ndarray) -> str:
    """The name whose trials rank best, in the halves; several, where none is best in 95 % of them."""
    shares = np.bincount(_best_bins(y, halves, bins), minlength=len(names)) / len(halves)
    order = np.argsort(-shares, kind="stable")
    count = 1 + int(np.argmax(np.cumsum(shares[order]) >= 1 - _ERROR))
    return f"best with {' or '.join(names[place] for place in order[:count])}"


def _best_bins(y: np.ndarray, halves: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """(resamples,) the bin with the best mean rank in each half."""
    counts = _by_bin(halves, bins)
    means = np.divide(_by_bin(halves * y, bins), counts, out=np.full_like(counts, -np.inf), where=counts > 0)
    found: np.ndarray = means.argmax(1)
    return found


def _best_range(x: np.ndarray, value: np.ndarray, direction: str) -> tuple[float, float, float]:
    """Where the best fifth lies, and its share of the trials there. Toward the better end nothing of it is cut off."""
    sound = np.flatnonzero(np.isfinite(value))
    best = sound[np.argsort(-value[sound], kind="stable")][: max(3, len(x) // 5)]
    if not len(best):
        return np.nan, np.nan, np.nan
    margin = 0.1 if len(best) >= 10 else 0.0
    ends = 0 if direction == LOWER else margin, 1 if direction == HIGHER else 1 - margin
    low, high = (float(np.quantile(x[best], end, method="nearest")) for end in ends)
    there = (x >= low) & (x <= high)
    return low, high, float(there[best].sum() / there.sum())


def _trials(count: int) -> str:
    return "1 trial is" if count == 1 else f"{count} trials are"


def _placed(one: _Measured, after: _Measured | None) -> Effect:
    """The effect, with a word on whether noise could put the next one before it."""
    effect = one.effect
    if after is None or not (effect.certain and after.effect.certain):
        return effect
    reversed_share = np.mean(np.sort(one.halves)[:, None] <= after.halves[None, :])
    if reversed_share <= _ERROR / 2:
        return effect
    place = f"not told apart in importance from {after.effect.parameter}"
    note = f"{effect.note}; {place}" if effect.note else place
    return Effect(**{**effect.__dict__, "note": note})
