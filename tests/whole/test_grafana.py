"""The board for Grafana shows every gauge that a trial has, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ray.scripts.scripts import metrics_group

from trainable.config import MEASURED
from trainable.trial import _GAUGES

BOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text(encoding="utf-8"))


def test_each_gauge_has_a_panel_of_its_own():
    """Ray puts `ray_` before the gauge's name; the run is chosen at the top, a line is a trial."""
    expressions = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    shown = [re.fullmatch(r'max by \(trial\) \(ray_tuner_(\w+)\{run=~"\$run"\}\)', said)[1] for said in expressions]
    assert shown == list(_GAUGES)
    assert [panel["description"] for panel in BOARD["panels"]] == [MEASURED[name].meaning for name in _GAUGES]


def test_how_a_board_gets_its_numbers_is_told():
    """By Ray's own subcommand, which there is; and where the board lies."""
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert "`ray metrics launch-prometheus`" in text and "(grafana.json)" in text
    assert "launch-prometheus" in metrics_group.commands


def test_the_run_and_the_source_can_be_chosen():
    """By the label that the gauges have; every panel reads from the chosen source."""
    source, run = BOARD["templating"]["list"]
    assert source["type"] == "datasource" and run["query"] == "label_values(ray_tuner_val_auc, run)"
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {"${datasource}"}
    places = [tuple(panel["gridPos"].values()) for panel in BOARD["panels"]]
    assert len(set(places)) == len(places)
