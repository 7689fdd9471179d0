"""What a replayed search's answer is worth, by the product's own choice and by other rules, against pairs nobody has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.quality_adapter import Winner
from benchmarks.quality_replay import Search, Trial
from benchmarks.quality_tables import Epoch, ValidationSet

SYSTEM = "the product's own choice"
BEST = "the truly best of those tried"
Value = Callable[[ValidationSet, Epoch], float]


@dataclass(frozen=True)
class Choice:
    """A model taken from a search, and the value promised for it."""

    trial: Trial
    epoch: int
    accuracy: float
    auc: float


def choices(search: Search, validation: ValidationSet, winner: Winner | None) -> dict[str, Choice]:
    """What each rule takes; the rules other than the product's look at the last epochs of completed trials."""
    trials = list(search.trials.values())
    completed = [trial for trial in trials if trial.ended == "completed"] or [t for t in trials if t.ended == "pruned"]
    if not completed:
        return {}
    found = {name: _by(value, completed, validation) for name, value in RULES.items()}
    if winner is not None:
        found[SYSTEM] = Choice(search.trials[winner.trial], winner.epoch, winner.accuracy, winner.auc)
    healthy = [trial for trial in trials if trial.ended in ("completed", "pruned")]
    found[BEST] = _by(lambda v, at: v.unseen_accuracy(at), healthy, validation)
    return found


def _by(value: Value, trials: list[Trial], validation: ValidationSet) -> Choice:
    best = max(trials, key=lambda trial: value(validation, trial.at()))
    return Choice(best, best.epoch, validation.accuracy(best.at()), validation.auc(best.at()))


def _mean_of_last(value: Value, epochs: int) -> Value:
    def mean(validation: ValidationSet, at: Epoch) -> float:
        first = max(1, at.epoch - epochs + 1)
        return float(np.mean([value(validation, at._replace(epoch=e)) for e in range(first, at.epoch + 1)]))

    return mean


RULES: dict[str, Value] = {
    "accuracy at the last epoch": lambda v, at: v.accuracy(at),
    "accuracy, mean of the last three": _mean_of_last(lambda v, at: v.accuracy(at), 3),
    "AUC at the last epoch": lambda v, at: v.auc(at),
    "AUC, mean of the last three": _mean_of_last(lambda v, at: v.auc(at), 3),
}


def judged(search: Search, validation: ValidationSet, winner: Winner | None) -> list[dict[str, object]]:
    """One row a rule. lost: to the truly best, which is in part the luckiest of the unseen pairs, so that is an upper bound;
    lost_at_least: to the best without luck, a lower one; over_accuracy and over_auc: promised less unseen, less what these
    validation pairs are easier by; worse: than the default.

    Unseen accuracy is at the threshold that was solved on all validation pairs. The default's model is that of its last
    epoch. average: promised less unseen accuracy of the completed trials, which nobody has chosen.
    """
    found = choices(search, validation, winner)
    if not found:
        return []
    default = next(iter(search.trials.values()))
    of_default = validation.unseen_accuracy(default.at())
    best = validation.unseen_accuracy(found[BEST].trial.at())
    least = best_without_luck(search, validation)
    completed = [trial.at() for trial in search.trials.values() if trial.ended == "completed"]
    average = [validation.accuracy(at) - validation.unseen_accuracy(at) for at in completed]
    easier_accuracy, easier_auc = validation.easier
    rows: list[dict[str, object]] = []
    for rule, choice in found.items():
        at = choice.trial.at(choice.epoch)
        accuracy, auc = validation.unseen_accuracy(at), validation.unseen_auc(at)
        rows.append(
            {
                "rule": rule,
                "accuracy": accuracy,
                "auc": auc,
                "lost": best - accuracy,
                "lost_at_least": least - accuracy,
                "over_accuracy": choice.accuracy - accuracy - easier_accuracy,
                "over_auc": choice.auc - auc - easier_auc,
                "worse": choice.trial is not default and accuracy < of_default,
                "better": choice.trial is not default and accuracy > of_default,
                "gain": accuracy - of_default,
                "average": float(np.mean(average)) - easier_accuracy if average else np.nan,
                "easier": easier_accuracy,
            }
        )
    return rows


def best_without_luck(search: Search, validation: ValidationSet) -> float:
    """Unseen accuracy of the trial that is best on one half of the unseen identities, on the other half; mean both ways."""
    healthy = [trial.at() for trial in search.trials.values() if trial.ended in ("completed", "pruned")]
    values = np.array([[validation.accuracy_on_half(at, half) for half in (0, 1)] for at in healthy])
    return float(np.mean([values[values[:, half].argmax(), 1 - half] for half in (0, 1)]))


def mean_and_margin(values: Iterable[float]) -> tuple[float, float]:
    """The mean, and 1.96 standard errors of it."""
    array = np.asarray(list(values), dtype=np.float64)
    return float(array.mean()), float(1.96 * array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else np.nan


def over_problems(rows: pd.DataFrame, rule: str, column: str) -> float:
    """Mean over problems of the mean over searches: every problem counts the same."""
    return float(rows[rows.rule == rule].groupby("problem")[column].mean().mean())
