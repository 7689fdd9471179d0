"""The three answers that a page begins with: which configuration to use, how sure that is, what not to try again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace

from tuner.analysis.dead_ends import dead_ends
from tuner.analysis.symptoms import Symptom
from tuner.reporting.figures.svg import number
from tuner.results.one_run import WholeRun
from tuner.results.trial_record import FAILED, SICK

GOOD, UNSURE, BAD = "good", "unsure", "bad"
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


@dataclass(frozen=True)
class _Choice:
    """What to use: a trial's values, at a threshold."""

    trial: int
    threshold: float | None
    headline: str
    why: str
    tone: str


def answers(run: WholeRun, symptoms: list[Symptom]) -> list[Answer]:
    """The three, for a run of any state."""
    return [_use(run), _sure(run), _avoid(run, symptoms)]


def _use(run: WholeRun) -> Answer:
    question = "Which configuration should I use?"
    if run.leader is None:
        reason = run.row["error"] or "no trial finished an epoch that could be ranked"
        return Answer(question, "None of these.", [f"No trial can win: {reason}."], tone=BAD)
    choice = _choice(run)
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
    return Answer(question, choice.headline, [choice.why], shown, commands, choice.tone)


def _exported_threshold(run: WholeRun, trial: int) -> float | None:
    """The one that an export of the trial has: one that nobody chose is solved."""
    if trial == run.leader:
        return run.threshold
    fixed = run.value(trial, "threshold_source") == "fixed"
    return run.row["threshold_default_solved"] if fixed else run.value(trial, "threshold")


def _choice(run: WholeRun) -> _Choice:
    """Only what is better beyond noise replaces the default."""
    row, leader, default = run.row, run.leader, run.default
    first = _Choice(
        leader, run.threshold, f"The winner, trial {leader}.", "It is better than the default beyond noise.", GOOD
    )
    if not run.tested:
        why = f"It leads by {run.metric} on validation pairs. The run has not come to its end: no test pair was looked at."
        return replace(first, headline=f"For now trial {leader}, which leads so far.", why=why, tone=UNSURE)
    if not run.compared:
        why = "The default configuration did not get as far as to be compared with."
        return replace(first, why=why, tone=UNSURE)
    stay = _Choice(default, row["threshold_default"], "The default configuration.", "", UNSURE)
    better = _above(row, "test_difference")
    if leader == default:
        why = "It was tried first, and no other trial was better on validation pairs."
        return replace(stay, threshold=run.threshold, why=why, tone=GOOD)
    if row["test_difference_high"] < 0:
        return replace(stay, why=f"Trial {leader}, which won on validation pairs, is worse on test pairs.", tone=BAD)
    if _same_training(run, leader, default):
        what = f"The default configuration, with the threshold {number(run.threshold)}."
        why = f"The winner, trial {leader}, differs from the default in nothing but the threshold."
        return replace(first, headline=what, why=why, tone=GOOD if better else UNSURE)
    if better and (row["test_difference_solved"] is None or _above(row, "test_difference_solved")):
        return first
    return _stay(run, stay, better)


def _stay(run: WholeRun, stay: _Choice, better: bool) -> _Choice:
    """The default, where the winner is not better than it; with a solved threshold where that does no worse."""
    row, solved = run.row, run.row["threshold_default_solved"]
    if better:
        what = "The default configuration, with a solved threshold."
        why = (
            f"With the threshold {number(solved)}, solved for it, the default does as well as the winner, trial {run.leader}, "
            "as far as the test pairs can tell: what was found is the threshold."
        )
        return replace(stay, threshold=solved, headline=what, why=why)
    why = f"Trial {run.leader}, which won on validation pairs, is not better than it beyond noise; its values are further down."
    use_solved = solved is not None and row["test_accuracy_default_solved"] >= row["test_accuracy_default"]
    return replace(stay, threshold=solved if use_solved else stay.threshold, why=why)


def _sure(run: WholeRun) -> Answer:
    question, row = "How sure is that?", run.row
    if run.leader is None:
        return Answer(question, "There is nothing to be sure of.", tone=BAD)
    if not run.tested:
        value, ends = run.value(run.leader, "val_accuracy"), _ends(run, run.leader)
        pairs = _count(row["val_pairs"], "validation pair")
        told = (
            f"Trial {run.leader} tells {_percent(value)}{_within(*ends)} of {pairs} right (in brackets 95 % interval)."
        )
        wait = "It was chosen on these very pairs, so expect less. Finish the run to have it tested."
        return Answer(question, "Not sure yet.", [told, wait], tone=UNSURE)
    identities = f" of {row['test_identities']} identities" if row["test_identities"] else ""
    lines = [
        f"The winner, trial {run.leader}, tells {_measured(row, 'winner')} of {_count(row['test_pairs'], 'test pair')}"
        f"{identities} right, which no trial saw (in brackets 95 % intervals)."
    ]
    headline, tone = "There is no default to compare it with.", UNSURE
    if run.compared:
        headline, tone = _compared(run)
        if run.leader != run.default or row["threshold_winner"] != row["threshold_default"]:
            at = f"The default, threshold {number(row['threshold_default'])}: {_measured(row, 'default')}."
            lines.append(f"{at} {_difference(row, 'test_difference')}")
        if _solved_differs(run):
            at = f"The default with a threshold solved for it, {number(row['threshold_default_solved'])}:"
            lines.append(f"{at} {_measured(row, 'default_solved')}. {_difference(row, 'test_difference_solved')}")
    lines.append(
        "The intervals say what other identities could change; what another seed could, one run does not tell."
    )
    return Answer(question, headline, lines, tone=tone)


