"""A trial's configuration goes into its row and comes back whole, also from a row that is older than a parameter."""

from __future__ import annotations

import pytest

from trainable.config import TrialConfig
from tuner.results.configuration import of_row, to_row


@pytest.mark.parametrize(
    "config",
    [TrialConfig(trainable_blocks=2), TrialConfig(threshold=0.3, trainable_blocks=0, epochs=3, hidden_size=0, seed=7)],
)
def test_a_configuration_survives_its_row(config: TrialConfig) -> None:
    """Every parameter does; a threshold that was solved is none, whatever the cell came to hold."""
    row = to_row(config, blocks=4)
    solved = config.threshold is None
    row |= {"threshold_source": "solved", "threshold": 0.77} if solved else {"threshold_source": "fixed"}
    assert of_row(row) == config


def test_all_blocks_are_written_as_their_number() -> None:
    """The backbone is known by then."""
    assert to_row(TrialConfig(), blocks=4)["trainable_blocks"] == 4


def test_a_stored_null_is_the_default() -> None:
    """Also in a row that has the cell."""
    row = {"trainable_blocks": 0, "negative_margin": None, "max_epochs": 3, "threshold": 0.3}
    assert of_row(row) == TrialConfig(trainable_blocks=0, epochs=3, threshold=0.3)
