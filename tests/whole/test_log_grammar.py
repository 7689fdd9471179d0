"""The grammar of logs: what it draws is what it says, and the targets that the doctor is held to can be missed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import report
from benchmarks.diagnosed_logs import Diagnosed, diagnosed, judge
from benchmarks.log_files import FORMATS
from benchmarks.log_grammar import FAULTS, faulty, healthy
from trainable.diagnosis.remedies import REMEDIES


@pytest.mark.parametrize("seed", range(20))
def test_healthy_runs_learn(seed):
    """The loss ends below where it began, and no metric sinks."""
    run = healthy(np.random.default_rng(seed))
    assert run.loss[-1] < run.loss[0] and not run.wanted
    for name in ("val_auc", "val_accuracy"):
        if name in run.more:
            assert run.more[name][-1] > run.more[name][0]


@pytest.mark.parametrize("fault", sorted(set(FAULTS), key=lambda fault: fault.__name__))
def test_every_fault_has_names_that_exist(fault):
    """And rows as many as its metrics."""
    run = faulty(np.random.default_rng(0), fault)
    assert run.wanted and set(run.wanted) <= REMEDIES.keys() | {"loss-rising"}
    assert {len(values) for values in run.more.values()} <= {len(run.loss)}


def test_the_doctor_is_right_about_a_small_sample():
    """The benchmark draws hundreds, anew each time; these have each fault once, and are the same each time."""
    seen = list(diagnosed(2 * len(FAULTS), seed=7))
    assert report.verdict(judge(seen, report.console()), report.console()) == 0
    assert len({one.format for one in seen}) > len(FORMATS) / 2


def test_each_target_can_be_missed():
    """A false alarm of either severity, a fault not found, a wrong name."""
    console, rows = report.console(), [np.random.default_rng(place) for place in range(8)]
    right = (("total-collapse", "fail"),)
    sick = [Diagnosed(place, faulty(draw, FAULTS[0]), "CSV", (), right) for place, draw in enumerate(rows)]
    well = [Diagnosed(place, healthy(draw), "CSV", (), ()) for place, draw in enumerate(rows)]

    def code(*changed: Diagnosed) -> int:
        return report.verdict(judge([*changed, *sick[1:], *well[1:]], console), console)

    def saying(one: Diagnosed, *said: tuple[str, str]) -> Diagnosed:
        return Diagnosed(one.number, one.run, one.format, one.words, said)

    assert code(sick[0], well[0]) == 0
    assert code(saying(sick[0]), well[0]) == code(saying(sick[0], ("overfit", "fail")), well[0]) == 1
    assert (
        code(sick[0], saying(well[0], ("overfit", "warn"))) == code(sick[0], saying(well[0], ("overfit", "fail"))) == 1
    )