def _solved_differs(run: WholeRun) -> bool:
    """Whether the default with a solved threshold is a third thing beside winner and default."""
    row = run.row
    given = row["test_difference_solved"] is not None
    return (
        given
        and not _same_training(run, run.leader, run.default)
        and row["threshold_default_solved"] != row["threshold_default"]
    )


def _compared(run: WholeRun) -> tuple[str, str]:
    row = run.row
    if run.leader == run.default:
        moved = row["threshold_winner"] != row["threshold_default"]
        return "The default itself won" + ("; its threshold is all that changed." if moved else "."), GOOD
    if row["test_difference_high"] < 0:
        return "Sure that the search found nothing better.", BAD
    if not _above(row, "test_difference"):
        return "Not sure: the winner is not better than the default beyond noise.", UNSURE
    if _same_training(run, run.leader, run.default):
        return "Sure that the threshold matters; no other training ranked above the default's.", GOOD
    if row["test_difference_solved"] is not None and not _above(row, "test_difference_solved"):
        return "Sure that the threshold matters; not that anything else does.", UNSURE
    return "Sure: better than the default beyond noise.", GOOD


def _avoid(run: WholeRun, symptoms: list[Symptom]) -> Answer:
    question = "What should I not try again?"
    ruled_out = _dead_ends(run, symptoms)
    lines = [f"{where}: {why}." for where, why in ruled_out.items()]
    lines += _single_trials(run, symptoms, ruled_out)
    if not lines:
        why = "No trial fell sick or failed, and no end of a range was worse than the rest beyond noise."
        few = [f"{_count(len(run.trials), 'trial')} can hardly rule anything out."] * (len(run.trials) < _MANY)
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
        winner = f"the winner has {run.value(run.leader, 'objective'):.3f} {run.metric}"
        there = ", ".join(symptom.name for symptom in always if end.holds(symptom.parameter, symptom.low, symptom.high))
        where = f"{end.parameter} {number(end.edge)} and {'below' if end.is_low else 'above'}"
        found[where] = f"of {_count(end.trainings, 'training')} {reached}, {winner}" + (f" ({there})" if there else "")
        always = [s for s in always if not end.holds(s.parameter, s.low, s.high)]
    for where in dict.fromkeys(symptom.where for symptom in always):
        those = [symptom for symptom in always if symptom.where == where]
        trials = {trial for symptom in those for trial in symptom.trials}
        found[where] = f"{', '.join(s.name for s in those)} in all of {_count(len(trials), 'trial')}"
    return found


def _single_trials(run: WholeRun, symptoms: list[Symptom], ruled_out: dict[str, str]) -> list[str]:
    """What ended a trial, by diagnosis or error, where no range of those ruled out says it."""
    ended = run.trials[run.trials.state.isin([SICK, FAILED])]
    known = {symptom.name: symptom for symptom in symptoms}
    lines = []
    for (state, reason), group in ended.groupby(["state", ended.error.fillna("unknown")], sort=False):
        name = reason.partition(":")[0]
        symptom = known.get(name) if state == SICK else None
        if symptom is not None and any(where == symptom.where or name in why for where, why in ruled_out.items()):
            continue
        trials = list(map(int, group.trial))
        values = run.searched_values(trials[0]) if len(trials) == 1 else {}
        where = ", ".join(f"{parameter} {number(value)}" for parameter, value in values.items())
        what = f"ended by {name}" if state == SICK else f"failed: {reason}"
        lines.append(f"{_numbers(trials)}{where and f' ({where})'}: {what}.")
    return lines[:_LISTED]


def _same_training(run: WholeRun, one: int, other: int) -> bool:
    names = [name for name in run.searched if name != "threshold"]
    return all(run.value(one, name) == run.value(other, name) for name in names if run.has(one, name))


def _above(row: dict, name: str) -> bool:
    return row[name] is not None and row[f"{name}_low"] > 0


def _ends(run: WholeRun, trial: int) -> tuple[float | None, float | None]:
    return run.value(trial, "val_accuracy_low"), run.value(trial, "val_accuracy_high")


def _measured(row: dict, which: str) -> str:
    name = f"test_accuracy_{which}"
    return _percent(row[name]) + _within(row[f"{name}_low"], row[f"{name}_high"])


def _within(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"


def _difference(row: dict, name: str) -> str:
    ends = f"{100 * row[f'{name}_low']:+.1f} to {100 * row[f'{name}_high']:+.1f}"
    if row[f"{name}_low"] > 0:
        meaning = "better beyond noise"
    else:
        meaning = "worse beyond noise" if row[f"{name}_high"] < 0 else "not told apart"
    return f"Difference {100 * row[name]:+.1f} points ({ends}): {meaning}."


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _count(count: int | None, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}" if count is not None else f"{noun}s"


def _numbers(trials: list[int]) -> str:
    listed = ", ".join(map(str, trials[:_LISTED])) + (" …" if len(trials) > _LISTED else "")
    return f"Trial {listed}" if len(trials) == 1 else f"Trials {listed}"


def resume_command(run: WholeRun) -> str:
    """The command that goes on with the run."""
    return shlex.join(["python", "-m", "tuner.run", "--resume", run.name, "--results", run.root])


def export_command(run: WholeRun, trial: int) -> str:
    """The command that writes the trial's model to a folder."""
    words = ["python", "-m", "tuner.export", run.name, str(trial), "--results", run.root]
    return shlex.join([*words, "--to", f"{run.name}-model"])
