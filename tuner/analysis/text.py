"""Numbers, counts, ranges and times in words: the one place that says how each is written.

It stands here and not in `reporting/` because `analysis` and `stored` word things too, and may not import that room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BETTER, WORSE, NOT_TOLD_APART = "better beyond noise", "worse beyond noise", "not told apart"


def number(value: Any, digits: int = 3) -> str:
    """A number for people: three significant digits, whole ones as they are, a missing one as a dash; a name is itself.

    >>> number(0.0712345), number(16.0), number(None)
    ('0.0712', '16', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e6 else f"{float(value):.{digits}g}"


def cost(name: str, value: float) -> str:
    """A cost, by its name in trainable.objectives.

    >>> cost("parameters", 1234567.0), cost("seconds", 12.34), cost("image_ms", 0.5)
    ('1,234,567', '12.3', '0.50')
    """
    return {"parameters": f"{value:,.0f}", "seconds": f"{value:.1f}"}.get(name, f"{value:.2f}")


def plural(count: int | None, noun: str) -> str:
    """A count with its noun; the noun alone where the count is not known.

    >>> plural(1, "trial"), plural(1600, "pair"), plural(None, "pair")
    ('1 trial', '1,600 pairs', 'pairs')
    """
    return f"{noun}s" if count is None else f"{count:,} {noun}{'s' * (count != 1)}"


def percent(value: float | None) -> str:
    """A share, 0 to 1, in percent.

    >>> percent(0.9125), percent(None)
    ('91.2 %', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def interval(low: float, high: float, signed: bool = False) -> str:
    """From where to where an interval goes, to three digits.

    >>> interval(0.8441, 0.936), interval(-0.02, 0.074, signed=True)
    ('0.844 to 0.936', '-0.020 to +0.074')
    """
    sign = "+" if signed else ""
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def difference(value: float, low: float, high: float) -> str:
    """A difference with its 95 % interval, and what that means.

    >>> difference(0.022, -0.02, 0.074)
    '+0.022, 95 % interval -0.020 to +0.074: not told apart'
    """
    return f"{value:+.3f}, 95 % interval {interval(low, high, signed=True)}: {judged(low, high)}"


def judged(low: float, high: float) -> str:
    """What the interval of a difference says: better, worse, or neither for sure."""
    return BETTER if low > 0 else WORSE if high < 0 else NOT_TOLD_APART


def spans(numbers: Sequence[int]) -> str:
    """Whole numbers, in order, in few words.

    >>> spans([0, 1, 2, 3, 5])
    '0 to 3, 5'
    """
    found: list[list[int]] = []
    for value in numbers:
        if found and value == found[-1][-1] + 1:
            found[-1][1:] = [value]
        else:
            found.append([value])
    return ", ".join(" to ".join(map(str, span)) for span in found)


def listed(numbers: Sequence[int], most: int = 6) -> str:
    """The first few of these numbers, and how many more there are.

    >>> listed([1, 4, 9], most=2)
    '1, 4 and 1 more'
    """
    more = len(numbers) - most
    return ", ".join(map(str, numbers[:most])) + (f" and {more} more" if more > 0 else "")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as a clock shows them.

    >>> duration(75), duration(3725)
    ('1:15', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def seconds(value: float) -> str:
    """A time in seconds, with a decimal where it is short.

    >>> seconds(0.25), seconds(107.2)
    ('0.2 s', '107 s')
    """
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def parameter(name: str, value: Any, digits: int = 3) -> str:
    """A hyperparameter's value: all of the backbone's blocks, and a threshold that is solved, have no number.

    >>> parameter("trainable_blocks", None), parameter("temperature", 0.0712345)
    ('all', '0.0712')
    """
    if value is None:
        return {"trainable_blocks": "all", "threshold": "solved"}.get(name, "–")
    return number(value, digits) if isinstance(value, int | float) else str(value)


def configuration(values: Mapping[str, Any]) -> str:
    """The values of parameters, in their order.

    >>> configuration({"temperature": 0.1, "trainable_blocks": None})
    'temperature 0.1, trainable_blocks all'
    """
    return ", ".join(f"{name} {parameter(name, value)}" for name, value in values.items())
