"""The three answers that a page begins with: which configuration to use, how sure that is, what not to try again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from tuner.analysis import text
from tuner.analysis.advice import BAD, SURE, UNSURE, above, own_model_won, run_advice
from tuner.analysis.dead_ends import DeadEnd, dead_ends
from tuner.analysis.expectation import expectation
from tuner.analysis.symptoms import Symptom
from tuner.analysis.text import number
from tuner.results.one_run import WholeRun
from tuner.results.trial_record import FAILED, SICK

GOOD = SURE
_LISTED, _FEW, _MANY = 5, 3, 30


@dataclass(frozen=True)
class Answer:
    """One of the three: a sentence to remember, what it rests on, and what can be copied."""

    question: str
    headline: str
    lines: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """Parameters and their values."""
    commands: dict[str, str] = field(default_factory=dict)
    """What can be copied, by what it is for."""
    tone: str = GOOD


def answers(run: WholeRun, symptoms: list[Symptom]) -> list[Answer]:
    """The three, for a run of any state."""
    return [_use(run), _sure(run), _avoid(run, symptoms)]


def _use(run: WholeRun) -> Answer:
    question = "Which configuration should I use?"
    choice = run_advice(run)
    if choice.trial is None:
        return Answer(question, choice.headline, [choice.why], tone=choice.sureness)
    values = {name: run.value(choice.trial, name) for name in run.searched if name != "threshold"}
    values = {name: value for name, value in values.items() if run.has(choice.trial, name)}
    values["threshold"] = choice.threshold
    values = {name: value for name, value in values.items() if value is not None}
    flags = " ".join(f"--{name.replace('_', '-')} {value!r}" for name, value in values.items())
    commands = {"Its values, as options of python -m tuner.run": flags}
    given = _exported_threshold(run, choice.trial)
    at = (
        "" if given == choice.threshold else f"; its threshold there is {number(given)}, set {number(choice.threshold)}"
    )
    what = f"The trained model, as a folder that needs nothing of this project{at}"
    commands[what] = export_command(run, choice.trial)
    shown = {name: number(value, 4) for name, value in values.items()}
    return Answer(question, choice.headline, [choice.why], shown, commands, choice.sureness)


def _exported_threshold(run: WholeRun, trial: int) -> float | None:
    """The one that an export of the trial has: one that nobody chose is solved."""
    if trial == run.leader:
        return run.threshold
    fixed = run.value(trial, "threshold_source") == "fixed"
    given: float | None = run.row["threshold_default_solved"] if fixed else run.value(trial, "threshold")
    return given


def _sure(run: WholeRun) -> Answer:
    question, row = "How sure is that?", run.row
    if run.leader is None:
        return Answer(question, "There is nothing to be sure of.", tone=BAD)
    if not run.tested:
        value, ends = run.value(run.leader, "val_accuracy"), _ends(run, run.leader)
        pairs = text.plural(row["val_pairs"], "validation pair")
        told = f"Trial {run.leader} tells {text.percent(value)}{_within(*ends)} of {pairs} right (in brackets 95 % interval)."
        wait = "It was chosen on these very pairs, so expect less. Finish the run to have it tested."
        return Answer(question, "Not sure yet.", [told, wait], tone=UNSURE)
    identities = f" of {row['test_identities']} identities" if row["test_identities"] else ""
    lines = [
        f"The winner, trial {run.leader}, tells {_measured(row, 'winner')} of {text.plural(row['test_pairs'], 'test pair')}"
        f"{identities} right, which no trial saw (in brackets 95 % intervals)."
    ]
    lines += expectation(row, run.trial(run.leader))
    headline, tone = "There is no default to compare it with.", UNSURE
    if run.compared:
        headline, tone = _compared(run)
        if run.leader != run.default or row["threshold_winner"] != row["threshold_default"]:
            at = f"The default, threshold {number(row['threshold_default'])}: {_measured(row, 'default')}."
            lines.append(f"{at} {_difference(row, 'test_difference')}")
        if _solved_differs(run):
            at = f"The default with a threshold solved for it, {number(row['threshold_default_solved'])}:"
            lines.append(f"{at} {_measured(row, 'default_solved')}. {_difference(row, 'test_difference_solved')}")
    lines.append(_what_intervals_count(row))
    return Answer(question, headline, lines, tone=tone)


def _what_intervals_count(row: dict[str, Any]) -> str:
    if row["repeats"] is None:
        return (
            "The intervals say what other identities could change; what another seed could, one training each does not tell: "
            "--repeats 3 would."
        )
    return (
        f"Winner and default were trained with {row['repeats']} seeds, the same for both, and compared by their means: the "
        "intervals say what other identities and other seeds could change."
    )


def _solved_differs(run: WholeRun) -> bool:
    """Whether the default with a solved threshold is a third thing beside winner and default."""
    row = run.row
    given = row["test_difference_solved"] is not None
    return given and not own_model_won(run) and row["threshold_default_solved"] != row["threshold_default"]


def _compared(run: WholeRun) -> tuple[str, str]:
    row = run.row
    if run.leader == run.default:
        moved = row["threshold_winner"] != row["threshold_default"]
        return "The default itself won" + ("; its threshold is all that changed." if moved else "."), GOOD
    if row["test_difference_high"] < 0:
        return "Sure that the search found nothing better.", BAD
    if not above(row, "test_difference"):
        return "Not sure: the winner is not better than the default beyond noise.", UNSURE
    if own_model_won(run):
        return "Sure that the threshold matters; no other training ranked above the default's.", GOOD
    if row["test_difference_solved"] is not None and not above(row, "test_difference_solved"):
        return "Sure that the threshold matters; not that anything else does.", UNSURE
    return "Sure: better than the default beyond noise.", GOOD


def _avoid(run: WholeRun, symptoms: list[Symptom]) -> Answer:
    question = "What should I not try again?"
    ruled_out = _dead_ends(run, symptoms)
    lines = [f"{where}: {why}." for where, why in ruled_out.items()]
    lines += _single_trials(run, symptoms, ruled_out)
    if not lines:
        why = "No trial fell sick or failed, and no end of a range was worse than the rest beyond noise."
        asked = len(run.asked)
        few = [f"{text.plural(asked, 'trial')} can hardly rule anything out."] * (asked < _MANY)
        return Answer(question, "Nothing was ruled out.", [" ".join([why, *few])])
    if not ruled_out:
        return Answer(question, "Nothing but single trials was ruled out.", lines, tone=UNSURE)
    more = f" and {len(ruled_out) - 2} more" if len(ruled_out) > 2 else ""
    return Answer(question, f"{'; '.join(list(ruled_out)[:2])}{more}.", lines, tone=UNSURE)


def _dead_ends(run: WholeRun, symptoms: list[Symptom]) -> dict[str, str]:
    """By range, why it is not worth another trial: all there were worse than the rest, or all there have a diagnosis."""
    always = [s for s in symptoms if len(s.trials) >= _FEW and s.parameter is not None and s.others_there == 0]
    found: dict[str, str] = {}
    for end in dead_ends(run):
        reached = "none could be ranked" if end.best is None else f"the best reached {end.best:.3f}"
        winner = f"the winner has {run.value(run.leading, 'objective'):.3f} {run.metric}"
        there = ", ".join(symptom.name for symptom in always if _within_end(symptom, end))
        where = f"{end.parameter} {number(end.edge)} and {'below' if end.is_low else 'above'}"
        found[where] = f"of {text.plural(end.trainings, 'training')} {reached}, {winner}" + (
            f" ({there})" if there else ""
        )
        always = [s for s in always if not _within_end(s, end)]
    for where in dict.fromkeys(symptom.where for symptom in always):
        those = [symptom for symptom in always if symptom.where == where]
        trials = {trial for symptom in those for trial in symptom.trials}
        found[where] = f"{', '.join(s.name for s in those)} in all of {text.plural(len(trials), 'trial')}"
    return found


def _within_end(symptom: Symptom, end: DeadEnd) -> bool:
    """Whether all that has the symptom lies in the dead end."""
    return (
        symptom.parameter is not None
        and symptom.low is not None
        and symptom.high is not None
        and end.holds(symptom.parameter, symptom.low, symptom.high)
    )


def _single_trials(run: WholeRun, symptoms: list[Symptom], ruled_out: dict[str, str]) -> list[str]:
    """What ended a trial, by diagnosis or error, where no range of those ruled out says it."""
    ended = run.trials[run.trials.state.isin([SICK, FAILED])]
    known = {symptom.name: symptom for symptom in symptoms}
    lines = []
    for (state, reason), group in ended.groupby(["state", ended.error.fillna("unknown")], sort=False):
        name = str(reason).partition(":")[0]
        symptom = known.get(name) if state == SICK else None
        if symptom is not None and any(where == symptom.where or name in why for where, why in ruled_out.items()):
            continue
        trials = list(map(int, group.trial))
        values = run.searched_values(trials[0]) if len(trials) == 1 else {}
        where = ", ".join(f"{parameter} {number(value)}" for parameter, value in values.items())
        what = f"ended by {name}" if state == SICK else f"failed: {reason}"
        lines.append(f"{_numbers(trials)}{where and f' ({where})'}: {what}.")
    return lines[:_LISTED]


def _ends(run: WholeRun, trial: int) -> tuple[float | None, float | None]:
    return run.value(trial, "val_accuracy_low"), run.value(trial, "val_accuracy_high")


def _measured(row: dict[str, Any], which: str) -> str:
    name = f"test_accuracy_{which}"
    return text.percent(row[name]) + _within(row[f"{name}_low"], row[f"{name}_high"])


def _within(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"


def _difference(row: dict[str, Any], name: str) -> str:
    ends = f"{100 * row[f'{name}_low']:+.1f} to {100 * row[f'{name}_high']:+.1f}"
    return f"Difference {100 * row[name]:+.1f} points ({ends}): {text.judged(row[f'{name}_low'], row[f'{name}_high'])}."


def _numbers(trials: list[int]) -> str:
    return f"Trial{'s' * (len(trials) > 1)} {text.listed(trials, _LISTED)}"


def resume_command(run: WholeRun) -> str:
    """The command that goes on with the run."""
    return shlex.join(["python", "-m", "tuner.run", "--resume", run.name, "--results", run.root])


def export_command(run: WholeRun, trial: int) -> str:
    """The command that writes the trial's model to a folder."""
    words = ["python", "-m", "tuner.export", run.name, str(trial), "--results", run.root]
    return shlex.join([*words, "--to", f"{run.name}-model"])
