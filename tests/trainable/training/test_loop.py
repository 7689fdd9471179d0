"""Training is a generator of epoch reports: repeatable to the bit, restorable anywhere, honest in what it measures."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings

import numpy as np
import pytest
import torch

from tests.tools import reference
from tests.tools.synthetic import pair_data
from trainable.config import METRICS, RANK_BY, Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.metrics import thresholds
from trainable.model import features
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.epoch_report import EpochReport
from trainable.training.inputs import Inputs
from trainable.training.loop import Training, test_scores, train

pytestmark = pytest.mark.usefixtures("one_thread")

scores_on_test_pairs = test_scores
del test_scores  # pytest would take the function for a test

SMALL = TrialConfig(epochs=2, batch_size=8, hidden_size=16, embedding_size=8)
HEADS = dataclasses.replace(SMALL, trainable_blocks=0)
"""Of the stored features: for what is the same whatever part of the model trains."""
CUTS = [0, 2, None]


@pytest.fixture(scope="module")
def data() -> PairData:
    return pair_data()


@pytest.fixture(scope="module")
def backbone():
    """With BatchNorm, whose statistics move in what is trained and must not in what is frozen."""
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=16))


@pytest.fixture(scope="module")
def stored(backbone, data) -> PairData:
    """The same pairs with the features that heads start from."""
    return dataclasses.replace(data, features=features.extract(backbone, data.pixels, [0]))


@pytest.fixture(scope="module")
def reports(backbone, data) -> list[EpochReport]:
    """What the small trial reports."""
    return list(train(SMALL, backbone, data))


@pytest.fixture(scope="module")
def stochastic_backbone():
    """A net that drops whole residual branches at random while it trains."""
    return create_backbone(BackboneSpec("test_convnext", image_size_px=32), drop_path_rate=0.4)


@pytest.fixture(scope="module")
def larger_data() -> PairData:
    """Of the size that the stochastic net needs."""
    return pair_data(size_px=32, identities=24)


def assert_same(mine: list[EpochReport], theirs: list[EpochReport]) -> None:
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert a.same_as(b), f"epoch {a.epoch}: {a.numbers()} is not {b.numbers()}"


def saved_and_loaded(state: dict) -> dict:
    """Through a file as a checkpoint goes: torch's format, restricted to data that cannot run code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def copies(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def assert_equal_tensors(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("epochs", [1, 3])
def test_train_yields_one_report_an_epoch(backbone, stored, epochs):
    """As many reports as epochs were asked for, numbered from 1, none sick; then the generator ends."""
    reports = list(train(dataclasses.replace(HEADS, epochs=epochs), backbone, stored))
    assert [report.epoch for report in reports] == list(range(1, epochs + 1))
    assert all(report.sick is None for report in reports)


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_arguments_give_the_same_reports_to_the_bit(backbone, data, reports, cut):
    """Twice the same configuration, seed and data: every number, score and decision is equal."""
    config = dataclasses.replace(SMALL, trainable_blocks=cut)
    first = reports if config == SMALL else list(train(config, backbone, data))
    assert_same(first, list(train(config, backbone, data)))


def test_stochastic_depth_is_repeatable_too(stochastic_backbone, larger_data):
    """What a net draws at random while it trains comes from the trial's seed, not from whoever drew before."""
    first = list(train(SMALL, stochastic_backbone, larger_data))
    torch.rand(7)
    assert_same(first, list(train(SMALL, stochastic_backbone, larger_data)))


def test_stochastic_depth_is_at_work_in_the_tests_above(stochastic_backbone, larger_data):
    """In train mode two passes of one batch differ, so that its repeatability is no accident."""
    training = Training(SMALL, stochastic_backbone, larger_data)
    training.encoder.train()
    images = torch.from_numpy(larger_data.pixels[:16])
    assert not torch.equal(training.encoder(images), training.encoder(images))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"temperature": 0.2}, {"trainable_blocks": 1}, {"learning_rate": 1e-3}]
)
def test_another_configuration_gives_other_reports(backbone, data, reports, change):
    """Every one of these reaches the mathematics: no two of the trials agree by accident."""
    mine, theirs = reports[0], next(train(dataclasses.replace(SMALL, **change), backbone, data))
    assert not mine.same_as(theirs)
    assert not np.array_equal(mine.scores, theirs.scores)


