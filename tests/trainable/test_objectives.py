"""What a search weighs beside its metric: read from options, and what exceeds a limit."""

from __future__ import annotations

import pytest

from trainable.errors import InputError
from trainable.objectives import COSTS, Limit, Objectives
from tuner.results.schema import SCHEMAS


def test_the_metric_comes_first_and_costs_follow() -> None:
    """Directions are Optuna's; a lower error rate is better; without a text it is the metric alone."""
    both = Objectives.of("val_eer, seconds,parameters", [], "val_auc")
    assert (both.metric, both.costs) == ("val_eer", ("seconds", "parameters"))
    assert both.directions() == ["minimize", "minimize", "minimize"]
    alone = Objectives.of("", [], "val_auc")
    assert alone == Objectives("val_auc") and alone.directions() == ["maximize"] and not alone.need_image_ms


@pytest.mark.parametrize("text", ["seconds", "val_auc", "val_auc,", "val_auc,val_eer", "val_auc,seconds,seconds", "x,y"])
def test_other_objectives_are_refused(text: str) -> None:
    """What was got and what is valid are said."""
    with pytest.raises(InputError, match=r"--objectives is .*valid is a metric and one or more costs"):
        Objectives.of(text, [], "val_auc")


@pytest.mark.parametrize("text", ["image_ms", "image_ms<5", "image_ms<=", "image_ms<=0", "image_ms<=nan", "watts<=5"])
def test_other_limits_are_refused(text: str) -> None:
    """What was got and what is valid are said."""
    with pytest.raises(InputError, match=r"--limits has .*valid is COST<=NUMBER"):
        Objectives.of("", [text], "val_auc")


def test_a_limit_is_kept_up_to_its_value() -> None:
    """By how much each is exceeded; what was not measured keeps no limit."""
    asked = Objectives.of("", ["parameters<=1e6", "image_ms<=2"], "val_auc")
    assert asked.need_image_ms and asked.limits[0] == Limit("parameters", 1e6)
    kept = asked.exceeded({"parameters": 1000000, "image_ms": 2.5})
    assert kept == {"parameters<=1e+06": 0.0, "image_ms<=2": 0.5}
    assert asked.exceeded({"parameters": 5})["image_ms<=2"] > 1e9


def test_every_cost_is_a_column() -> None:
    """Of the table `trials`."""
    assert {cost.column for cost in COSTS.values()} <= set(SCHEMAS["trials"].names)
