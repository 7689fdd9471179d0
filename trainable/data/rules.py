"""What must hold in a pair table: each check raises a DataError that lists what breaks it, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trainable.data.splits import SPLITS
from trainable.errors import nearest
from trainable.findings import DataError

LISTED = 20
ONE_LABEL, LABELS_FIT, DISJOINT = "one label for a pair", "labels fit identities", "an identity in one split only"
"""Names of the checks whose mistakes spoil a training but do not keep it from running: these can be tolerated."""
_LABELS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_SPLIT_NAMES = {**{name: code for code, name in enumerate(SPLITS)}, "validation": 1, "valid": 1}
_RELABEL = "Correct the labels, or remove these pairs"


def held(tolerated: list[DataError] | None, check: Callable[..., Any], *arguments: Any) -> Any:
    """What the check returns; a mistake that it finds is added to the list, and raised where there is none."""
    try:
        return check(*arguments)
    except DataError as fault:
        if tolerated is None:
            raise
        tolerated.append(fault)
        return None


def listing(items: Sequence[str], total: int | None = None) -> str:
    """The first LISTED items, one a line, and how many more there are of `total` (None: as many as items)."""
    rest = (len(items) if total is None else total) - min(len(items), LISTED)
    return "".join(f"\n  {item}" for item in items[:LISTED]) + (f"\n  and {rest} more" if rest else "")


def at(rows: pd.Index, chosen: np.ndarray, limit: int = 5) -> str:
    """Where the chosen rows stand, as "lines 2, 5 and 3 more". `chosen`: (n,) mask or positions."""
    numbers = rows[chosen].tolist()
    more = f" and {len(numbers) - limit} more" if len(numbers) > limit else ""
    return f"{rows.name}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:limit]))}{more}"


def check_cells(source: str, rows: pd.DataFrame) -> None:
    """Every cell of every column that a pair table knows is filled."""
    empty = {name: _is_empty(rows[name]) for name in rows.columns if not name.endswith("_name")}
    found = [f"{name}: {int(mask.sum())} ({at(rows.index, mask)})" for name, mask in empty.items() if mask.any()]
    if found:
        raise DataError(
            "filled cells",
            f"{source} has empty cells among its {len(rows)} rows:{listing(found)}",
            "Valid is a value in every row. Fill the cells, or remove these rows, or an optional column altogether.",
        )


def _is_empty(column: pd.Series) -> np.ndarray:
    missing = column.isna().to_numpy(dtype=bool)
    first = column[~missing].iloc[:1]
    if len(first) and isinstance(first.iloc[0], str):
        missing = missing | (column.astype(str).str.strip() == "").to_numpy(dtype=bool)
    return missing


def labels_of(source: str, rows: pd.DataFrame) -> np.ndarray:
    """(n,) int8 labels; 0 and 1 in any usual spelling, and both must occur."""
    text = rows["pair_label"].astype(str).str.strip()
    known = text.str.lower().map(_LABELS)
    wrong = known.isna().to_numpy()
    if wrong.any():
        found = [
            f"{value!r}: {count} ({at(rows.index, wrong & (text == value).to_numpy())})"
            for value, count in text[wrong].value_counts().head(LISTED).items()
        ]
        raise DataError(
            "labels",
            f"{source}: {int(wrong.sum())} of {len(rows)} rows have another pair_label than 0 or 1:"
            f"{listing(found, text[wrong].nunique())}",
            "Valid are 0 (different) and 1 (same). Correct these rows, or remove them.",
        )
    labels = known.to_numpy(dtype=np.int8)
    if labels.min() == labels.max():
        raise DataError(
            "labels",
            f"{source}: every one of its {len(rows)} pairs has pair_label {labels[0]}",
            "valid is a table with pairs of both, 0 (different) and 1 (same). "
            f"Add pairs with pair_label {1 - labels[0]}.",
        )
    return labels


def check_one_label(
    source: str,
    rows: pd.Index,
    front: np.ndarray,
    angle: np.ndarray,
    pair_label: np.ndarray,
    image_names: Sequence[str],
) -> int:
    """No two images are labelled both same and different. Returns how many rows repeat an earlier one. All (n,)."""
    low, high = np.minimum(front, angle), np.maximum(front, angle)
    _, pair = np.unique(low * len(image_names) + high, return_inverse=True)
    count, positive = np.bincount(pair), np.bincount(pair, weights=pair_label)
    both = (positive > 0) & (positive < count)
    if both.any():
        order = np.flatnonzero(both[pair])
        first = order[np.unique(pair[order], return_index=True)[1]]
        found = [
            f"{image_names[front[i]]}, {image_names[angle[i]]} ({at(rows, pair == pair[i])})" for i in first[:LISTED]
        ]
        raise DataError(
            ONE_LABEL,
            f"{source}: {len(first)} pairs are labelled both 0 and 1:{listing(found, len(first))}",
            f"Valid is one pair_label for the same two images. {_RELABEL}.",
        )
    return int(np.sum(count - 1))


def check_labels_fit(
    source: str,
    rows: pd.Index,
    pair_label: np.ndarray,
    identities: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
    derived: bool,
) -> None:
    """A pair labelled 1 shows one identity, a pair labelled 0 two. `identities`: (n,) codes of front and angle."""
    front, angle = identities
    wrong = (front == angle) != (pair_label == 1)
    if not wrong.any():
        return
    found = []
    for label, what in ((1, "two different identities"), (0, "the same identity")):
        mine = np.flatnonzero(wrong & (pair_label == label))
        if len(mine):
            examples = "; ".join(
                f"{rows.name} {rows[i]}: {names[front[i]]}" + (f", {names[angle[i]]}" if label else "")
                for i in mine[:5]
            )
            found.append(f"{len(mine)} labelled {label} have {what} ({examples}{'; …' if len(mine) > 5 else ''})")
    why = "The table names no identities, so that pairs labelled 1 join their images into one. " if derived else ""
    raise DataError(
        LABELS_FIT,
        f"{source}: {int(wrong.sum())} of {len(pair_label)} pairs have a pair_label that contradicts their identities:"
        f"{listing(found)}",
        f"{why}Valid is pair_label 1 for two views of one identity and 0 for two identities. {_RELABEL}.",
    )


def splits_of(source: str, rows: pd.DataFrame) -> np.ndarray:
    """(n,) codes of the column `split`, which must hold train, val and test."""
    text = rows["split"].astype(str).str.strip().str.lower()
    codes = text.map(_SPLIT_NAMES)
    wrong = codes.isna().to_numpy()
    if wrong.any():
        found, values = [], text[wrong].value_counts()
        for value, count in values.head(LISTED).items():
            near = nearest(str(value), list(_SPLIT_NAMES), count=1)
            where = at(rows.index, wrong & (text == value).to_numpy())
            found.append(f"{value!r}: {count} ({where})" + (f", perhaps {near}" if near else ""))
        raise DataError(
            "splits",
            f"{source}: {int(wrong.sum())} of {len(rows)} rows have an unknown split:{listing(found, len(values))}",
            "Valid are train, val (or valid, validation) and test. Correct these rows, or remove the column to have "
            "identity-disjoint splits made.",
        )
    return codes.to_numpy(dtype=np.int8)


def check_splits(source: str, split: np.ndarray, pair_label: np.ndarray) -> None:
    """Every split has pairs of both classes. `split`: (n,) codes."""
    counts = {name: [int(np.sum(pair_label[split == code] == k)) for k in (0, 1)] for code, name in enumerate(SPLITS)}
    missing = [name for name, count in counts.items() if not sum(count)]
    got = ", ".join(f"{name} {sum(count)}" for name, count in counts.items())
    if missing:
        raise DataError(
            "splits",
            f"{source} has no pair in the split {' and '.join(missing)} (pairs: {got})",
            f"valid is a table with all of {', '.join(SPLITS)}: the search learns on the first, chooses on the second and is "
            "judged on the third. Add such rows, or remove the column `split` to have identity-disjoint splits made.",
        )
    single = [f"{name}: {one} labelled 1, {zero} labelled 0" for name, (zero, one) in counts.items() if not zero * one]
    if single:
        raise DataError(
            "splits",
            f"{source} has splits whose pairs all have the same pair_label:{listing(single)}",
            "Valid is both, 0 (different) and 1 (same), in every split. Add pairs, or remove the column `split` to have "
            "splits made.",
        )


def check_disjoint(
    source: str, split: np.ndarray, front_identity: np.ndarray, angle_identity: np.ndarray, names: Sequence[str]
) -> None:
    """No identity is in two splits. Arguments (n,) each; `names`: (k,)."""
    held = np.zeros((len(names), len(SPLITS)), dtype=bool)
    held[front_identity, split] = held[angle_identity, split] = True
    shared = np.flatnonzero(held.sum(axis=1) > 1)
    if len(shared):
        found = [f"{names[i]}: {', '.join(np.array(SPLITS)[held[i]])}" for i in shared[:LISTED]]
        raise DataError(
            DISJOINT,
            f"{source}: {len(shared)} of {len(names)} identities are in more than one split:"
            f"{listing(found, len(shared))}",
            "Valid is every identity, front and angle, in one split only: else validation measures memory. Move or "
            "remove these pairs, or remove the column `split` to have identity-disjoint splits made.",
        )