def test_only_the_clock_may_differ_between_reports_that_are_the_same(backbone, stored):
    """`same_as` sees a change of the last bit in a loss, a score and a decision, takes NaN for NaN, ignores time."""
    (report,) = train(dataclasses.replace(HEADS, epochs=1), backbone, stored)
    assert report.same_as(dataclasses.replace(report, epoch_s=99.0, validation_s=9.0))
    odd = dataclasses.replace(report, val_d_prime=math.nan)
    assert odd.same_as(dataclasses.replace(odd))
    assert not report.same_as(odd)
    assert not report.same_as(dataclasses.replace(report, contrastive_loss=math.nextafter(report.contrastive_loss, 9)))
    scores = report.scores.copy()
    scores[0] = np.nextafter(scores[0], np.float32(2))
    assert not report.same_as(dataclasses.replace(report, scores=scores))
    assert not report.same_as(dataclasses.replace(report, correct=~report.correct))


@pytest.mark.parametrize(("cut", "stop_after"), [(0, 1), (2, 2), (None, 1)])
def test_a_trial_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(backbone, data, cut, stop_after):
    """Saved to a file and restored in a new Training: the remaining reports and the best epoch are equal to the bit."""
    check_restored(backbone, data, dataclasses.replace(SMALL, epochs=3, trainable_blocks=cut), stop_after)


def test_a_trial_with_stochastic_depth_goes_on_as_if_it_had_not_stopped(stochastic_backbone, larger_data):
    """The random draws of the epochs after a restore are those of an uninterrupted trial."""
    check_restored(stochastic_backbone, larger_data, SMALL, stop_after=1)


def test_a_learnt_temperature_moves_and_goes_on_as_if_it_had_not_stopped(backbone, stored):
    """It starts at the configuration's; at a rate of 0 nothing but it would be another training."""
    config = dataclasses.replace(HEADS, epochs=3, temperature_lr_ratio=3.0, temperature=0.3)
    reports = list(train(config, backbone, stored))
    moved = [report.loss_temperature for report in reports]
    assert len({0.3, *moved}) == 1 + len(moved) and abs(math.log(moved[0] / 0.3)) < 0.2
    (fixed, *_) = train(dataclasses.replace(config, temperature_lr_ratio=0.0), backbone, stored)
    assert fixed.loss_temperature == pytest.approx(0.3) and fixed.contrastive_loss != reports[0].contrastive_loss
    check_restored(backbone, stored, config, stop_after=1)


def check_restored(backbone, data, config, stop_after):
    whole = Training(config, backbone, data)
    expected = [whole.epoch() for _ in range(config.epochs)]
    first = Training(config, backbone, data)
    for _ in range(stop_after):
        first.epoch()
    second = Training(config, backbone, data)
    second.restore(saved_and_loaded(first.state()))
    assert second.ranked.best_epoch == first.ranked.best_epoch
    assert second.ranked.best_objective == first.ranked.best_objective
    assert_same([second.epoch() for _ in range(config.epochs - stop_after)], expected[stop_after:])
    assert second.finished
    assert_equal_tensors(second.encoder.state_dict(), whole.encoder.state_dict())
    mine, theirs = (training.optimizer.state_dict()["state"] for training in (second, whole))
    assert mine.keys() == theirs.keys() and mine
    for parameter, tensors in mine.items():
        assert_equal_tensors(tensors, theirs[parameter])
    assert second.ranked.best_epoch == whole.ranked.best_epoch
    assert second.ranked.best_objective == whole.ranked.best_objective
    assert_equal_tensors(second.ranked.weights, whole.ranked.weights)
    assert torch.equal(second.ranked.scores, whole.ranked.scores) and torch.equal(
        second.ranked.correct, whole.ranked.correct
    )
    clock = {"epoch_s", "validation_s"}
    mine, theirs = ([{k: v for k, v in n.items() if k not in clock} for n in t.history] for t in (second, whole))
    assert mine == theirs and len(mine) == config.epochs


