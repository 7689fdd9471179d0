"""What a search weighs beside its metric: costs that are to be low, and limits that a winner must keep.

Light on purpose: `--help` reads this.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainable.errors import InputError
from trainable.measures import METRICS

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Cost:
    """Something that a choice costs."""

    column: str
    """Of the table `trials`."""
    meaning: str


COSTS = {
    "seconds": Cost("train_s", "seconds of training and validating"),
    "parameters": Cost("parameters", "parameters of the model, backbone and head"),
    "image_ms": Cost("image_ms", "milliseconds to embed an image, in batches of 32"),
}
"""By the names that --objectives and --limits have for them."""


@dataclass(frozen=True)
class Limit:
    """The most that a winner may cost."""

    cost: str
    """One of COSTS."""
    most: float

    @classmethod
    def of(cls, text: str) -> Limit:
        """Of COST<=NUMBER; InputError for anything else.

        >>> Limit.of("image_ms<=5")
        Limit(cost='image_ms', most=5.0)
        """
        cost, _, most = (part.strip() for part in text.partition("<="))
        with contextlib.suppress(ValueError):
            if cost in COSTS and 0 < float(most) < math.inf:
                return cls(cost, float(most))
        raise InputError(
            f"--limits has {text!r}; valid is COST<=NUMBER with a number above 0, as image_ms<=5, of the costs "
            f"{', '.join(COSTS)}. Write it so, in quotes: a shell takes < for a file."
        )

    def __str__(self) -> str:
        return f"{self.cost}<={self.most:g}"


@dataclass(frozen=True)
class Objectives:
    """What is searched for: a metric that is to be good, at low costs, within limits."""

    metric: str
    """One of METRICS."""
    costs: tuple[str, ...] = ()
    """Of COSTS: what else counts for the sampler, which looks for trials that no other beats in everything."""
    limits: tuple[Limit, ...] = ()

    @classmethod
    def of(cls, text: str, limits: Sequence[str], metric: str) -> Objectives:
        """text: METRIC,COST,…, or empty for the metric alone. Raises InputError for anything else.

        >>> Objectives.of("val_auc,parameters", ["image_ms<=5"], "val_auc").costs
        ('parameters',)
        """
        first, *costs = [part.strip() for part in text.split(",")] if text else [metric]
        bad = first not in METRICS or (text and not costs) or set(costs) - set(COSTS) or len(set(costs)) < len(costs)
        if bad:
            raise InputError(
                f"--objectives is {text!r}; valid is a metric and one or more costs, as val_auc,seconds: of the metrics "
                f"{', '.join(METRICS)} and the costs {', '.join(COSTS)}. Name each once."
            )
        return cls(first, tuple(costs), tuple(map(Limit.of, limits)))

    @property
    def need_image_ms(self) -> bool:
        """Whether trials must measure how long an image takes."""
        return "image_ms" in self.costs or any(limit.cost == "image_ms" for limit in self.limits)

    def directions(self) -> list[Direction]:
        """Of the metric and of each cost, as Optuna has them."""
        best: Direction = "maximize" if METRICS[self.metric] == "max" else "minimize"
        low: Direction = "minimize"
        return [best, *(low for _ in self.costs)]

    def exceeded(self, cells: Mapping[str, Any]) -> dict[str, float]:
        """By how much a trial is beyond each limit, in words of --limits; at most 0 where it keeps it.

        cells: of the trial's row in `trials`. A cost that is unknown keeps no limit.
        """
        unknown = 1e300  # Optuna takes finite numbers
        found = {str(limit): (cells.get(COSTS[limit.cost].column), limit.most) for limit in self.limits}
        return {words: unknown if value is None else value - most for words, (value, most) in found.items()}
