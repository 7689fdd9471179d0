"""Every detector: fires on sick numbers, is silent on healthy ones, and names what was done to a real training."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tools import reference
from tests.tools.synthetic import pair_data
from trainable.config import Losses, Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.diagnosis.diagnose import CHECKS, diagnose
from trainable.diagnosis.history import FAIL, WARN, Diagnosis, TrialHistory
from trainable.diagnosis.remedies import REMEDIES
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training import loop
from trainable.training.epoch_report import EpochReport
from trainable.training.loop import Training, train
from trainable.training.losses import BatchLoss, Targets

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrialConfig(epochs=6, threshold=0.4)
FAULTY = TrialConfig(epochs=4, batch_size=16)
"""Of real trainings with a fault."""


def healthy(epoch: int) -> dict[str, float | int | None]:
    """The numbers of an epoch of a trial that learns."""
    return {
        "epoch": epoch,
        "contrastive_loss": 3.0 / epoch,
        "chance_loss": 3.4657,
        "consistency_loss": 0.5 / epoch,
        "negative_loss": 0.2 / epoch,
        "total_loss": 3.3 / epoch,
        "grad_norm": 5.0,
        "val_auc": 1 - 0.4 / epoch,
        "val_accuracy": 1 - 0.45 / epoch,
        "val_accuracy_solved": 1 - 0.45 / epoch,
        "negative_similarity": 0.2,
        "feature_std": 0.8,
        "mean_cosine": 0.2,
        "uniformity": -3.0,
        "rank_raw": 60.0,
        "rank_centred": 70.0,
        "rank_limit": 128,
        "score_low": -0.3,
        "score_high": 0.98,
        "scores_tied": 0.0,
        "scores_tied_exact": 0.0,
        "head_grad_norm": 4.0,
        "backbone_grad_norm": None,
        "head_update_ratio": 0.01,
        "backbone_update_ratio": None,
        "head_growth": 1.2,
        "backbone_growth": None,
        "negative_pull": -0.3,
        "frozen_moved": 0,
    }


def course(epochs: int, **latest) -> list[dict[str, float | int | None]]:
    """So many healthy epochs, the latest changed; a list holds a number's values in the last epochs, oldest first."""
    numbers = [healthy(epoch) for epoch in range(1, epochs + 1)]
    for name, value in latest.items():
        values = value if isinstance(value, list) else [value]
        for numbers_of_epoch, one in zip(numbers[-len(values) :], values, strict=True):
            numbers_of_epoch[name] = one
    return numbers


def names(found: list[Diagnosis]) -> dict[str, str]:
    return {diagnosis.name: diagnosis.severity for diagnosis in found}


@pytest.mark.parametrize("epochs", [1, 2, 3, 6])
def test_healthy_numbers_raise_nothing(epochs):
    """At no epoch, with a threshold among the scores and with none."""
    assert diagnose(course(epochs), CONFIG) == []
    assert diagnose(course(epochs), dataclasses.replace(CONFIG, threshold=None)) == []