def test_a_state_is_a_snapshot(backbone, data):
    """What trains on after `state()`, or was restored from it, changes nothing in it."""
    training = Training(SMALL, backbone, data)
    training.epoch()
    state = training.state()
    before = saved_and_loaded(state)
    training.epoch()
    other = Training(SMALL, backbone, data)
    other.restore(state)
    other.epoch()
    assert_equal_tensors(state["encoder"], before["encoder"])
    assert len(state["history"]) == 1
    for key, tensors in state["optimizer"]["state"].items():
        assert_equal_tensors(tensors, before["optimizer"]["state"][key])


@pytest.mark.parametrize("cut", [0, 2])
def test_a_checkpoint_holds_no_frozen_tensor(backbone, data, cut):
    """A trial that trains little saves little: what is frozen is everywhere already."""
    training = Training(dataclasses.replace(SMALL, trainable_blocks=cut), backbone, data)
    frozen = training.encoder.frozen_state()
    assert frozen and not frozen.keys() & training.state()["encoder"].keys()


@pytest.mark.parametrize(("rule", "cut"), [*zip(RANK_BY, (0, None), strict=True)])
def test_the_epoch_that_a_trial_is_ranked_by_keeps_its_weights(backbone, stored, rule, cut):
    """Its weights score the validation pairs as its report did, though later epochs went on from other weights."""
    settings = Settings(metric="val_accuracy", rank_by=rule)
    config = dataclasses.replace(SMALL, epochs=6, trainable_blocks=cut, learning_rate=0.02)
    training = Training(config, backbone, stored, settings)
    reports = [training.epoch() for _ in range(6)]
    objectives = [report.objective for report in reports]
    assert training.ranked.best_epoch == 1 + objectives.index(max(objectives)), "the first of equals"
    assert training.ranked.epoch == {"last": 6, "best": training.ranked.best_epoch}[rule]
    best = reports[training.ranked.epoch - 1]
    assert training.ranked.objective == best.objective
    assert np.array_equal(training.ranked.scores.numpy(), best.scores)
    assert np.array_equal(training.ranked.correct.numpy(), best.correct)
    training.encoder.load_trainable_state(training.ranked.weights)
    assert np.array_equal(training.score(stored.rows("val"))[0], best.scores)


def test_the_lowest_eer_is_the_best(backbone, stored):
    """A metric that is better when lower is ranked so."""
    config = dataclasses.replace(HEADS, epochs=3, learning_rate=0.02)
    training = Training(config, backbone, stored, Settings(metric="val_eer"))
    objectives = [training.epoch().objective for _ in range(3)]
    assert training.ranked.best_objective == min(objectives)


def test_test_pairs_are_scored_with_the_given_weights(backbone, data):
    """`test_scores` scores the test pairs with a best state as the trial itself would have."""
    training = Training(SMALL, backbone, data)
    training.epoch()
    expected = training.score(data.rows("test"))[0]
    assert np.array_equal(scores_on_test_pairs(SMALL, backbone, data, Settings(), training.ranked.weights), expected)


def test_the_global_random_state_is_left_alone(stochastic_backbone, larger_data):
    """Neither torch's nor numpy's nor Python's generators notice that a trial trains."""
    import random

    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    next(train(SMALL, stochastic_backbone, larger_data))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


@pytest.mark.parametrize("cut", [0, 2])
def test_what_is_frozen_does_not_move(backbone, data, cut):
    """Every frozen tensor, BatchNorm statistics included, is the same to the bit after training; the rest is not."""
    training = Training(dataclasses.replace(SMALL, trainable_blocks=cut, learning_rate=0.05), backbone, data)
    frozen, trained = copies(training.encoder.frozen_state()), training.encoder.trainable_state()
    assert any("running_mean" in name for name in frozen)
    while not training.finished:
        training.epoch()
    assert_equal_tensors(training.encoder.frozen_state(), frozen)
    unmoved = [name for name, old in trained.items() if torch.equal(training.encoder.trainable_state()[name], old)]
    assert not unmoved


def test_the_backbone_that_all_trials_start_from_is_not_changed(backbone, data):
    """A trial trains its own copy."""
    before = copies(backbone.state_dict())
    next(train(SMALL, backbone, data))
    assert_equal_tensors(backbone.state_dict(), before)
    assert not any(p.grad is not None for p in backbone.parameters())


