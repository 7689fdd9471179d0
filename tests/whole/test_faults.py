"""benchmarks.diagnosis: its faults are found by what they do to a trial, and its healthy trials are sensible ones."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

import search_spaces
from benchmarks import diagnosis, report
from benchmarks.diagnosed_trials import Seen, cost_of_diagnoses, with_fault
from benchmarks.faults import FAULTS
from benchmarks.healthy_trials import FREEZING, SENSIBLE, drawn, of_real_sets
from benchmarks.trial_settings import REAL, TRAINED, embedded, real, with_faults
from trainable.data import turntable
from trainable.diagnosis.remedies import REMEDIES
from trainable.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A turntable set of which an epoch takes a fraction of a second."""
    spec = turntable.TurntableSpec(train_identities=32, val_identities=32, test_identities=32)
    return turntable.ensure(tmp_path_factory.mktemp("turntable"), spec)


AT_ONCE = {
    "the broken loss": 1,
    "a frozen BatchNorm in train mode": 1,
    "a head left out of the optimiser": 1,
    "the diagonal positive for pairs of label 0": 1,
    "a NaN image": 1,
    "labels inverted": 0,
    "augmentation that wipes the image": 0,
}
"""Faults that need no learning to show, and the epoch at which they do."""


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_fault_is_found_under_its_name(source, name):
    """At the epoch at which it shows first; 0 is before training."""
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    seen = with_fault(name, dataclasses.replace(embedded(source), config=(("epochs", 2),)))
    assert (seen.headline, seen.epoch) == (fault.right, AT_ONCE[name])


def test_no_two_faults_share_a_name_and_each_is_called_something_that_can_be_said():
    """A diagnosis of a trial, or a check of the data, which are named in words."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.right in REMEDIES or " " in fault.right or fault.right == "augmentation" for fault in FAULTS)


def test_healthy_trials_are_drawn_from_every_space_within_its_sensible_range():
    """So many of each space, backbone and seed; the same in every run, and no two the same."""
    trials = drawn({"a": 4, "b": 7}, seeds=2, each=2)
    assert trials == drawn({"a": 4, "b": 7}, seeds=2, each=2)
    assert len(trials) == len(set(map(repr, trials))) == len(search_spaces.names()) * 2 * 2 * 2
    assert {trial.space for trial in trials} == set(search_spaces.names())
    for trial in trials:
        assert trial.config and all(SENSIBLE[name][0] <= v <= SENSIBLE[name][1] for name, v in trial.config.items())


def test_real_sets_are_trained_with_every_backbone_and_freezing_and_each_gets_the_faults_once(tmp_path):
    """Two sets with two backbones; 60 healthy trials of them; and faults done to each set with another backbone."""
    for file in [f"data/{data}/pairs.csv" for data in REAL] + [f"weights/{file}" for file in TRAINED.values()]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    settings = real(tmp_path)
    assert {(s.data, s.backbone.name) for s in settings} == set(itertools.product(REAL, TRAINED))
    faulty = with_faults(settings)
    assert {s.data for s in faulty} == set(REAL) and len({s.backbone.name for s in faulty}) == 2
    trials = of_real_sets([s.name for s in settings], diagnosis.REAL_EACH)
    assert len(trials) == len(set(map(repr, trials))) == 60
    assert {trial.config["trainable_blocks"] for trial in trials} == set(FREEZING.values())
    with pytest.raises(InputError, match="--shared"):
        real(tmp_path / "nowhere")


def test_the_clock_of_diagnoses_finds_all_that_it_times(source):
    """A share of the epoch, and no whole one; what it times is named as in the product."""
    diagnoses, epoch = cost_of_diagnoses(embedded(source), 0)
    assert 0 < diagnoses < epoch


def test_an_alarm_on_a_healthy_trial_and_a_fault_under_another_name_miss_the_targets():
    """So does a trial that was to be healthy and learnt nothing."""
    console = report.console()
    trials = drawn({"a": 4}, seeds=1, each=1)
    well, sick, poor = Seen(auc=0.9), Seen("overfit", 3, auc=0.9), Seen(auc=0.6)
    verdicts = [
        report.verdict(diagnosis.healthy(trials, [one, *[well] * (len(trials) - 1)], console), console)
        for one in (well, sick, poor)
    ]
    assert verdicts == [0, 1, 1]
    names = [fault.name for fault in FAULTS]
    right = [Seen(fault.right, 1) for fault in FAULTS]
    assert report.verdict(diagnosis.found(names, right, console), console) == 0
    assert report.verdict(diagnosis.found(names, [Seen("overfit", 1), *right[1:]], console), console) == 1
    assert report.verdict(diagnosis.found(names, [Seen(), *right[1:]], console), console) == 1
