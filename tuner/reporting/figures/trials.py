"""Figures of all trials of a run: learning curves, parameters, importances, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from tuner.analysis.importance import Effect
from tuner.analysis.text import number
from tuner.reporting.figures.svg import NARROW, Axis, Panel, element, frame
from tuner.results.one_run import WholeRun

_WIDE = 940
_SHADES = 5


def learning_curves(run: WholeRun) -> list[Markup]:
    """The metric and the contrastive loss of every trial by epoch, the winner in front; and what the winner's pairs did."""
    if run.epochs.empty:
        return []
    figures = [_curves(run, "objective", run.metric), _curves(run, "contrastive_loss", "contrastive loss [nats]")]
    return [*figures, _similarities(run)] if run.leader is not None else figures


def _curves(run: WholeRun, column: str, label: str) -> Markup:
    rows = run.epochs[run.epochs[column].notna()]
    panel = Panel(
        f"{label} by epoch",
        _epoch_axis(run),
        Axis.over(label, rows[column], log=None if column == "contrastive_loss" else False),
    )
    by_trial = {number: rows[rows.trial == number] for number in rows.trial.unique()}
    for trial in run.in_front_last():
        if trial in by_trial:
            points = list(zip(by_trial[trial].epoch, by_trial[trial][column], strict=True))
            panel.line(points, run.look(trial), trial)
    return panel.svg()


def _similarities(run: WholeRun) -> Markup:
    """Mean scores of the winner's positive and negative validation pairs, around its threshold."""
    rows = run.epochs[run.epochs.trial == run.leader].dropna(subset=["positive_similarity", "negative_similarity"])
    seen = [*rows.positive_similarity, *rows.negative_similarity, run.threshold]
    panel = Panel(
        "the winner's similarities by epoch", _epoch_axis(run), Axis.over("mean similarity, winner", seen, log=False)
    )
    for name in ("positive", "negative"):
        panel.line(list(zip(rows.epoch, rows[f"{name}_similarity"], strict=True)), name)
        if len(rows):
            across, down = panel.at(rows.epoch.iloc[-1], rows[f"{name}_similarity"].iloc[-1])
            panel.add("text", name, x=across - 4, y=down - 6, text_anchor="end", class_="note")
    if run.threshold is not None:
        panel.rule("threshold", y=run.threshold, text="threshold")
    return panel.svg()


def _epoch_axis(run: WholeRun) -> Axis:
    return Axis.over("epoch", [1, *run.epochs.epoch])


def parameters(run: WholeRun) -> list[Markup]:
    """Each searched parameter against the metric. Trials without a value of it lie on the floor."""
    objective = run.trials.objective.astype(float)
    return [_parameter(run, name, objective) for name in run.searched]


def _parameter(run: WholeRun, name: str, objective: pd.Series) -> Markup:
    having = set(run.having(name))
    given = [n for n in run.in_front_last() if n in having]
    y = Axis.over(run.metric, objective[given], log=False)
    names = run.names_of(name)
    x = Axis.of_names(name, names) if names else Axis.over(name, [run.value(n, name) for n in given])
    panel = Panel(f"{run.metric} by {name}", x, y)
    for trial in given:
        reached = run.value(trial, "objective")
        panel.mark(run.place(trial, name) or 0.0, y.low if reached is None else reached, run.look(trial), trial)
    return panel.svg()


def importances(effects: Sequence[Effect]) -> Markup:
    """A bar a parameter, with its interval; pale where it is not told apart from noise."""
    height = 34 * len(effects) + 44
    x = Axis("importance, 0 to 1", 0.0, 1.0)
    panel = Panel("importances", x, Axis("", 0, len(effects)), width=NARROW, height=height + 12, left=130)
    parts = list(panel.x_axis())
    for place, effect in enumerate(effects):
        top = 16 + 34 * place
        left, right = (panel.at(value, 0)[0] for value in (0.0, effect.importance))
        low, high = (panel.at(value, 0)[0] for value in (effect.importance_low, effect.importance_high))
        parts += [
            element("text", effect.parameter, x=122, y=top + 14, text_anchor="end", class_="label"),
            element(
                "rect", x=left, y=top, width=right - left, height=20, class_="bar" if effect.certain else "bar pale"
            ),
            element("line", x1=low, x2=high, y1=top + 10, y2=top + 10, class_="interval"),
        ]
    return frame("importance of each parameter", NARROW, height + 12, parts)


