"""What may be expected of a winner that was chosen because its validation value was the highest?

Less than that value: the best of many noisy numbers is too good. As in the bootstrap bias correction (BBC-CV; Tsamardinos,
Greasidou, Borboudakis 2018) a winner is chosen on part of the validation identities, as the search chose it, and scored
on the pairs of identities that were left out; this is done many times, and averaged. Nothing is trained: it takes the
scores that all trials gave to the same validation pairs.

Two things differ from the paper. A bootstrap chooses with twice the noise (negative pairs with four times) that the search
chose with, so its winners are worse and the value comes out too low (simulated: by .003 to .009 AUC); here a fifth of the
identities is left out, and all others choose once each. And they are left out in couples that a pair links: among
identities drawn one by one, hardly a negative pair would have both left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainable.metrics.intervals import LinkedPairs, identity_resamples, linked_pairs

_CHUNK = 2_000_000
"""Weights held at a time, resamples × pairs."""
_LEFT_OUT = 0.2
"""Share of the identities that do not choose."""


@dataclass(frozen=True)
class TrialScores:
    """What all trials made of the same n validation pairs."""

    scores: np.ndarray
    """(T, n) cosine similarities."""
    correct: np.ndarray
    """(T, n) bool: classified correctly at the trial's threshold; at cross-fitted ones where it was solved on these pairs."""
    labels: np.ndarray
    """(n,) 0 and 1."""
    front_identity: np.ndarray
    """(n,) codes of any kind."""
    angle_identity: np.ndarray
    default: int | None = None
    """Row of the default configuration; its threshold is best a solved one, so that the comparison is fair."""


@dataclass(frozen=True)
class ExpectedValue:
    """What to expect of a trial chosen as the search chooses, and how decided the choice is."""

    auc: float
    """Mean AUC on left-out pairs of what was chosen on the others."""
    accuracy: float
    """Its mean accuracy there, at the shares that the labels have in all pairs."""
    winner: int
    """Row of the trial that all pairs choose."""
    won: np.ndarray
    """(T,) share of bootstrap resamples that each trial wins; near 1 for a clear winner."""
    beats_default: float | None
    """Share of bootstrap resamples in which the winner is ahead of the default, by what trials are ranked by, after taking
    off how much of its lead is owed to having been chosen. None without a default, or where the default is the winner."""
    splits: int
    """Splits that the means are taken over: those with pairs of both labels on both sides."""


def expected_value(
    trials: TrialScores, rank_by: Literal["auc", "accuracy"] = "auc", resamples: int = 500, seed: int = 0
) -> ExpectedValue:
    """The value to expect of the winner, from as many splits and bootstrap resamples. Deterministic in the seed.

    rank_by: what the search ranks by; equal AUCs are ranked by accuracy (trials of one training that differ in their
    threshold). A negative pair is left out more seldom than a positive one, so accuracy is taken of each class and
    weighed by the class's share of all pairs. ValueError where shapes do not fit, a label is missing, or no split holds
    pairs of both labels on both sides.
    """
    positive = _checked(trials)
    linked = linked_pairs(trials.front_identity, trials.angle_identity)
    everything = _Values.of(trials, positive, [np.ones((len(positive), 1), dtype=np.float32)])
    out = _left_out(linked, resamples, seed)
    choosing = _Values.of(trials, positive, _weights(1 - out, linked))
    scored = _Values.of(trials, positive, _weights(out, linked))
    usable = choosing.usable & scored.usable
    if not usable.any():
        raise ValueError(
            f"none of {resamples} splits of {linked.identities} identities has pairs of both labels on both sides. "
            "Give more validation identities."
        )
    drawn = _Values.of(trials, positive, _weights(identity_resamples(linked.identities, resamples, seed), linked))
    winner, chosen = int(everything.best(rank_by)[0]), choosing.best(rank_by)[usable]
    row = np.arange(len(chosen))
    beats = None
    if trials.default is not None and trials.default != winner:
        left_out = scored.of_rank(rank_by)[usable]
        kept = float((left_out[row, chosen] - left_out[:, trials.default]).mean())
        lead, leads = (values.lead(rank_by, winner, trials.default) for values in (everything, drawn))
        beats = float((leads > max(float(lead[0]) - kept, 0.0)).mean())
    return ExpectedValue(
        auc=float(scored.auc[usable][row, chosen].mean()),
        accuracy=float(scored.accuracy[usable][row, chosen].mean()),
        winner=winner,
        won=np.bincount(drawn.best(rank_by)[drawn.usable], minlength=len(trials.scores))
        / max(int(drawn.usable.sum()), 1),
        beats_default=beats,
        splits=len(row),
    )


