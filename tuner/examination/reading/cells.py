"""The cells of a log as numbers: gaps, percent, decimal commas, and numbers with text around them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

GAPS = frozenset({
    "", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "nat", "-", "--", "—", "–", ".", "?", "missing", "undefined",
})  # fmt: skip
"""What people write where nothing was logged, in lower case. `nan` is none of them: it may be a number that was."""
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?|[+-]?\d{1,3}(\.\d{3})+,\d+", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_TOKEN = re.compile(r"(?<![\w.\-,])[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf)(?![\w])", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d?/\d\d?/\d{4}|\d\d?:\d\d:\d\d")
_SENTENCE = re.compile(r"[A-Za-z]+\s+[A-Za-z]+\s")
_MOSTLY = 0.8


@dataclass(frozen=True)
class Numbers:
    """The columns of a log that hold numbers, and what became of the others."""

    columns: dict[str, list[float | None]]
    """None: nothing was logged. NaN: the log says NaN, or leaves a gap in a format that has no other word for it."""
    texts: dict[str, list[str | None]]
    """Columns of words: phases, names of runs, dates."""
    unreadable: tuple[str, ...]
    """Columns of words that are no numbers, each with an example cell."""
    percent: frozenset[str]
    """Columns whose cells end in %: they are shares here."""
    spelt: frozenset[str]
    """Columns in which a gap has another word than NaN, so that NaN there is a number that was logged."""
    notes: tuple[str, ...] = field(default=())


def numbers(cells: pd.DataFrame, european: bool = False) -> Numbers:
    """The numbers in a table of text and Python values.

    european: the columns are separated by another sign than the comma, which is then rather a decimal one.
    """
    columns: dict[str, list[float | None]] = {}
    texts, unreadable, notes, percent, spelt = {}, [], [], set(), set()
    for name in cells.columns:
        raw = [_bare(value) for value in cells[name]]
        said = [value for value in raw if value is not None]
        if not said:
            continue
        values, note = _column(raw, said, european)
        if values is None:
            texts[name] = [None if value is None else str(value) for value in raw]
            unreadable.append(f"{name} (as {str(said[0])[:40]!r})")
            continue
        columns[name] = values
        if any(isinstance(value, str) and value.endswith("%") for value in said):
            percent.add(name)
        if any(value is None for value in raw):
            spelt.add(name)
        if note:
            notes.append(f"{name}: {note}")
    return Numbers(columns, texts, tuple(unreadable), frozenset(percent), frozenset(spelt), tuple(notes))


def _bare(value: Any) -> Any:
    """None for a gap, text without blanks and quotes, or a number as it is."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, list | tuple) and len(value) == 1:
        return _bare(value[0])
    if isinstance(value, bool | int | float):
        return value
    text = str(value).strip().strip("'\"").strip().replace("\u2212", "-")
    return None if text.lower() in GAPS else text


def _column(raw: Sequence[Any], said: Sequence[Any], european: bool) -> tuple[list[float | None] | None, str]:
    """The column's numbers, or None if it holds words, and what is to be said of how they were read."""
    words = [value for value in said if isinstance(value, str)]
    commas = _decimal_comma([word.removesuffix("%").strip() for word in words], european)
    values = [None if value is None else _number(value, commas) for value in raw]
    odd = [value for value, number in zip(raw, values, strict=True) if value is not None and number is None]
    note = "decimal commas" if commas else ""
    if not odd:
        return values, note
    around = [None if value is None else _inside(value, commas) for value in raw]
    if _of_one_kind(odd, commas):
        return around, f"the first number of cells as {str(odd[0])[:40]!r}"
    if len(said) - len(odd) >= _MOSTLY * len(said):
        return values, f"{len(odd)} cells that are no numbers are taken for gaps, as {str(odd[0])[:40]!r}"
    return None, ""


def _decimal_comma(words: Sequence[str], european: bool) -> bool:
    """Whether commas divide the whole from the fraction, here; else they divide thousands."""
    with_comma = [word for word in words if "," in word and _COMMA.fullmatch(word)]
    if not with_comma:
        return False
    return european or any(not _THOUSANDS.fullmatch(word) or word.lstrip("+-").startswith("0") for word in with_comma)


def _number(value: Any, commas: bool) -> float | None:
    """The cell as a number, if it is nothing else."""
    if not isinstance(value, str):
        return float(value)
    text = value.removesuffix("%").strip()
    if commas and _COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif text.replace(" ", "").isdigit() and re.fullmatch(r"\d{1,3}( \d{3})+", text):
        text = text.replace(" ", "")
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    if not _PLAIN.fullmatch(text):
        return None
    return float(text) / (100 if value.endswith("%") else 1)


def _inside(value: Any, commas: bool) -> float | None:
    """The number that a cell's text is about: that of a tensor, an array, or the first there is."""
    plain = _number(value, commas)
    if plain is not None or not isinstance(value, str):
        return plain
    text = value.partition("numpy=")[2] or value.partition("dtype=")[0] or value
    if commas:
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    text = re.sub(r"([A-Za-z]\w*)[(\[{=:]", r"\1 ", text).lstrip("([{<≈~ ")
    found = _TOKEN.search(text) or re.match(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", text, re.IGNORECASE)
    if not found:
        return None
    return float(found[0]) / (100 if re.match(r"\s*%", text[found.end() :]) else 1)


def _of_one_kind(odd: Sequence[Any], commas: bool) -> bool:
    """Whether odd cells are numbers within one and the same text, and no dates, names or sentences."""
    if any(_DATE.search(str(value)) or _inside(value, commas) is None or _SENTENCE.match(str(value)) for value in odd):
        return False
    kinds = Counter(
        re.sub(r"[+-]?\d[\d.]*(,\d+)?(e[+-]?\d+)?|nan|inf", "#", str(value), flags=re.IGNORECASE) for value in odd
    )
    return max(kinds.values()) >= _MOSTLY * len(odd) and not all(re.fullmatch(r"[A-Za-z][\w-]*", str(v)) for v in odd)


def is_nan(value: float | None) -> bool:
    """Whether the cell says NaN, which a gap does not."""
    return value is not None and math.isnan(value)