def test_the_learning_rate_warms_up_and_decays_and_reaches_every_group(backbone, data, stored):
    """Linear for an epoch, then half a cosine to zero; the backbone's groups at their ratio, at every step."""
    config = dataclasses.replace(SMALL, epochs=3, learning_rate=0.01, backbone_lr_ratio=0.25)
    training = Training(config, backbone, data)
    assert training.batches.per_epoch == 3
    assert {group["name"] for group in training.optimizer.param_groups} == {
        "head",
        "head_no_decay",
        "backbone",
        "backbone_no_decay",
    }
    decay = [0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]
    for step, factor in enumerate([1 / 4, 2 / 4, 3 / 4, *decay]):
        training.set_learning_rates(1 + step // 3, step % 3)
        for group in training.optimizer.param_groups:
            ratio = 0.25 if group["name"].startswith("backbone") else 1.0
            assert group["lr"] == pytest.approx(0.01 * ratio * factor, rel=1e-12)
            assert group["weight_decay"] == (0.0 if group["name"].endswith("no_decay") else config.weight_decay)
    last = list(train(dataclasses.replace(config, trainable_blocks=0), backbone, stored))[-1]
    assert last.learning_rate == pytest.approx(0.01 * decay[-1], rel=1e-12)


def test_chance_is_ln_b_for_distinct_positive_pairs(backbone):
    """All labels 1, no identity twice: the level that a collapsed model's loss shows is ln(batch size)."""
    data = pair_data(positives_only=True)
    (report,) = train(dataclasses.replace(SMALL, epochs=1, batch_size=6), backbone, data)
    assert report.chance_loss == pytest.approx(math.log(6), rel=1e-6)
    assert report.negative_loss == 0
    assert report.contrastive_loss > 0 and report.consistency_loss > 0


def slow_epoch(training: Training, data: PairData, config: TrialConfig) -> list[dict[str, float]]:
    """One epoch on a copy of the trial's model, step by step: plain optimiser, loop losses, no grouping by anchors."""
    encoder = training.encoder.train()
    groups = encoder.parameter_groups(config.learning_rate, config.backbone_lr_ratio, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, foreach=False, fused=False)
    peaks = [group["lr"] for group in optimizer.param_groups]
    order = np.random.default_rng([config.seed, 1]).permutation(data.rows("train"))
    steps = len(order) // config.batch_size
    found = []
    for step in range(steps):
        rows = order[step * config.batch_size : (step + 1) * config.batch_size]
        images = np.concatenate([data.pixels[data.front[rows]], data.pixels[data.angle[rows]]])
        front, angle = encoder(torch.from_numpy(images)).double().chunk(2)
        labels = data.pair_label[rows]
        identities = data.front_identity[rows], data.angle_identity[rows]
        contrastive, anchors, chance = reference.info_nce(front, angle, labels, config.temperature, *identities)
        consistency = reference.consistency(front, angle, labels)
        negative = reference.negative_pair_term(front, angle, labels, config.negative_margin)
        total = contrastive + config.consistency_weight * consistency + config.negative_weight * negative
        optimizer.zero_grad()
        total.backward()
        squares = sum(float((p.grad.double() ** 2).sum()) for p in encoder.parameters() if p.grad is not None)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * (step + 1) / (steps * config.warmup_epochs + 1)
        optimizer.step()
        numbers = (contrastive, chance, consistency, negative, total, math.sqrt(squares))
        names = ("contrastive_loss", "chance_loss", "consistency_loss", "negative_loss", "total_loss", "grad_norm")
        values = [float(torch.as_tensor(number).detach()) for number in numbers]
        found.append({"anchors": anchors} | dict(zip(names, values, strict=True)))
    return found


@pytest.mark.parametrize("cut", CUTS)
def test_an_epoch_is_what_a_plain_loop_makes_of_it(backbone, data, cut):
    """The same batches through the slow reference losses: the same means, weighted by anchors where they are an
    anchor's, the same gradient norm, the same weights and scores afterwards."""
    config = dataclasses.replace(
        SMALL, trainable_blocks=cut, batch_size=6, backbone_lr_ratio=0.5, consistency_weight=0.3, negative_weight=0.7
    )
    training, slow = Training(config, backbone, data), Training(config, backbone, data)
    report = training.epoch()
    steps = slow_epoch(slow, data, config)
    assert len(steps) == 4 and len({step["anchors"] for step in steps}) > 1, "else weights would not matter"
    anchors = sum(step["anchors"] for step in steps)
    for name in ("contrastive_loss", "chance_loss"):
        mean = sum(step[name] * step["anchors"] for step in steps) / anchors
        assert getattr(report, name) == pytest.approx(mean, rel=1e-4), name
    for name in ("consistency_loss", "negative_loss", "total_loss", "grad_norm"):
        assert getattr(report, name) == pytest.approx(sum(step[name] for step in steps) / 4, rel=1e-3), name
    np.testing.assert_allclose(report.scores, slow.score(data.rows("val"))[0], atol=2e-3)


def test_every_image_is_scored_once_and_in_place(backbone, data):
    """Scores of pairs are the cosines of their two images' embeddings, whatever the order and the repetitions."""
    training = Training(SMALL, backbone, data)
    rows = np.concatenate([data.rows("val")[::-1], data.rows("val")])
    scores, embeddings = training.score(rows)
    assert len(embeddings) == len(np.unique([data.front[rows], data.angle[rows]]))
    with torch.inference_mode():
        front = training.encoder(torch.from_numpy(data.pixels[data.front[rows]]))
        angle = training.encoder(torch.from_numpy(data.pixels[data.angle[rows]]))
    np.testing.assert_allclose(scores, (front * angle).sum(dim=1).numpy(), atol=1e-5)


@pytest.mark.parametrize("metric", list(METRICS))
def test_a_fixed_threshold_does_not_change_what_a_trial_is_ranked_by(backbone, stored, metric):
    """A threshold that nobody searches is reported with its accuracy, but the objective is that of the solved one."""
    reports = [
        next(train(dataclasses.replace(HEADS, threshold=threshold), backbone, stored, Settings(metric=metric)))
        for threshold in (None, -0.99)
    ]
    solved, fixed = reports
    assert solved.objective == fixed.objective == getattr(solved, metric)
    assert fixed.threshold == -0.99
    labels = stored.pair_label[stored.rows("val")]
    assert fixed.val_accuracy == thresholds.accuracy_at(fixed.scores, labels, -0.99)
    assert fixed.val_accuracy_solved == solved.val_accuracy_solved == solved.val_accuracy > fixed.val_accuracy
    assert fixed.correct.mean() == fixed.val_accuracy


def test_a_searched_threshold_is_what_a_trial_is_ranked_by(backbone, stored):
    """In a search over thresholds the objective is the accuracy at the trial's own."""
    for metric in ("val_accuracy", "val_balanced_accuracy"):
        settings = Settings(metric=metric, threshold_is_searched=True)
        report = next(train(dataclasses.replace(HEADS, threshold=-0.99), backbone, stored, settings))
        assert report.objective == getattr(report, metric) < report.val_accuracy_solved


def test_a_solved_threshold_is_the_best_on_all_validation_scores_and_its_accuracy_is_cross_fitted(backbone, stored):
    """The threshold reported is for later pairs; the accuracy reported is not the one it reaches on its own pairs."""
    report = next(train(HEADS, backbone, stored))
    rows = stored.rows("val")
    labels = stored.pair_label[rows]
    assert report.threshold == thresholds.best_threshold(report.scores, labels).value
    fitted = thresholds.cross_fitted(report.scores, labels, stored.front_identity[rows], stored.angle_identity[rows])
    assert report.val_accuracy == fitted.accuracy
    assert np.array_equal(report.correct, fitted.correct)


def test_equal_trainings_score_equally_whatever_their_threshold(backbone, stored):
    """The threshold is free: it changes no weight and no score."""
    low, high = (next(train(dataclasses.replace(HEADS, threshold=t), backbone, stored)) for t in (-0.5, 0.9))
    assert np.array_equal(low.scores, high.scores)
    assert low.contrastive_loss == high.contrastive_loss


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_learning_rate_that_blows_up_makes_the_trial_sick(backbone, data):
    """The first report that is not finite says so and is the last, and it is not the best epoch."""
    training = Training(dataclasses.replace(SMALL, learning_rate=1e30, epochs=5), backbone, data)
    reports = []
    while not training.finished:
        reports.append(training.epoch())
    sick = reports[-1]
    assert len(reports) < 5 and sick.sick.startswith("not finite")
    assert all(report.sick is None for report in reports[:-1])
    assert sick.epoch not in (training.ranked.epoch, training.ranked.best_epoch)
    assert_same(reports, list(train(training.config, backbone, data)))


def test_nan_weights_make_a_trial_sick_at_once(data):
    """A backbone of NaN: one report, every metric NaN, no accuracy invented, nothing kept as the best."""
    broken = create_backbone(BackboneSpec("test_byobnet", image_size_px=16))
    with torch.no_grad():
        next(broken.net.parameters()).fill_(math.nan)
    training = Training(SMALL, broken, data)
    report = training.epoch()
    assert training.finished and report.sick.startswith("not finite")
    for name in ("objective", "threshold", "val_accuracy", "val_auc", "val_eer", "contrastive_loss", "feature_std"):
        assert math.isnan(getattr(report, name)), name
    assert np.isnan(report.scores).all() and not report.correct.any()
    assert training.ranked.epoch == training.ranked.best_epoch == 0 and training.ranked.scores is None
    (only,) = train(SMALL, broken, data)
    assert only.same_as(report)
    again = Training(SMALL, broken, data)
    again.restore(saved_and_loaded(training.state()))
    assert again.finished, "a sick trial stays sick after a restore"


def test_an_undefined_metric_ranks_no_epoch(backbone, data):
    """Where all scores are equal d' does not exist: the objective is NaN, not 0, and no epoch is the best."""
    grey = dataclasses.replace(data, pixels=np.full_like(data.pixels, 128))
    training = Training(SMALL, backbone, grey, Settings(metric="val_d_prime"))
    report = training.epoch()
    assert report.val_d_prime is None and math.isnan(report.objective)
    assert report.sick is None and training.ranked.epoch == training.ranked.best_epoch == 0
    assert report.val_auc == 0.5


def test_a_skipped_half_precision_step_is_no_sickness(backbone, data):
    """In fp16 the first gradients overflow until the scale has come down; the trial goes on and learns."""
    training = Training(dataclasses.replace(SMALL, trainable_blocks=0), backbone, data, Settings(precision="fp16"))
    training._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, backoff_factor=2.0**-10)
    scale = training._scaler.get_scale()
    reports = [training.epoch() for _ in range(3)]
    assert training._scaler.get_scale() < scale
    assert all(report.sick is None and math.isfinite(report.grad_norm) for report in reports)