def parallel_coordinates(run: WholeRun) -> Markup | None:
    """A line a trial through all parameters and the metric; None for fewer than three parameters."""
    if len(run.searched) < 3 or run.trials.empty:
        return None
    names = [*run.searched, "objective"]
    height, top, floor, slot = 330, 40, 290, 312
    axes = {name: _upright(run, name) for name in names}
    across = {name: 60 + place * (_WIDE - 120) / (len(names) - 1) for place, name in enumerate(names)}
    ranks = (run.sign * run.trials.objective.astype(float)).rank(pct=True)

    def down(trial: int, name: str) -> float:
        value = run.place(trial, name) if run.has(trial, name) else None
        return slot if value is None else floor - axes[name].place(value) * (floor - top)

    lines = []
    for trial in run.in_front_last():
        path = "M" + "L".join(f"{across[name]:.0f} {down(trial, name):.1f}" for name in names)
        shade = "" if math.isnan(ranks[trial]) else f" shade-{min(_SHADES - 1, int(ranks[trial] * _SHADES))}"
        lines.append(element("path", d=path, class_=f"line {run.look(trial)}{shade}", data_t=trial))
    return frame("parallel coordinates", _WIDE, height, [*lines, *_uprights(run, axes, across, top, floor, slot)])


def _upright(run: WholeRun, name: str) -> Axis:
    if run.names_of(name):
        return Axis.of_names(name, run.names_of(name), letters=16 * len(run.names_of(name)))
    log = False if name == "objective" else None
    return Axis.over(name, [run.value(n, name) for n in run.having(name)], log, 0.0001)


def _uprights(
    run: WholeRun, axes: dict[str, Axis], across: dict[str, float], top: int, floor: int, slot: int
) -> list[Markup]:
    parts = []
    for name, axis in axes.items():
        x = across[name]
        label = run.metric if name == "objective" else name
        parts.append(element("line", x1=x, x2=x, y1=top, y2=floor, class_="upright"))
        parts.append(element("text", label, x=x, y=top - 18, text_anchor="middle", class_="label"))
        for value, text in axis.ticks():
            y = floor - axis.place(value) * (floor - top)
            parts.append(element("line", x1=x - 4, x2=x, y1=y, y2=y, class_="upright"))
            parts.append(element("text", text, x=x - 7, y=y + 3.5, text_anchor="end", class_="tick halo"))
        if len(run.having(name)) < len(run.trials):
            parts.append(element("text", "none", x=x - 7, y=slot + 3.5, text_anchor="end", class_="tick halo"))
    return parts


def trial_notes(run: WholeRun) -> dict[int, str]:
    """What the page says of a trial where one points at it."""
    return {int(trial): _note(run, int(trial)) for trial in run.trials.index}


def _note(run: WholeRun, trial: int) -> str:
    lines = [
        f"trial {trial}: {run.value(trial, 'state')}"
        + {"winner": ", winner", "default": ", default"}.get(run.look(trial), "")
    ]
    lines += [f"{name} {number(value, 4)}" for name, value in run.searched_values(trial).items()]
    lines.append(f"{run.metric} {number(run.value(trial, 'objective'), 4)}")
    lines.append(f"{run.value(trial, 'epochs')} epochs, {run.value(trial, 'train_s') or 0:.0f} s")
    if run.value(trial, "replay_of") is not None:
        lines.append(f"answered by the scores of trial {run.value(trial, 'replay_of')}")
    if run.value(trial, "diagnoses"):
        lines.append(", ".join(run.value(trial, "diagnoses")))
    return "\n".join(lines)
