"""What to expect of a winner, in words. Terminal, page, comparison and export say the same, because they all read it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.analysis.text import plural

COLUMNS = [
    "expected_auc", "expected_accuracy", "winner_share", "beats_default_share", "trials_done", "trials_requested", "repeats",
    "repeated_objective",
]  # fmt: skip
"""Of the run's row."""


def expectation(row: Mapping[str, Any], leader: Mapping[str, Any] | None) -> list[str]:
    """Two sentences: what its validation values are worth, and how decided the choice is; none where that is not known.

    row: the run's row, with COLUMNS and winner_trial; leader: the winner's row of `trials`. What is missing is None.
    """
    if leader is None or row["expected_auc"] is None or row["winner_trial"] != leader["trial"]:
        return []
    fixed = (
        leader.get("threshold_source") == "fixed"
    )  # what nobody chose is not what is expected: that is at a solved one
    accuracy = leader["val_accuracy_solved" if fixed else "val_accuracy"]
    shown = {"AUC": (leader["val_auc"], row["expected_auc"]), "accuracy": (accuracy, row["expected_accuracy"])}
    if row["metric"] == "val_accuracy":
        shown = dict(reversed(shown.items()))
    (first, (value, expected)), (second, (other, expected_other)) = shown.items()
    chosen = f"chosen as the best of {_trials(row)}, so expect about {expected:.3f}"
    worth = f"Validation {first} {_number(value)}; {chosen} ({second} {_number(other)}, expect {expected_other:.3f})."
    beats = row["beats_default_share"]
    ahead = None if beats is None else f"it beats the default with a solved threshold in {_share(beats)}"
    if row["repeats"] is not None:
        repeated = f"Its mean {row['metric']} over {row['repeats']} other seeds is {row['repeated_objective']:.3f}"
        sure = "" if beats is None else f"; that it beats the default, on the same seeds, is {_share(beats)} sure"
        return [worth, f"{repeated}{sure}."]
    wins = f"It wins {_share(row['winner_share'])} of resamples of the validation identities"
    return [worth, "; ".join(filter(None, [wins, ahead])) + "."]


def _trials(row: Mapping[str, Any]) -> str:
    """How many configurations there were to choose from: neither repeats nor what needed no training."""
    given = [row[name] for name in ("trials_done", "trials_requested") if row[name] is not None]
    return plural(int(min(given)) if given else None, "trial")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _share(value: float) -> str:
    """Whole percent, never quite all or nothing: so many resamples there are not.

    >>> _share(0.614), _share(0.999)
    ('61 %', 'over 99 %')
    """
    if value > 0.99:
        return "over 99 %"
    return f"{100 * value:.0f} %" if value >= 0.01 else "under 1 %"
