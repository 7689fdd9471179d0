"""Figures as inline SVG: axes, ticks and marks. Colours are the style sheet's, so that light and dark need no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

_LEAST = 1e-200
_LOG_FROM = 8.0
"""Positive values whose largest is so many times the smallest get a logarithmic axis."""
NARROW = 328
"""Pixels that a window of 360 has for a figure."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44


def element(tag: str, content: Any = "", /, **attributes: Any) -> Markup:
    """An SVG or HTML element; content and attributes are escaped unless they are Markup.

    Underscores in names become hyphens (`class_` is class), numbers are rounded to a tenth, None leaves an attribute out.
    """
    given = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None)
    text = "".join(f' {name}="{escape(_short(value))}"' for name, value in given)
    return Markup(f"<{tag}{text}>{escape(content)}</{tag}>")


def _short(value: Any) -> Any:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


@dataclass(frozen=True)
class Axis:
    """From which value to which an axis goes, and how."""

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    names: tuple[str, ...] = ()
    """Of an axis of names: each stands at its place among them."""

    @classmethod
    def over(cls, label: str, values: Iterable[float], log: bool | None = None, margin: float = 0.04) -> Axis:
        """Just wide enough for the finite ones of these values; logarithmic where they span a wide range, unless told."""
        finite = [float(v) for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        whole = all(v.is_integer() for v in finite) and high - low <= 100
        if log is None:
            log = not whole and low > _LEAST and high / low > _LOG_FROM
        if log and low > _LEAST:  # below it a wider axis would reach 0
            wider = (high / low) ** margin if high > low else 2.0
            return cls(label, low / wider, high * wider, log=True)
        wider = (high - low) * margin if high > low else max(abs(low) * 0.1, 0.5 if whole else 0.01)
        return cls(label, low - wider, high + wider, whole=whole)

    @classmethod
    def of_names(cls, label: str, names: Sequence[str], letters: int = 42) -> Axis:
        """An axis of names; letters: for so many there is room on it."""
        most = max(4, letters // len(names))
        short = (name if len(name) <= most else f"{name[: most - 1]}…" for name in names)
        return cls(label, -0.5, len(names) - 0.5, names=tuple(short))

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one; values outside are put on the nearer end."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = math.log(max(value, self.low)) if self.log else value
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self) -> list[tuple[float, str]]:
        """Round values on the axis, each with its text."""
        if self.names:
            return [(float(place), name) for place, name in enumerate(self.names)]
        found = _log_ticks(self.low, self.high) if self.log else _even_ticks(self.low, self.high, self.whole)
        return [(value, _tick_text(value)) for value in found]


def _even_ticks(low: float, high: float, whole: bool) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 6)
    step = max(1, round(step)) if whole else step
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) >= 3:
            break
    return found[:: math.ceil(len(found) / 7)] if found else [low, high]


def _tick_text(value: float) -> str:
    text = f"{value:.6g}"
    return text if len(text) <= 6 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


