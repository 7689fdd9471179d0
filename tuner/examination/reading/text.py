"""Logs as text: separated columns, whatever separates them, and lines that name their numbers."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

_SEPARATORS = (",", ";", "\t", "|", " ")
_IS_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?%?|[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_PAIR = re.compile(
    r"['\"]?([A-Za-z_][\w./@\-]*(?: (?:loss|acc|accuracy|auc|rate|norm|size|sim|similarity))?)['\"]?\s*(?:[:=]\s*|\s+)"
    r"['\"]?\[?\(?([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?%?|nan|[+-]?inf)(?![\w:])",
    re.IGNORECASE,
)
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]?(\d\d:\d\d:\d\d([.,]\d+)?)?|\d\d:\d\d:\d\d([.,]\d+)?")


@dataclass
class Cells:
    """A log as it stands: text and Python's own values, None where there is nothing."""

    frame: pd.DataFrame
    kind: str
    """What the file is, for people."""
    notes: list[str] = field(default_factory=list)
    european: bool = False
    """Whether columns are separated by another sign than the comma."""


def text_cells(text: str) -> Cells | None:
    """The columns in a text; None where there are no two rows of the same width under a header."""
    lines = [line for line in text.splitlines() if line.strip()]
    separator, width = _separator(lines)
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=True))
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if separator == "|":
        rows = [_without_frame(row) for row in rows if not all(re.fullmatch(r":?-+:?|", cell) for cell in row)]
        width = Counter(len(row) for row in rows).most_common(1)[0][0]
    start = next((place for place, row in enumerate(rows) if len(row) >= width), 0)
    notes = [f"{start} lines before the header are left out, as {lines[0][:40]!r}"] if start else []
    header, body = _header(_one_header(rows[start:]))
    if separator == " " and not all(re.match(r"[^\W\d]", name) for name in header):
        return None
    if not header or (len(header) > 1 and body and not any(map(_has_number, body))) or _is_spoken(rows[start:]):
        return None
    frame = _table(header, body, notes)
    name = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV", "|": "table with |", " ": "columns with blanks"}
    return Cells(frame, name[separator], notes, european=separator != ",")


def _separator(lines: list[str]) -> tuple[str, int]:
    """What separates columns, and how many there are: of what splits header and rows alike, what splits most."""
    best, score = (",", 1), (False, 0.0, 0)
    for separator in _SEPARATORS:
        sample = io.StringIO("\n".join(lines[:200]))
        widths = [len(row) for row in csv.reader(sample, delimiter=separator, skipinitialspace=True)]
        width, count = Counter(widths).most_common(1)[0] if widths else (1, 0)
        if width > 1 and count >= 0.5 * len(widths):
            rating = (widths[0] == width, width / (2 if separator == " " else 1), count)
            if rating > score:
                best, score = (separator, width), rating
    return best


def _is_spoken(rows: list[list[str]]) -> bool:
    """Whether the first row says what the second does, with other numbers: no header, but a line that names its numbers."""
    first, second = (" ".join(row) for row in [*rows, [], []][:2])
    words = re.sub(r"[\d.,:/+\-]+|nan|inf", "#", first)
    return "#" in words and bool(re.search("[A-Za-z]", words)) and words == re.sub(r"[\d.,:/+\-]+|nan|inf", "#", second)


def _without_frame(row: list[str]) -> list[str]:
    """A row of a Markdown table without the empty cells outside its first and last |."""
    return row[1:-1] if len(row) > 2 and not row[0] and not row[-1] else row


def _one_header(rows: list[list[str]]) -> list[list[str]]:
    """Two rows of names, as pandas writes columns of two levels, made one: `train` over `loss` is `train/loss`."""
    if len(rows) < 3 or len(rows[0]) != len(rows[1]) or len(set(rows[0])) == len(rows[0]):
        return rows
    first, second = rows[:2]
    if any(map(_IS_NUMBER.fullmatch, [*first, *second])) or first == second or sum(map(bool, second)) < 0.5 * len(second):
        return rows
    body = rows[2:]
    index = [row for row in body[:1] if row[0] and not any(row[1:])]  # the index' own name, in a row of its own
    names = ["/".join(filter(None, (above, below))) for above, below in zip(first, second, strict=True)]
    if index:
        names[0] = index[0][0]
    return [names, *body[len(index) :]]


def _header(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The names of the columns and the rows below. A log without names gets numbers for names."""
    first = rows[0] if rows else []
    if first and first[0].startswith("#"):
        first = [cell for cell in (first[0].lstrip("# "), *first[1:]) if cell]
    if first and all(_IS_NUMBER.fullmatch(cell) for cell in first):
        return [f"column {place}" for place in range(1, len(first) + 1)], rows
    return first, [row for row in rows[1:] if not row[0].startswith("#")]


def _table(header: list[str], body: list[list[str]], notes: list[str]) -> pd.DataFrame:
    """The rows under their names; where a header stands again, perhaps another one, it holds from there on."""
    names, records, again, long = _distinct(header), [], 0, 0
    for row in body:
        if row == header or (
            len(row) > 1 and all(row) and set(row) & set(header) and not any(map(_IS_NUMBER.fullmatch, row))
        ):
            names, again = _distinct(row), again + 1
            continue
        long += len([cell for cell in row[len(names) :] if cell]) > 0
        records.append({name: cell or None for name, cell in zip(names, row, strict=False)})
    if again:
        notes.append(f"the header stands {again + 1} times, as in a file that was appended to")
    if long:
        notes.append(f"{long} rows have more cells than the header has names: the rest of them is left out")
    every = list(dict.fromkeys([*_distinct(header), *(name for record in records for name in record)]))
    return pd.DataFrame(records, columns=every, dtype=object)


def _has_number(row: list[str]) -> bool:
    return any(_IS_NUMBER.fullmatch(cell) or re.search(r"\d", cell) for cell in row) or not any(row)


def _distinct(names: list[str]) -> list[str]:
    """Names that differ, and none that is empty: the second `loss` is `loss (2)`."""
    seen: Counter[str] = Counter()
    distinct = []
    for place, name in enumerate(names, 1):
        name = name or f"column {place}"
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct


def spoken_cells(text: str) -> Cells | None:
    """Numbers that lines name, as `Epoch 3/10 - loss: 4.40 - val_acc 0.55`; None where hardly any line does.

    What a line says before any number, such as its epoch, holds for the next.
    """
    records: list[dict[str, Any]] = []
    held: dict[str, Any] = {}
    for line in text.splitlines():
        line = re.sub(r"(?<=\d)\s*/\s*\d+", "", _STAMP.sub(" ", line))
        found = {name.strip().rstrip(".-/"): value for name, value in _PAIR.findall(line)}
        if not found:
            continue
        if set(map(str.lower, found)) <= {"epoch", "step", "iter", "iteration"}:
            held = found
            continue
        records.append({**held, **found})
    counts = Counter(name for record in records for name in record)
    names = [name for name, count in counts.items() if count >= max(2, 0.05 * len(records))]
    if len(records) < 2 or not names:
        return None
    notes = [f"numbers are read from {len(records)} lines that name them"]
    return Cells(pd.DataFrame(records, columns=names, dtype=object).where(lambda f: f.notna(), None), "text", notes)
