"""What to do after a search: use the winner, keep the default, or move only the threshold. Terminal, page, compare and
export say the same of a run because they all read it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainable.config import idle
from tuner.analysis.text import number
from tuner.results.one_run import WholeRun

USE_WINNER, KEEP_DEFAULT, MOVE_THRESHOLD, NOTHING = (
    "use the winner", "keep the default", "only the threshold moved", "none can win"
)  # fmt: skip
SURE, UNSURE, BAD = "good", "unsure", "bad"
RUN_COLUMNS = [
    "winner_trial", "chosen_trial", "beats_default_share",
    "error", "metric", "test_accuracy_winner", "test_accuracy_default", "test_accuracy_default_solved",
    "threshold_winner", "threshold_default", "threshold_default_solved",
    *(f"{name}{end}" for name in ("test_difference", "test_difference_solved") for end in ("", "_low", "_high")),
]  # fmt: skip
"""What the advice reads of a run's row."""


@dataclass(frozen=True)
class Advice:
    """Which trial's model to use, at which threshold, and why."""

    action: str
    """USE_WINNER, KEEP_DEFAULT, MOVE_THRESHOLD or NOTHING."""
    trial: int | None
    threshold: float | None
    headline: str
    """A sentence to remember."""
    why: str
    sureness: str
    """SURE, UNSURE or BAD."""


def advise(
    row: Mapping[str, Any],
    leader: Mapping[str, Any] | None,
    default: Mapping[str, Any] | None,
    searched: Sequence[str],
) -> Advice:
    """What to do. Only what is better beyond noise replaces the default configuration.

    row: the run's row, with RUN_COLUMNS; leader, default: the rows of the winner (of a run that goes on: the trial that
    leads) and of the default in `trials`, None where there is none; searched: the parameters that the space varies. What
    is missing in a row is None.
    """
    if leader is None:
        reason = row["error"] or "no trial finished an epoch that could be ranked"
        return Advice(NOTHING, None, None, "None of these: no trial can win.", f"{_sentence(reason)}", BAD)
    trial = leader["trial"]
    threshold = leader["threshold"] if row["winner_trial"] != trial else row["threshold_winner"]
    threshold = leader["threshold"] if threshold is None else threshold
    winner = Advice(
        USE_WINNER,
        trial,
        threshold,
        f"Use the winner, trial {trial}.",
        "It is better than the default beyond noise.",
        SURE,
    )
    if row["test_accuracy_winner"] is None or row["winner_trial"] != trial:
        why = f"It leads by {row['metric']} on validation pairs. The run has not come to its end: no test pair was looked at."
        return replace(winner, headline=f"For now trial {trial}, which leads so far.", why=why, sureness=UNSURE)
    if default is None or row["test_accuracy_default"] is None:
        return replace(winner, why="The default configuration did not get far enough to be compared.", sureness=UNSURE)
    if beyond := list(default.get("over_limits") or []):
        why = f"The default configuration exceeds {', '.join(beyond)}; of what keeps the limits trial {trial} ranks first."
        return replace(winner, why=why)
    same = same_training(leader, default, searched)
    advice = _compared(row, winner, default, same)
    return advice if same else replace(advice, why=f"{advice.why}{_leaning(row, default)}")


def _leaning(row: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """Of a default that was chosen over the winner by validation pairs alone, why."""
    share = row["beats_default_share"]
    if share is None or row["chosen_trial"] != default["trial"]:
        return ""
    times = f"{100 * share:.0f} times in 100"
    return f" On validation pairs alone the winner beats the default {times}, too few to choose it on them."


def _compared(row: Mapping[str, Any], winner: Advice, default: Mapping[str, Any], same: bool) -> Advice:
    keep = Advice(
        KEEP_DEFAULT, default["trial"], row["threshold_default"], "Keep the default configuration.", "", UNSURE
    )
    better = above(row, "test_difference")
    if same:
        return _threshold_alone(row, winner, keep, better)
    if row["test_difference_high"] < 0:
        why = f"Trial {winner.trial}, which won on validation pairs, is worse on test pairs."
        return replace(keep, threshold=_no_worse_threshold(row), why=why, sureness=BAD)
    if better and (row["test_difference_solved"] is None or above(row, "test_difference_solved")):
        return winner
    solved = row["threshold_default_solved"]
    if better:
        why = (
            f"With the threshold {number(solved)}, solved for it, the default does as well as the winner, trial "
            f"{winner.trial}, as far as the test pairs can tell."
        )
        headline = f"Only the threshold moved: keep the default configuration, at the threshold {number(solved)}."
        return replace(keep, action=MOVE_THRESHOLD, threshold=solved, headline=headline, why=why)
    why = f"Trial {winner.trial}, which won on validation pairs, is not better on test pairs beyond noise."
    headline = "Keep the default configuration: nothing tried is surely better."
    return replace(keep, threshold=_no_worse_threshold(row), headline=headline, why=why)


def _threshold_alone(row: Mapping[str, Any], winner: Advice, keep: Advice, better: bool) -> Advice:
    """The winner's model is the default's own."""
    own = winner.trial == keep.trial
    why = (
        "It was tried first, and no other trial was better on validation pairs."
        if own
        else f"The winner, trial {winner.trial}, differs from the default in nothing but the threshold."
    )
    if winner.threshold == row["threshold_default"]:
        return replace(keep, trial=winner.trial, threshold=winner.threshold, why=why, sureness=SURE)
    headline = f"Only the threshold moved: keep the default configuration, at the threshold {number(winner.threshold)}."
    sureness = SURE if better or own else UNSURE
    return Advice(MOVE_THRESHOLD, winner.trial, winner.threshold, headline, why, sureness)


def _no_worse_threshold(row: Mapping[str, Any]) -> float | None:
    """The default's threshold: solved, where that does no worse on test pairs than the one it had."""
    solved: float | None = row["threshold_default_solved"]
    own: float | None = row["threshold_default"]
    no_worse = solved is not None and row["test_accuracy_default_solved"] >= row["test_accuracy_default"]
    return solved if no_worse else own


def same_training(one: Mapping[str, Any], other: Mapping[str, Any], searched: Sequence[str]) -> bool:
    """Whether two trials (rows of `trials`) differ in nothing that training depends on."""
    names = [name for name in searched if name != "threshold" and not idle(name, one)]
    return all(one[name] == other[name] for name in names)


def above(row: Mapping[str, Any], name: str) -> bool:
    """Whether the 95 % interval of a difference lies above 0."""
    return row[name] is not None and bool(row[f"{name}_low"] > 0)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." * (not text.endswith("."))


def run_advice(run: WholeRun) -> Advice:
    """What to do after this run, of any state."""
    return advise(run.row | {"metric": run.metric}, run.trial(run.leader), run.trial(run.default), run.searched)


def own_model_won(run: WholeRun) -> bool:
    """Whether the winner's model is the default's own: then they differ in the threshold, if at all."""
    leader, default = run.trial(run.leader), run.trial(run.default)
    return leader is not None and default is not None and same_training(leader, default, run.searched)
