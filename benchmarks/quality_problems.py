"""The problems of `search_quality`: images dealt to training identities and to a large pool of unseen ones, and paired.

Pairs are drawn anew, in cells: a cell is a few identities of one split whose negative pairs stay among them. Any set of
the pool's cells is therefore a validation set that is identity-disjoint from the rest, with no pair lost between.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trainable.data.images import decode
from trainable.data.pairs import PairData, PairTable
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError
from trainable.model.backbone import Backbone
from trainable.model.backbones import BackboneSpec, create_backbone

_VERSION = 1
"""Raised when the same problem would be made of other pairs or trained otherwise, so that no old table serves it."""
_TURNTABLE_CELL = 20
_TURNTABLE = {"turntable": (400, 1000), "turntable_small": (80, 80)}
"""Training identities and those of the pool."""
_HALF = (0.5, 0.5, 0.5)
_MOBILENET = "weights/mobilenetv2_035_keras.safetensors"


@dataclass(frozen=True)
class Problem:
    """Data, backbone and ranges of one search problem."""

    name: str
    source: str
    """turntable or turntable_small (rendered here), or a set below shared/data: vehicle_reid, coil100."""
    backbone: str
    image_size_px: int
    blocks: int
    """The search's trainable_blocks goes from 0 to this; 0: the head only, and no backbone_lr_ratio."""
    val_identities: int
    """Identities of a validation set of the usual size; the pool's others are unseen."""
    positives: int = 1
    """Positive pairs of an identity, and as many negative ones."""
    weights: str = "none"
    """none (random), or a file below shared."""
    epochs: int = 6

    def folder(self, cache: Path) -> Path:
        """Where its tables are: of another problem of the same name somewhere else."""
        text = json.dumps({**dataclasses.asdict(self), "version": _VERSION}, sort_keys=True)
        return cache / "search_quality" / f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


PROBLEMS = (
    Problem("turntable_head", "turntable", "test_byobnet", 32, 0, 200),
    Problem("vehicle_reid", "vehicle_reid", "mobilenetv2_035", 64, 3, 100, weights=_MOBILENET),
    Problem("coil100_hard", "coil100", "mobilenetv2_035", 24, 3, 30, positives=8, weights=_MOBILENET),
    Problem("turntable_blocks", "turntable", "test_byobnet", 32, 4, 200),
)
QUICK = Problem("quick", "turntable_small", "test_byobnet", 32, 0, 40, epochs=3)
"""For tests: made in seconds, and too small to judge anything by."""
SMALL_IDENTITIES = 20
"""Validation identities of the small version of each problem."""


def validation_sizes(problem: Problem) -> dict[str, int]:
    """Version of the problem -> identities of its validation sets."""
    return {"": problem.val_identities, ", small": min(SMALL_IDENTITIES, problem.val_identities)}


@dataclass(frozen=True)
class Cell:
    """Identities whose negative pairs stay among them."""

    identities: list[str]
    pool: bool
    """Unseen: never trained on."""


Partners = Callable[[list[str], np.random.Generator], list[str]]
"""The identity of the angle image of each identity's negative pair, all of one cell."""


@dataclass(frozen=True)
class _Images:
    """By identity the files of its front and angle views, and how its identities are dealt and paired."""

    front: dict[str, list[str]]
    angle: dict[str, list[str]]
    cells: list[Cell]
    partners: Partners


def ensure_pairs(problem: Problem, cache: Path, shared: Path) -> Path:
    """The problem's pairs.csv, written once: the usual columns, and `cell` (-1 for training pairs)."""
    path = problem.folder(cache) / "pairs.csv"
    if not path.is_file():
        images = _IMAGES[problem.source](problem, cache, shared)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        pd.DataFrame(_rows(problem, images)).to_csv(draft, index=False)
        draft.rename(path)
    return path


def load(problem: Problem, cache: Path, shared: Path) -> tuple[PairData, Backbone]:
    """The problem's images in memory and its backbone."""
    table = read_pairs(ensure_pairs(problem, cache, shared))
    return PairData.of(table, *decode(table, problem.image_size_px)), backbone_of(problem, shared)


def backbone_of(problem: Problem, shared: Path) -> Backbone:
    """The backbone that all of the problem's trials start from."""
    if problem.weights == "none":
        return create_backbone(BackboneSpec(problem.backbone, image_size_px=problem.image_size_px))
    weights = str(_there(shared / problem.weights))
    return create_backbone(BackboneSpec(problem.backbone, weights, problem.image_size_px, _HALF, _HALF))


def _rows(problem: Problem, images: _Images) -> Iterator[dict[str, str | int]]:
    """The pairs of every cell: for each identity and repetition one positive pair and one negative."""
    val = problem.val_identities
    for number, cell in enumerate(images.cells):
        draw = np.random.default_rng([7, number])
        split = "train"
        if cell.pool:  # to a training, a validation set of the usual size, so that its diagnoses are the usual ones
            split, val = ("val", val - len(cell.identities)) if val > 0 else ("test", val)
        front = {i: draw.permutation(images.front[i]) for i in cell.identities}
        angle = {i: draw.permutation(images.angle[i]) for i in cell.identities}
        for k in range(problem.positives):
            for identity, other in zip(cell.identities, images.partners(cell.identities, draw), strict=True):
                for partner in (identity, other):
                    yield {
                        "front": str(front[identity][k % len(front[identity])]),
                        "angle": str(angle[partner][k % len(angle[partner])]),
                        "pair_label": int(partner == identity),
                        "front_identity": identity,
                        "angle_identity": partner,
                        "split": split,
                        "cell": number if cell.pool else -1,
                    }