@dataclass(frozen=True)
class _Values:
    """Each trial's values at each of R weightings of the pairs; (R, T), NaN in rows whose weights lack a class."""

    auc: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of(cls, trials: TrialScores, positive: np.ndarray, weights: Iterable[np.ndarray]) -> _Values:
        """weights: chunks of (n, r)."""
        chunks = [_values(trials, positive, some) for some in weights]
        return cls(*(np.concatenate(values) for values in zip(*chunks, strict=True)))

    @property
    def usable(self) -> np.ndarray:
        """(R,) bool: both classes have weight."""
        return np.asarray(np.isfinite(self.auc[:, 0]))

    def of_rank(self, rank_by: str) -> np.ndarray:
        """(R, T) what trials are ranked by."""
        return self.accuracy if rank_by == "accuracy" else self.auc

    def lead(self, rank_by: str, of: int, over: int) -> np.ndarray:
        """How far one trial is ahead of another, in the usable rows."""
        values = self.of_rank(rank_by)[self.usable]
        return np.asarray(values[:, of] - values[:, over])

    def best(self, rank_by: str) -> np.ndarray:
        """(R,) the trial that wins; among equal ones that with the better other value, then the earliest."""
        first, second = self.of_rank(rank_by), self.auc if rank_by == "accuracy" else self.accuracy
        leading = first >= first.max(axis=1, keepdims=True) - 1e-12
        return np.asarray(np.where(leading, second, -np.inf).argmax(axis=1))


def _checked(trials: TrialScores) -> np.ndarray:
    """(n,) bool: is the pair positive."""
    positive: np.ndarray = np.asarray(trials.labels) == 1
    shape = np.shape(trials.scores)
    if len(shape) != 2 or not shape[0] or np.shape(trials.correct) != shape or positive.shape != shape[1:]:
        raise ValueError(
            f"scores {shape}, correct {np.shape(trials.correct)} and labels {positive.shape} do not fit; valid is "
            "(trials, pairs) for the first two and (pairs,) for the last."
        )
    if not np.isfinite(trials.scores).all():
        raise ValueError("scores must be finite.")
    if positive.all() or not positive.any():
        raise ValueError("all pairs have one label; valid are pairs of both labels, 0 and 1.")
    return positive


def _left_out(linked: LinkedPairs, splits: int, seed: int) -> np.ndarray:
    """(R, K) uint8: 1 for the identities that a split leaves out, in linked couples as far as there are any.

    Couples come in random order, an identity with the first of its couples, one without any at a random place.
    """
    ends = np.unique(np.stack([linked.front, linked.angle], axis=1)[linked.two], axis=0)
    alone = np.setdiff1d(np.arange(linked.identities), ends)
    of_identity = np.concatenate([ends[:, 0], ends[:, 1], alone])
    couple = np.concatenate([np.arange(len(ends)), np.arange(len(ends) + len(alone))])
    order = np.argsort(of_identity, kind="stable")
    starts = np.searchsorted(of_identity[order], np.arange(linked.identities))
    rng, left = np.random.default_rng(seed), min(max(round(_LEFT_OUT * linked.identities), 2), linked.identities)
    out = np.zeros((splits, linked.identities), dtype=np.uint8)
    for one in range(splits):
        first = np.minimum.reduceat(rng.random(couple.max() + 1)[couple[order]], starts)
        out[one, np.argsort(first, kind="stable")[:left]] = 1
    return out


def _weights(counts: np.ndarray, linked: LinkedPairs) -> Iterator[np.ndarray]:
    """Chunks of (n, r) weights: a pair's is the count of its identity, or the product of its two. counts: (R, K).

    Resamples lie side by side in memory, so that what follows takes whole rows of pairs.
    """
    size = max(_CHUNK // len(linked.front), 1)
    for start in range(0, len(counts), size):
        some = np.ascontiguousarray(counts[start : start + size].T, dtype=np.float32)
        weights: np.ndarray = some[linked.front]
        weights[linked.two] *= some[linked.angle[linked.two]]
        yield weights


def _values(trials: TrialScores, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, T) weighted AUC and accuracy, NaN in rows whose weights lack a class. weights: (n, r)."""
    of_class = [weights[side].sum(axis=0, dtype=np.float64) for side in (positive, ~positive)]
    lacking = (of_class[0] == 0) | (of_class[1] == 0)
    totals = [np.where(lacking, np.nan, total)[:, None] for total in of_class]
    accuracy = np.zeros((weights.shape[1], len(trials.scores)))
    for side, total in zip((positive, ~positive), totals, strict=True):
        right = weights[side].T @ np.asarray(trials.correct)[:, side].T.astype(np.float32)
        accuracy += side.mean() * right / total
    wins = np.stack([_wins(scores, positive, weights) for scores in trials.scores], axis=1)
    auc: np.ndarray = wins / (totals[0] * totals[1])
    return auc, accuracy


def _wins(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(r,) weight of the couples of a positive and a negative pair that are in order, half for ties."""
    order = np.argsort(scores)
    positives, negatives = order[positive[order]], order[~positive[order]]
    # Whole numbers: sums are exact in float32 up to 16 million.
    below = np.zeros((len(negatives) + 1, weights.shape[1]), dtype=np.float32)
    np.cumsum(weights[negatives], axis=0, out=below[1:])
    won = below[np.searchsorted(scores[negatives], scores[positives], "left")]
    won += below[np.searchsorted(scores[negatives], scores[positives], "right")]
    won *= weights[positives]
    return np.asarray(won.sum(axis=0, dtype=np.float64)) / 2