class Panel:
    """A figure with two axes. Marks are drawn in the order in which they are added; trial numbers let the page light
    up one trial in every figure."""

    def __init__(self, title: str, x: Axis, y: Axis, width: int = NARROW, height: int = 230, left: int = _LEFT) -> None:
        self.title, self.x, self.y = title, x, y
        self.width, self.height, self.left = width, height, left
        self.marks: list[Markup] = []
        """What was drawn so far."""

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point given in the axes' values."""
        return self._right_of(x), self._below(y)

    def add(self, tag: str, content: Any = "", /, trial: int | None = None, **attributes: Any) -> None:
        """Any element, in pixels."""
        self.marks.append(element(tag, content, data_t=trial, **attributes))

    def line(self, points: Sequence[tuple[float, float]], class_: str, trial: int | None = None) -> None:
        """A line through points; one point alone becomes a dot."""
        if len(points) == 1:
            x, y = self.at(*points[0])
            self.add("circle", cx=x, cy=y, r=2.5, class_=f"dot {class_}", trial=trial)
        elif points:
            path = "M" + "L".join(" ".join(str(_short(p)) for p in self.at(*point)) for point in points)
            self.add("path", d=path, class_=f"line {class_}", trial=trial)

    def mark(self, x: float, y: float, class_: str, trial: int | None = None) -> None:
        """One trial's point, in the shape of its class."""
        across, down = self.at(x, y)
        self.marks.append(symbol(across, down, class_, trial))

    def region(self, low: float, high: float, class_: str) -> None:
        """A band over the whole height, from one x to another."""
        left, right = self._right_of(low), self._right_of(high)
        height = self.height - _TOP - _BOTTOM
        self.add("rect", x=left, y=_TOP, width=max(right - left, 1.0), height=height, class_=class_)

    def rule(self, class_: str, x: float | None = None, y: float | None = None, text: str = "") -> None:
        """A line across at one x or one y, with a text beside it."""
        if x is not None:
            across = self._right_of(x)
            self.add("line", x1=across, x2=across, y1=_TOP, y2=self.height - _BOTTOM, class_=f"rule {class_}")
            end = across > self.width - 130
            self.add(
                "text",
                text,
                x=across + (-5 if end else 5),
                y=_TOP + 10,
                text_anchor="end" if end else None,
                class_="note",
            )
        if y is not None:
            down = self._below(y)
            self.add("line", x1=self.left, x2=self.width - _RIGHT, y1=down, y2=down, class_=f"rule {class_}")
            self.add("text", text, x=self.left + 4, y=down - 4, class_="note")

    def svg(self) -> Markup:
        """The whole figure."""
        parts = [*self.x_axis(), *self._y_axis(), *self.marks]
        return frame(self.title, self.width, self.height, parts)

    def _right_of(self, x: float) -> float:
        return self.left + self.x.place(x) * (self.width - self.left - _RIGHT)

    def _below(self, y: float) -> float:
        return _TOP + (1 - self.y.place(y)) * (self.height - _TOP - _BOTTOM)

    def x_axis(self) -> Iterable[Markup]:
        """Its ticks, their texts and its label."""
        floor = self.height - _BOTTOM
        for value, text in self.x.ticks():
            across = self._right_of(value)
            yield element("line", x1=across, x2=across, y1=_TOP, y2=floor, class_="grid")
            yield element("text", text, x=across, y=floor + 15, text_anchor="middle", class_="tick")
        middle = (self.left + self.width - _RIGHT) / 2
        yield element("text", self.x.label, x=middle, y=self.height - 8, text_anchor="middle", class_="label")

    def _y_axis(self) -> Iterable[Markup]:
        for value, text in self.y.ticks():
            down = self._below(value)
            yield element("line", x1=self.left, x2=self.width - _RIGHT, y1=down, y2=down, class_="grid")
            yield element("text", text, x=self.left - 6, y=down + 3.5, text_anchor="end", class_="tick")
        if self.y.label:
            turned = f"translate(13 {_short((self.height - _BOTTOM + _TOP) / 2)}) rotate(-90)"
            yield element("text", self.y.label, transform=turned, text_anchor="middle", class_="label")


def frame(title: str, width: int, height: int, parts: Iterable[Markup]) -> Markup:
    """The outer element of a figure: as wide as its column, read out by its title.

    Never narrower than it is drawn: its text stays as large as it is, and a figure wider than the screen scrolls in its box.
    """
    attributes = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria_label": title, "class_": "figure"}
    return element("svg", Markup("").join(parts), **attributes, style=f"min-width: {width}px")


def forms(narrow: Markup, wide: Markup) -> Markup:
    """A figure in two forms, of which the page shows the one that fits its window."""
    return element("div", narrow, class_="on-narrow") + element("div", wide, class_="on-wide")


def symbol(across: float, down: float, class_: str, trial: int | None = None) -> Markup:
    """A mark in pixels: × for sick, + for failed, a ring for pruned, a diamond for the default, a star for the winner."""
    shapes = {
        "sick": ("M-4 -4L4 4M4 -4L-4 4", "cross"),
        "failed": ("M-5 0L5 0M0 -5L0 5", "cross"),
        "default": ("M0 -6L6 0L0 6L-6 0Z", "dot"),
        "winner": ("M0 -9L2.4 -3.2L8.6 -2.8L3.8 1.2L5.3 7.3L0 4L-5.3 7.3L-3.8 1.2L-8.6 -2.8L-2.4 -3.2Z", "dot"),
    }
    if class_ in shapes:
        path, kind = shapes[class_]
        place = f"translate({_short(across)} {_short(down)})"
        return element("path", d=path, transform=place, class_=f"{kind} {class_}", data_t=trial)
    return element("circle", cx=across, cy=down, r=4, class_=f"dot {class_}", data_t=trial)