def _turntable(problem: Problem, cache: Path, shared: Path) -> _Images:
    """Couples of near-twins, ten to a cell; about one negative pair in seven shows the near-twin, as in the embedded set."""
    from trainable.data.turntable import TurntableSpec, ensure

    train, pool = _TURNTABLE[problem.source]
    spec = TurntableSpec(train, pool, 4, image_size_px=problem.image_size_px)
    folder = ensure(cache, spec).parent
    identities = [f"object_{number // 2:04d}{'ab'[number % 2]}" for number in range(train + pool)]
    groups = [identities[at : at + _TURNTABLE_CELL] for at in range(0, len(identities), _TURNTABLE_CELL)]
    cells = [Cell(group, at * _TURNTABLE_CELL >= train) for at, group in enumerate(groups)]
    front, angle = ({i: [str(folder / "images" / f"{i}_{side}_0.png")] for i in identities} for side in _SIDES)
    return _Images(front, angle, cells, lambda group, draw: _twins_or_others(group, draw, spec.near_twin_share))


def _twins_or_others(group: list[str], draw: np.random.Generator, near_twin_share: float) -> list[str]:
    """The near-twin for about that share of the couples, else the same half of the next of the other couples."""
    couples = len(group) // 2
    others = draw.permutation(np.flatnonzero(draw.random(couples) >= near_twin_share))
    following = dict(zip(others.tolist(), np.roll(others, 1).tolist(), strict=True))
    partners = []
    for at in range(len(group)):
        couple = following.get(at // 2, at // 2)
        partners.append(group[at ^ 1] if couple == at // 2 else group[2 * couple + at % 2])
    return partners


def _vehicles(problem: Problem, cache: Path, shared: Path) -> _Images:
    """Half of the vehicles of every kind unseen, whatever their split was, so that there is no shift between the sets;
    a cell is two vehicles of one kind."""
    rows = _given_pairs(shared / "data" / problem.source)
    positive = rows[rows.pair_label == 1]
    front, angle = (dict(zip(positive.front_identity, positive[s].map(lambda f: [f]), strict=True)) for s in _SIDES)
    draw, cells = np.random.default_rng(5), []
    kinds = pd.Series(sorted(front)).groupby(lambda at: sorted(front)[at].rpartition("_")[0])
    for _, members in kinds:
        order = draw.permutation(members.to_numpy()).tolist()
        couples = [order[at : at + 2] for at in range(0, len(order) - 1, 2)]
        cells += [Cell(couple, at % 2 == 1) for at, couple in enumerate(couples)]
    return _Images(front, angle, [cells[at] for at in draw.permutation(len(cells))], _the_other)


def _coil(problem: Problem, cache: Path, shared: Path) -> _Images:
    """The most similar objects are couples, each a cell: negative pairs show near-identical objects."""
    rows = _given_pairs(shared / "data" / problem.source)
    front, angle = (_files_by_identity(rows, side) for side in _SIDES)
    couples = _alike(problem, front, shared)
    pool = set(np.random.default_rng(6).permutation(len(couples))[: round(0.6 * len(couples))].tolist())
    cells = [Cell(couple, at in pool) for at, couple in enumerate(couples)]
    return _Images(front, angle, [cells[at] for at in np.random.default_rng(8).permutation(len(cells))], _the_other)


def _files_by_identity(rows: pd.DataFrame, side: str) -> dict[str, list[str]]:
    shown = rows[[side, f"{side}_identity"]].drop_duplicates().sort_values(side)
    return {str(name): list(part[side]) for name, part in shown.groupby(f"{side}_identity")}


def _alike(problem: Problem, front: dict[str, list[str]], shared: Path) -> list[list[str]]:
    """Couples by the cosine of the backbone's centred features of their first front views, the most similar first."""
    from trainable.model.features import extract

    names = sorted(front)
    files = tuple(Path(front[name][0]) for name in names)
    nothing = np.zeros(0, dtype=np.int64)
    table = PairTable("", files, tuple(names), nothing, nothing, nothing, nothing, nothing, (), np.zeros(0, dtype=str))
    found = extract(backbone_of(problem, shared), decode(table, problem.image_size_px)[0], [0])[0]
    centred = found - found.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    a, b = np.triu_indices(len(names), 1)
    free, couples = set(range(len(names))), []
    for at in np.argsort(-(centred @ centred.T)[a, b], kind="stable").tolist():
        if a[at] in free and b[at] in free:
            free -= {int(a[at]), int(b[at])}
            couples.append([names[a[at]], names[b[at]]])
    return couples


def _the_other(group: list[str], draw: np.random.Generator) -> list[str]:
    return group[::-1]


def _given_pairs(folder: Path) -> pd.DataFrame:
    """The set's pairs with absolute paths."""
    rows = pd.read_csv(_there(folder / "pairs.csv"))
    for side in _SIDES:
        rows[side] = [str((folder / name).resolve()) for name in rows[side]]
    return rows


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            f"there is no {path}; valid for --shared is a folder with data/vehicle_reid, data/coil100 and weights. "
            "Correct it, or choose problems of the turntable only."
        )
    return path


_SIDES = ("front", "angle")
_IMAGES = {"turntable": _turntable, "turntable_small": _turntable, "vehicle_reid": _vehicles, "coil100": _coil}