@pytest.mark.parametrize("epochs", [6, 12, 40])
def test_overfitting_is_seen_over_any_number_of_epochs(epochs):
    """Slow as it may be, while the training loss falls on; a metric that moves up and down as much has not sunk."""
    random = np.random.default_rng(0)
    losses = list(np.linspace(3, 0.2, epochs))
    sinking = list(np.r_[np.linspace(0.8, 0.95, epochs // 3), np.linspace(0.95, 0.85, epochs - epochs // 3)])
    moving = list(0.9 + random.normal(0, 0.02, epochs))
    assert "overfit" in names(diagnose(course(epochs, contrastive_loss=losses, val_auc=sinking), CONFIG))
    assert "overfit" not in names(diagnose(course(epochs, contrastive_loss=losses, val_auc=moving), CONFIG))


def test_unknown_numbers_raise_nothing():
    """A log that has only some of the numbers is judged by those: what is missing, None or NaN is no symptom."""
    assert diagnose([{"epoch": 3}], CONFIG) == []
    assert diagnose([{"epoch": 3, "val_auc": None, "mean_cosine": math.nan, "uniformity": math.nan}], CONFIG) == []


MIXED = {"val_auc": [0.6] * 2}
"""Scores that hardly separate: only then is a cone a symptom."""
LOST = {"val_auc": 0.5, "contrastive_loss": 3.4657}
"""A trial at chance."""
CLOSE, CONE = {"negative_loss": 0.8, "consistency_loss": 0.03}, {"mean_cosine": 0.9}
"""Training pairs of label 0 that are as close as those of label 1; strangers that are so, too."""
CONSTANT = {"consistency_loss": 0.0, "feature_std": 0.05}

SICK = [
    # name, severity, the latest epoch's numbers, other configuration, the nearest numbers that are healthy
    ("not-finite", FAIL, {"total_loss": math.nan}, {}, {}),
    ("not-finite", FAIL, {"grad_norm": math.inf}, {}, {}),
    ("negative-contrastive-loss", FAIL, {"contrastive_loss": -0.001}, {}, {"contrastive_loss": 0.0}),
    ("broken-contrastive-formula", FAIL, {"contrastive_loss": -14.0}, {}, {}),
    ("broken-contrastive-formula", FAIL, {"contrastive_loss": -7.2, "consistency_loss": 0.5}, {}, {}),
    ("negative-contrastive-loss", FAIL, {"contrastive_loss": -13.5, "consistency_loss": 0.5}, {}, {}),
    ("total-collapse", WARN, {"mean_cosine": [0.76] * 2} | MIXED, {}, {"mean_cosine": [0.75] * 2} | MIXED),
    ("total-collapse", WARN, {"mean_cosine": [0.99] * 2} | MIXED, {}, {"mean_cosine": [0.95, 0.9]} | MIXED),
    ("total-collapse", FAIL, {"mean_cosine": [0.991] * 2} | LOST, {}, {"mean_cosine": [0.991] * 2}),
    ("total-collapse", FAIL, {"mean_cosine": None, "negative_similarity": [1.0] * 2} | LOST, {}, {}),
    ("low-feature-std", WARN, {"feature_std": [0.49] * 2} | MIXED, {}, {"feature_std": [0.5] * 2} | MIXED),
    ("low-feature-std", FAIL, {"feature_std": [0.09] * 2} | LOST, {}, {"feature_std": [0.09, 0.3]} | LOST),
    ("low-uniformity", WARN, {"uniformity": [-0.99] * 2} | MIXED, {}, {"uniformity": [-1.0] * 2} | MIXED),
    ("low-uniformity", FAIL, {"uniformity": [-0.09] * 2} | LOST, {}, {"uniformity": [-0.09, -0.3]} | LOST),
    ("dimensional-collapse", WARN, {"rank_raw": [1.8] * 2}, {}, {"rank_raw": [2.0, 1.8]}),
    ("dimensional-collapse", WARN, {"rank_raw": [1.8] * 2, "rank_centred": None, "rank_limit": None}, {}, {"rank_raw": 2.0}),
    ("dimensional-collapse", WARN, {"rank_centred": [0.0] * 2}, {}, {"rank_centred": [1.8, 2.0]}),
    ("consistency-without-spread", FAIL, CONSTANT | LOST, {}, LOST | {"consistency_loss": 0.0}),
    ("consistency-without-spread", FAIL, {"consistency_loss": 0.0, "feature_std": None} | LOST, {}, {}),
    ("consistency-without-spread", WARN, CONSTANT | {"contrastive_loss": 3.4}, {}, CONSTANT),
    ("accuracy-contradicts-scores", FAIL, {"val_accuracy_solved": 0.12}, {}, {"val_accuracy_solved": 0.46}),
    ("accuracy-contradicts-scores", FAIL, {"val_accuracy_solved": None, "val_accuracy": 0.12}, {}, {}),
    ("diverging", FAIL, {"contrastive_loss": [3.5, 3.6, 3.7]}, {}, {"contrastive_loss": [3.5, 3.51, 3.52]}),
    ("diverging", FAIL, {"contrastive_loss": [3.5, 3.6, 3.7]}, {}, {"contrastive_loss": [3.7, 3.6, 3.8]}),
    ("loss-above-chance", WARN, {"contrastive_loss": 5.3}, {}, {"contrastive_loss": 5.1}),
    ("temperature-too-low", WARN, {"contrastive_loss": 900.0}, {"temperature": 1e-4}, {"contrastive_loss": 3.0}),
    ("temperature-too-low", WARN, {"feature_std": 0.09}, {"temperature": 1e-4}, {"feature_std": 0.1}),
    ("stuck-at-chance", WARN, {"contrastive_loss": 3.44}, {}, {"contrastive_loss": 3.42}),
    ("stuck-at-chance", FAIL, {"contrastive_loss": [3.47] * 2, "val_auc": 0.54}, {}, {}),
    ("stuck-at-chance", WARN, {"contrastive_loss": [3.47] * 2, "val_auc": 0.56}, {}, {}),
    ("temperature-too-high", WARN, {}, {"temperature": 100.0}, None),
    (
        "no-separation",
        WARN,
        {"val_auc": 0.549, "contrastive_loss": 3.2},
        {},
        {"val_auc": 0.55, "contrastive_loss": 3.2},
    ),
    ("labels-at-random", WARN, {"val_auc": [0.52] * 2}, {}, {"val_auc": [0.52, 0.56]}),
    ("inverted-separation", FAIL, {"val_auc": [0.3, 0.2]}, {}, {}),
    ("negatives-pulled-together", WARN, {"negative_pull": 0.51}, {}, {"negative_pull": 0.5} | CLOSE),
    ("negatives-pulled-together", WARN, {"negative_pull": 0.67, "val_auc": 0.97}, {},  # at 0.98: noise of one batch
     {"negative_pull": 0.67, "val_auc": 0.98, "positive_similarity": 0.886, "negative_similarity": 0.043}),
    ("negatives-pulled-together", WARN, {"negative_pull": None} | CLOSE, {}, {"negative_pull": None} | CLOSE | CONE),
    ("overfit", WARN, {"val_auc": [0.9, 0.89, 0.88, 0.87]}, {}, {"val_auc": [0.9, 0.899, 0.898, 0.897]}),
    ("frozen-part-moved", FAIL, {"frozen_moved": 1}, {}, {}),
    ("no-gradient", FAIL, {"backbone_grad_norm": 0.0}, {}, {"backbone_grad_norm": 1e-6}),
    ("trained-part-did-not-move", FAIL, {"head_update_ratio": 0.0}, {}, {}),
    ("update-too-large", WARN, {"head_update_ratio": 0.11}, {}, {"head_update_ratio": 0.1}),
    ("update-too-large", WARN, {"backbone_update_ratio": 0.11}, {}, {"backbone_update_ratio": 0.1}),
    ("update-too-large", WARN, {"head_growth": 5.1}, {}, {"head_growth": 5.0}),
    ("update-too-large", FAIL, {"head_growth": 5.1, "val_auc": 0.64}, {}, {}),
    ("update-too-small", WARN, {"head_update_ratio": [9e-6] * 4}, {}, {"head_update_ratio": [2e-5, 0.0, 1e-6, 1e-7]}),
    ("precision-artefact", WARN, {"scores_tied": 0.02}, {}, {"scores_tied": 0.02, "scores_tied_exact": 0.01}),
    ("threshold-out-of-place", WARN, {}, {"threshold": -0.3}, None),
    ("threshold-out-of-place", WARN, {}, {"threshold": 0.99}, None),
]


@pytest.mark.parametrize(("name", "severity", "sick", "changed", "well"), SICK)
def test_a_check_fires_on_sick_numbers_and_not_on_the_nearest_healthy_ones(name, severity, sick, changed, well):
    """With its severity and evidence that holds a number; at its level's healthy side it is silent."""
    config = dataclasses.replace(CONFIG, **changed)
    found = {diagnosis.name: diagnosis for diagnosis in diagnose(course(4, **sick), config)}
    assert found[name].severity == severity
    assert re.search(r"\d|nan|inf", found[name].evidence)
    assert (found[name].cause, found[name].remedy) == REMEDIES[name]
    if well is not None:
        assert name not in names(diagnose(course(4, **well), config))


def test_every_check_and_every_remedy_is_in_the_table_above():
    """A detector that nobody tried, or a remedy for nothing, does not exist."""
    tried = {name for name, *_ in SICK}
    assert tried == REMEDIES.keys()
    fired = set()
    for _, _, sick, changed, _ in SICK:
        judged = TrialHistory(course(4, **sick), dataclasses.replace(CONFIG, **changed))
        fired |= {check for check in CHECKS if check(judged)}
    assert fired == set(CHECKS)


@pytest.mark.parametrize(
    "sick",
    [
        {"mean_cosine": 0.999, "feature_std": 0.01, "uniformity": -0.01, "rank_raw": 1.0, "val_auc": 0.5},
        {"contrastive_loss": 3.4657, "val_auc": 0.5},
        {"contrastive_loss": 50.0},
        {"score_low": 0.5},
    ],
)
def test_nothing_is_expected_of_a_trial_that_warms_up(sick):
    """An encoder may begin at chance and in a cone; once the warm-up is over the same numbers are a symptom."""
    config = dataclasses.replace(CONFIG, warmup_epochs=2.0)
    assert diagnose(course(2, **sick), config) == []
    assert diagnose(course(3, **sick), config) != []


def test_what_is_fatal_comes_first():
    """The first diagnosis is the one that a trial ends with."""
    found = diagnose(course(4, frozen_moved=2, **MIXED, mean_cosine=[0.8, 0.8]), CONFIG)
    severities = [diagnosis.severity for diagnosis in found]
    assert severities == sorted(severities, key=(FAIL, WARN).index) and len(set(severities)) == 2


def test_the_broken_run_is_explained():
    """Its log alone names the broken formula, the constant, the wrong accuracy and the collapse, with their repairs."""
    log = [
        {
            "epoch": step,
            "contrastive_loss": loss,
            "consistency_loss": 0.0,
            "val_accuracy": accuracy,
            "negative_similarity": 1.0,
        }
        for step, (loss, accuracy) in enumerate([(-13.5, 0.0), (-13.9, 0.12), (-14.0, 0.05), (-14.0, 0.06)], start=1)
    ]
    found = names(diagnose(log, TrialConfig(temperature=0.07)))
    expected = {
        "broken-contrastive-formula",
        "consistency-without-spread",
        "accuracy-contradicts-scores",
        "total-collapse",
    }
    assert found.keys() == expected and set(found.values()) == {FAIL}


# Real trainings


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=32))


@pytest.fixture(scope="module")
def data() -> PairData:
    """Mosaics: two steps an epoch."""
    return pair_data(size_px=32, identities=48)


@pytest.mark.parametrize("change", [{"trainable_blocks": 0}, {"learning_rate": 3e-4, "temperature": 0.2}])
def test_a_healthy_training_gets_no_diagnosis(rendered, backbone, change):
    """On rendered objects, two configurations: not a single warning in any epoch. test_loop.py trains the default so."""
    reports = list(train(TrialConfig(epochs=4, **change), backbone, rendered))
    assert [report.diagnoses for report in reports] == [[]] * 4
    assert reports[-1].val_auc > 0.65


@pytest.fixture(scope="module")
def collapsed(backbone, data) -> tuple[Training, list[EpochReport], list[EpochReport]]:
    """A training on images that are all the same, until it ends; its reports, and those of one that is kept though sick."""
    grey = dataclasses.replace(data, pixels=np.full_like(data.pixels, 128))
    ended = Training(FAULTY, backbone, grey)
    reports = [ended.epoch(), ended.epoch()]
    return ended, reports, list(train(FAULTY, backbone, grey, Settings(keep_sick=True)))


def faults_found(config: TrialConfig, backbone, data: PairData, prepare=lambda training: None) -> dict[str, str]:
    """Name and severity of all that a whole training with a fault is diagnosed with, in any epoch."""
    training = Training(config, backbone, data, Settings(keep_sick=True))
    prepare(training)
    found: dict[str, str] = {}
    while not training.finished:
        found |= {one["name"]: one["severity"] for one in training.epoch().findings}
    return found


def test_the_broken_loss_is_found(monkeypatch, backbone, data):
    """Trained with the broken run's formula, a trial says so in its first epoch."""

    def broken(front: Tensor, angle: Tensor, targets: Targets, config: TrialConfig, *_: object) -> BatchLoss:
        loss = reference.broken_contrastive(front, angle, config.temperature)
        parts = dict.fromkeys(Losses.names(), torch.tensor(0.0)) | {"chance_loss": targets.chance}
        return BatchLoss(loss, parts | dict.fromkeys(("contrastive_loss", "total_loss"), loss.detach()))

    monkeypatch.setattr(loop, "batch_loss", broken)
    (first, *_) = train(FAULTY, backbone, data)
    assert first.sick.startswith(("negative-contrastive-loss", "broken-contrastive-formula"))


def test_a_constant_encoder_is_found(collapsed):
    """Images that are all the same, which make any encoder constant: collapse, which ends the trial after warm-up."""
    ended, reports, kept = collapsed
    found = {one["name"]: one["severity"] for report in kept for one in report.findings}
    assert found["total-collapse"] == found["low-feature-std"] == found["low-uniformity"] == FAIL
    assert ended.finished and reports[0].sick is None
    assert reports[1].sick.startswith("total-collapse: mean cosine of different identities 1.0")


def test_shuffled_labels_are_found(backbone):
    """Labels at random, in every split: validation scores do not separate them."""
    data = pair_data(size_px=32, identities=144)
    shuffled = np.random.default_rng(0).permutation(data.pair_label)
    random = dataclasses.replace(data, pair_label=shuffled)
    assert "no-separation" in faults_found(dataclasses.replace(FAULTY, epochs=2), backbone, random)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_learning_rate_far_too_high_is_found(backbone, data):
    """Steps as large as the weights; a rate far too low leaves them where they were."""
    large = dataclasses.replace(FAULTY, epochs=2, learning_rate=3.0)
    assert "update-too-large" in faults_found(large, backbone, data)
    assert "update-too-small" in faults_found(dataclasses.replace(FAULTY, learning_rate=1e-7), backbone, data)


def test_a_head_that_the_optimiser_does_not_know_is_found(backbone, data):
    """It has a gradient and never moves: fatal in the first epoch."""

    def forget(training: Training) -> None:
        groups = training.optimizer.param_groups
        groups[:] = [group for group in groups if group["name"].startswith("backbone")]
        training._peak_lrs = [group["lr"] for group in groups]

    once = dataclasses.replace(FAULTY, epochs=1)
    assert faults_found(once, backbone, data, forget)["trained-part-did-not-move"] == FAIL


def test_frozen_parts_that_move_are_found(backbone, data):
    """A frozen BatchNorm left in train mode moves its statistics; a frozen weight in the optimiser moves too."""

    def unfreeze(training: Training) -> None:
        training.encoder._frozen_modules = ()

    def change(training: Training) -> None:
        next(iter(training.encoder.frozen_state().values())).data.add_(1)

    frozen = dataclasses.replace(FAULTY, trainable_blocks=1, epochs=1)
    for fault in (unfreeze, change):
        assert faults_found(frozen, backbone, data, fault)["frozen-part-moved"] == FAIL
    assert "frozen-part-moved" not in faults_found(frozen, backbone, data)


def test_a_fatal_diagnosis_ends_a_trial_unless_sick_ones_are_kept(collapsed):
    """Its last report says why, and its epoch is not the best; with `keep_sick` it trains to its end."""
    ended, reports, kept = collapsed
    assert ended.finished and reports[1].sick and ended.ranked.epoch == 1
    assert reports[1].findings[0]["severity"] == FAIL and reports[1].diagnoses[0] == reports[1].findings[0]["name"]
    assert len(kept) == FAULTY.epochs and all(report.sick is None for report in kept)