def test_read_only_arrays_are_trained_on_without_a_warning(backbone, data, reports):
    """The object store hands out arrays that must not be written to: same reports, no warning, nothing written."""
    given = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    frozen = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in given.items()}
    for array in (value for value in frozen.values() if isinstance(value, np.ndarray)):
        array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(train(SMALL, backbone, PairData(**frozen)))
    assert_same(found, reports)
    assert np.array_equal(frozen["pixels"], data.pixels)


def test_pixels_are_not_copied(backbone, data):
    """Every trial on a node looks at the same pixels, on the CPU."""
    assert np.shares_memory(Inputs(torch.device("cpu"), data).at(None).tensor.numpy(), data.pixels)


def test_a_short_run_on_rendered_objects_learns_and_gets_no_diagnosis(rendered):
    """Loss below chance and falling, consistency falling, no collapse, and validation accuracy above 0.6.

    With the default configuration, and not a single warning in any epoch.
    """
    backbone = create_backbone(BackboneSpec("test_byobnet", image_size_px=32))
    reports = list(train(TrialConfig(epochs=4), backbone, rendered))
    first, last = reports[0], reports[-1]
    assert 0 < last.contrastive_loss < first.contrastive_loss < 1.1 * first.chance_loss
    assert 0 < last.consistency_loss < first.consistency_loss
    assert max(report.val_accuracy for report in reports) > 0.6
    assert last.val_auc > 0.7 and last.similarity_gap > 0.1 and last.feature_std > 0.5
    assert [report.diagnoses for report in reports] == [[]] * 4
