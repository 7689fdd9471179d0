"""What a trial starts from: a backbone, and the pairs with their images as that backbone is to see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainable.config import STARTS_FROM, Choice, TrialConfig
from trainable.data.pairs import PairData
from trainable.errors import InputError
from trainable.model.backbone import Backbone


@dataclass(frozen=True, eq=False)
class Start:
    """A backbone and data that fit each other: images of its size, and features that it made."""

    backbone: Backbone
    data: PairData

    def for_heads(self) -> Start:
        """What trials of heads alone need of it: where they start from stored features, neither the net nor the pixels."""
        if 0 not in self.data.features:
            return self
        return Start(self.backbone.without_net(), self.data.without_pixels())


Starts = Mapping[Choice, Start]
"""By what configurations say of it; that of OWN is always there."""


def start_of(config: TrialConfig, starts: Starts) -> Start:
    """What the configuration starts from. InputError, with what there is, if that was not made."""
    if config.start in starts:
        return starts[config.start]
    there = "; ".join(words(choice) for choice in starts)
    raise InputError(
        f"the configuration starts from {words(config.start)}, which was not made before the search; there is: {there}. "
        f"Let the space suggest each of {', '.join(STARTS_FROM)} under its own name, from a list."
    )


def words(choice: Choice) -> str:
    """A choice for people.

    >>> words(("resnet18", 64, None, None)), words(OWN)
    ('backbone resnet18, image_size_px 64', "the run's own")
    """
    given: dict[str, Any] = {name: value for name, value in zip(STARTS_FROM, choice, strict=True) if value is not None}
    return ", ".join(f"{name} {value}" for name, value in given.items()) or "the run's own"
