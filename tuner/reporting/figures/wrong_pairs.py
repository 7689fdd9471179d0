"""The validation pairs that a trial gets most wrong, as pictures: what no table of numbers shows."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console

from trainable.data.pairs import PairTable
from tuner.cli.run_options import DataOptions
from tuner.inputs.dataset import load_again
from tuner.results.one_run import WholeRun

_MOST = 6
_EDGE_PX = 192


@dataclass(frozen=True)
class Images:
    """The pairs of a run and what its model was given of them."""

    table: PairTable
    pixels: np.ndarray
    """(m or more, S, S, 3) uint8: the plain images first."""


@dataclass(frozen=True)
class WrongPair:
    """One pair on the wrong side of the threshold."""

    score: float
    pair_label: int
    front: str
    """The picture as a data URI."""
    angle: str
    front_name: str
    angle_name: str


def images_of(run: WholeRun, console: Console, data: str | None = None, cache: str | None = None) -> Images:
    """The run's images, read again from `data` (None: where the run found them); cache: that of rendered ones.

    Raises InputError if they are not there, or not those that the run saw.
    """
    where = run.row["data"] if data is None else data
    found = load_again(run.row, DataOptions(data=where, cache=cache), console)
    return Images(found.table, found.data.pixels)


def most_wrong(scores: pd.DataFrame, threshold: float, positive: bool) -> pd.DataFrame:
    """Of the pairs of one label, those farthest on the wrong side of the threshold, the worst first."""
    rows = scores[scores.pair_label == int(positive)]
    wrong = rows[(rows.score.astype(float) >= threshold) != positive]
    return wrong.sort_values("score", ascending=positive, kind="stable").head(_MOST)


def wrong_pairs(run: WholeRun, images: Images, positive: bool) -> list[WrongPair]:
    """The leading trial's worst pairs of one label, with their pictures."""
    rows = most_wrong(run.scores[run.leading], run.used_threshold, positive)
    found = zip(rows.pair, rows.score, rows.pair_label, strict=True)
    return [_wrong_pair(images, int(pair), float(score), int(label)) for pair, score, label in found]


def _wrong_pair(images: Images, pair: int, score: float, label: int) -> WrongPair:
    table = images.table
    front, angle = int(table.front[pair]), int(table.angle[pair])
    front_picture, angle_picture = _picture(images.pixels[front]), _picture(images.pixels[angle])
    return WrongPair(score, label, front_picture, angle_picture, table.image_names[front], table.image_names[angle])


def _picture(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_EDGE_PX, _EDGE_PX))
    file = BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
