"""The timeline of a run: when each trial trained, on which node, beside which others."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from tuner.reporting.figures.svg import NARROW, Axis, Panel, element, forms, frame, symbol
from tuner.results.one_run import WholeRun

_WIDTH, _LANE = 940, 20
_LEFT = {NARROW: 12, _WIDTH: 150}
"""Room for the names of nodes; a narrow figure has none: pointing at a trial names it."""
_IDLE_S = 300.0
"""A pause in which nothing trained is left out from so many seconds on, if it is also a tenth of all the work."""


@dataclass(frozen=True)
class Pause:
    """A time in which no trial trained: the run was interrupted, and resumed later. Seconds since the run began."""

    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it was."""
        return self.end_s - self.begin_s


def timeline(run: WholeRun) -> Markup | None:
    """A bar a trial, in as many lanes for each node as trials overlapped there; None where no trial has ended."""
    rows = run.trials.dropna(subset=["started_at", "ended_at"])
    return None if rows.empty else forms(_timeline(run, rows, NARROW), _timeline(run, rows, _WIDTH))


def _timeline(run: WholeRun, rows: pd.DataFrame, width: int) -> Markup:
    end_s = (rows.ended_at - rows.started_at.min()).dt.total_seconds()
    begin_s = (end_s - rows.train_s.fillna(0)).clip(lower=0)
    left_out = pauses(begin_s, end_s)
    begin_s, end_s = (moments.map(lambda moment: worked_s(moment, left_out)) for moments in (begin_s, end_s))
    lanes = _lanes(rows.node.fillna("no node"), begin_s, end_s)
    order = {lane: place for place, lane in enumerate(sorted(set(lanes.values())))}
    height = _LANE * len(order) + 60
    begun = "seconds" if width == NARROW else "seconds since the first trial was suggested"
    label = begun + (", pauses left out" if left_out else "")
    axis = Axis(label, 0.0, max(float(end_s.max()), 1.0))
    panel = Panel("timeline", axis, Axis("", 0, 1), width=width, height=height, left=_LEFT[width])
    for pause in left_out:
        panel.rule("pause", x=worked_s(pause.begin_s, left_out), text=f"{_long(pause.length_s)} later")
    parts = [*panel.x_axis(), *panel.marks]
    for node in sorted({node for node, _ in order}):
        if width == NARROW:
            continue
        y = 26 + _LANE * order[node, 0]
        parts.append(element("text", node[-22:], x=_LEFT[width] - 8, y=y, text_anchor="end", class_="tick"))
    for trial in run.in_front_last():
        if trial in lanes:
            parts += _bar(run, panel, trial, 14 + _LANE * order[lanes[trial]], (begin_s[trial], end_s[trial]))
    return frame("timeline of the trials", width, height, parts)


def pauses(begin_s: pd.Series, end_s: pd.Series) -> list[Pause]:
    """The long times in which no trial trained, in their order."""
    found, until, work_s = [], 0.0, float((end_s - begin_s).sum())
    for begin, end in sorted(zip(begin_s, end_s, strict=True)):
        if begin - until > max(_IDLE_S, work_s / 10):
            found.append(Pause(until, begin))
        until = max(until, end)
    return found


def worked_s(moment_s: float, left_out: list[Pause]) -> float:
    """The moment on a clock that stands still in the pauses."""
    return moment_s - sum(max(0.0, min(moment_s, pause.end_s) - pause.begin_s) for pause in left_out)


def _bar(run: WholeRun, panel: Panel, trial: int, top: float, ends_s: tuple[float, float]) -> list[Markup]:
    left, right = (panel.at(moment_s, 0)[0] for moment_s in ends_s)
    look = run.look(trial)
    if run.value(trial, "replay_of") is not None:  # it trained nothing: a moment
        return [symbol(right, top + 8, look, trial)]
    width = max(right - left, 1.5)
    bar = element("rect", x=left, y=top, width=width, height=_LANE - 4, rx=2, class_=f"busy {look}", data_t=trial)
    if width < 18:
        return [bar]
    return [bar, element("text", trial, x=(left + right) / 2, y=top + 12, text_anchor="middle", class_="in-bar")]


def _lanes(nodes: pd.Series, begin_s: pd.Series, end_s: pd.Series) -> dict[int, tuple[str, int]]:
    """By trial, node and lane: the first lane of its node that is free when it begins."""
    free: dict[str, list[float]] = {}
    lanes = {}
    for trial in begin_s.sort_values(kind="stable").index:
        until = free.setdefault(nodes[trial], [])
        lane = next((n for n, moment_s in enumerate(until) if moment_s <= begin_s[trial] + 0.05), len(until))
        until[lane : lane + 1] = [float(end_s[trial])]
        lanes[int(trial)] = (nodes[trial], lane)
    return lanes


def _long(seconds: float) -> str:
    for unit_s, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
