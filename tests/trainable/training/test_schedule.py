"""The learning rate warms up over whole or part epochs, then falls as half a cosine."""

from __future__ import annotations

import math

import pytest

from trainable.config import TrialConfig
from trainable.training.schedule import learning_rate_factor


def test_it_rises_for_an_epoch_then_falls_to_zero():
    """Three epochs of three steps, of which the first warms up."""
    config = TrialConfig(epochs=3, warmup_epochs=1.0)
    falling = [0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]
    found = [learning_rate_factor(step, 3, config) for step in range(9)]
    assert found == pytest.approx([1 / 4, 2 / 4, 3 / 4, *falling])


@pytest.mark.parametrize(("warmup_epochs", "factors"), [(0.0, [1.0, 0.75, 0.25]), (9.0, [0.1, 0.2, 0.3])])
def test_a_warm_up_may_be_absent_or_longer_than_the_trial(warmup_epochs, factors):
    """Without one the first step has the full rate; one that is too long never ends, and nothing divides by zero."""
    config = TrialConfig(epochs=3, warmup_epochs=warmup_epochs)
    assert [learning_rate_factor(step, 1, config) for step in range(3)] == pytest.approx(factors)
