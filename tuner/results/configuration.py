"""A trial's configuration as cells of its row, and back: whole, whatever parameters came after the row was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainable import columns
from trainable.config import TrialConfig


def to_row(config: TrialConfig, blocks: int) -> dict[str, Any]:
    """The cells of `trials` that hold the configuration. blocks: of the backbone, all of which `none` stands for."""
    row = {said.stored: getattr(config, name) for name, said in columns.of(TrialConfig).items()}
    return row | {"trainable_blocks": blocks if config.trainable_blocks is None else config.trainable_blocks}


def of_row(row: Mapping[str, Any]) -> TrialConfig:
    """The configuration that a row of `trials` was trained with; None or a missing cell stands for the default.

    >>> row = {"temperature": 0.2, "max_epochs": 3, "threshold": 0.4, "threshold_source": "solved"}
    >>> of_row(row) == TrialConfig(temperature=0.2, epochs=3)
    True
    """
    cells = {name: row.get(said.stored) for name, said in columns.of(TrialConfig).items()}
    if row.get("threshold_source") == "solved":  # the cell holds what was solved
        cells["threshold"] = None
    return TrialConfig.of({name: value for name, value in cells.items() if value is not None})
