"""What a parameter does to the objective: found where it is, not found where nothing is, and never surer than the trials."""

from __future__ import annotations

import numpy as np
import optuna
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import kruskal

from trainable.errors import InputError
from tuner.analysis.importance import BETWEEN, HIGHER, LOWER, NONE, Effect, effects
from tuner.results.one_run import searched_in
from tuner.results.schema import PARTITIONS, SCHEMAS


def frame(objective, state="completed", run="r1", **columns) -> pd.DataFrame:
    """Trials of one run, as `results.trials()` gives them; columns of one value or of one a trial."""
    size = len(objective)
    given = {"trial": range(size), "objective": objective, "state": state, "run": run, "space": "a"} | columns
    given = {name: [value] * size if np.ndim(value) == 0 else list(value) for name, value in given.items()}
    schema = pa.schema([*PARTITIONS, *SCHEMAS["trials"]])
    rows = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    return pa.Table.from_pylist([{n: r.get(n) for n in schema.names} for r in rows], schema).to_pandas()


def drawn(seed: int, size: int = 32) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Learning rates and temperatures at random, by their logarithm."""
    random = np.random.default_rng(seed)
    return random, 10 ** random.uniform(-5, -1, size), 10 ** random.uniform(-2, 0, size)


def by_name(found: list[Effect]) -> dict[str, Effect]:
    return {effect.parameter: effect for effect in found}


# What is there is found, what is not there is not


@pytest.mark.parametrize(
    ("shape", "direction", "low", "high"),
    [
        (lambda x: x, HIGHER, -2.5, -1),
        (lambda x: -x, LOWER, -5, -3.5),
        (lambda x: -((x + 3) ** 2), BETWEEN, -4.2, -1.8),
    ],
)
def test_an_effect_is_found_with_its_direction_and_its_best_range(shape, direction, low, high):
    """The learning rate decides, the temperature does nothing."""
    random, rate, temperature = drawn(0, size=48)
    trials = frame(shape(np.log10(rate)) + random.normal(0, 0.3, 48), learning_rate=rate, temperature=temperature)
    first, second = effects(trials, metric="val_accuracy")
    assert (first.parameter, first.direction, first.certain, first.trials) == ("learning_rate", direction, True, 48)
    assert first.importance > 0.6 and first.importance_low <= first.importance <= first.importance_high
    assert 10**low <= first.best_low < first.best_high <= 10**high and first.best_share > 0.4
    assert (second.parameter, second.direction, second.certain) == ("temperature", NONE, False)
    assert second.importance_low == 0 and second.note == "not told apart from noise"


def test_where_nothing_matters_hardly_ever_anything_is_called_certain():
    """Noise alone, in 60 runs of 16 trials and two parameters: an effect is seen in one run of twenty."""
    seen = 0
    for seed in range(60):
        random, rate, temperature = drawn(seed, size=16)
        trials = frame(random.normal(size=16), learning_rate=rate, temperature=temperature)
        seen += any(effect.certain for effect in effects(trials, metric="val_auc"))
    assert seen <= 7  # more than 7 of 60 at 5 % has a probability below 1 %


def test_of_names_the_best_is_told():
    """A parameter whose values are names has no order and no range: what is told is which does best, if that is sure."""
    random, rate, _ = drawn(3, size=45)
    names = np.tile(["vit", "convnext", "resnet"], 15)
    gain = np.tile([0.0, 2.0, 0.1], 15)
    trials = frame(gain + random.normal(0, 0.3, 45), backbone=names, learning_rate=rate)
    found = by_name(effects(trials, metric="val_auc", searched=["learning_rate", "backbone"]))
    backbone = found["backbone"]
    assert (backbone.direction, backbone.certain, backbone.trials) == ("best with convnext", True, 45)
    assert backbone.importance > 0.5 and np.isnan(backbone.best_low)
    two = frame(np.where(names == "vit", 0.0, 2.0) + random.normal(0, 0.3, 45), backbone=names)
    assert by_name(effects(two, metric="val_auc"))["backbone"].direction in (
        "best with convnext or resnet",
        "best with resnet or convnext",
    )
    noise = frame(random.normal(0, 1, 45), backbone=names)
    assert by_name(effects(noise, metric="val_auc"))["backbone"].direction == NONE


def test_a_lower_objective_is_better_where_the_metric_says_so():
    """The equal error rate falls with the learning rate, so a higher one is better."""
    random, rate, _ = drawn(1)
    trials = frame(-np.log10(rate) + random.normal(0, 0.1, 32), learning_rate=rate)
    assert effects(trials, metric="val_eer")[0].direction == HIGHER
    with pytest.raises(InputError, match="metric is 'total_loss'; valid are: val_accuracy"):
        effects(trials, metric="total_loss")


def test_effects_of_one_size_are_not_ranked_in_silence():
    """Two parameters that matter alike: the order is given, and that it may be chance."""
    random, rate, temperature = drawn(2, size=64)
    both = np.log10(rate) / 4 + np.log10(temperature) / 2 + random.normal(0, 0.1, 64)
    first, second = effects(frame(both, learning_rate=rate, temperature=temperature), metric="val_accuracy")
    assert first.certain and second.certain
    assert first.note == f"not told apart in importance from {second.parameter}"


def test_few_trials_say_nothing():
    """However clear seven trials look, or a parameter that has one value."""
    (effect,) = effects(frame(np.arange(7.0), learning_rate=10.0 ** -np.arange(7)), metric="val_accuracy")
    assert not effect.certain and (effect.importance_low, effect.importance_high) == (0, 1)
    assert effect.note == "7 trials are too few to tell"
    fixed = frame(np.arange(20.0), learning_rate=1e-3)
    assert effects(fixed, metric="val_accuracy", searched=["learning_rate"])[0].note == "it has one value only"
    assert effects(fixed.iloc[:0], metric="val_accuracy", searched=["learning_rate"])[0].trials == 0


# Which trials count, and for what


def test_sick_trials_are_the_worst_and_failed_ones_do_not_count():
    """Whatever a collapsed trial's accuracy was by chance, the range it lies in is not recommended."""
    _, rate, _ = drawn(3)
    sick = rate > 1e-2
    state = np.where(sick, "sick", "completed")
    trials = frame(np.where(sick, 0.99, 0.7 + rate), state, learning_rate=rate)
    (effect,) = effects(trials, metric="val_accuracy")
    assert effect.certain and effect.best_high <= 1e-2 and effect.trials == 32
    failed = frame(np.where(sick, np.nan, 0.7), np.where(sick, "failed", "completed"), learning_rate=rate)
    (effect,) = effects(failed, metric="val_accuracy")
    assert effect.trials == np.sum(~sick) and effect.direction == NONE


def test_pruned_trials_count_with_what_they_had_reached():
    """They were stopped because others were ahead of them: without them only the good half would be seen."""
    random, rate, _ = drawn(4)
    value = np.log10(rate) + random.normal(0, 0.2, 32)
    state = np.where(value < np.median(value), "pruned", "completed")
    assert effects(frame(value, state, learning_rate=rate), metric="val_accuracy")[0].trials == 32


def test_a_replay_is_a_trial_of_the_threshold_and_of_nothing_else():
    """Eight trainings, each judged at three thresholds, are eight for the learning rate and 24 for the threshold."""
    rate = np.repeat(10.0 ** -np.arange(8), 3)
    replay_of = [None if place % 3 == 0 else place - place % 3 for place in range(24)]
    threshold = np.tile([0.2, 0.5, 0.8], 8)
    objective = 0.9 - (threshold - 0.5) ** 2 - rate / 100
    columns = {"learning_rate": rate, "threshold": threshold, "threshold_source": "searched", "replay_of": replay_of}
    found = by_name(effects(frame(objective, **columns), metric="val_accuracy"))
    assert (found["learning_rate"].trials, found["threshold"].trials) == (8, 24)
    assert (
        found["threshold"].direction == BETWEEN and found["threshold"].best_low == found["threshold"].best_high == 0.5
    )


def test_a_misplaced_threshold_does_not_hide_what_training_was_worth():
    """Where thresholds are searched, the other parameters are judged at the solved one."""
    random, rate, _ = drawn(5)
    solved = 0.7 + 0.05 * np.log10(rate) + random.normal(0, 0.005, 32)
    columns = {"threshold": random.uniform(-0.5, 1, 32), "threshold_source": "searched", "val_accuracy_solved": solved}
    found = by_name(effects(frame(random.uniform(0.5, 0.6, 32), learning_rate=rate, **columns), metric="val_accuracy"))
    assert found["learning_rate"].direction == HIGHER and not found["threshold"].certain


def test_a_parameter_is_read_only_where_it_does_something():
    """How gently the backbone is trained matters in no trial that trains nothing of it."""
    random, ratio, _ = drawn(6, size=60)
    blocks = np.tile([0, 2, 4], 20)
    value = np.where(blocks > 0, np.log10(ratio), random.normal(size=60)) + random.normal(0, 0.1, 60)
    found = by_name(effects(frame(value, trainable_blocks=blocks, backbone_lr_ratio=ratio), metric="val_accuracy"))
    assert found["backbone_lr_ratio"].trials == 40 and found["backbone_lr_ratio"].direction == HIGHER
    assert found["trainable_blocks"].trials == 60


def test_seeds_of_one_configuration_are_not_configurations():
    """Four configurations that differ in both parameters, ten seeds each: which of the two it was cannot be known."""
    random = np.random.default_rng(7)
    place = np.repeat(np.arange(4), 10)
    value = place + random.normal(0, 0.1, 40)
    trials = frame(value, learning_rate=10.0 ** (place - 5), temperature=(place + 1) / 10, seed=range(40))
    assert not any(effect.certain for effect in effects(trials, metric="val_accuracy"))
    (alone,) = effects(trials, metric="val_accuracy", searched=["learning_rate"])
    assert alone.certain and alone.direction == HIGHER and alone.importance_low > 0.8


def test_what_was_searched_is_read_off_runs_that_did_not_note_it():
    """What varies within a run, and a threshold only where it was not solved."""
    trials = frame([0.5, 0.6], learning_rate=[1e-3, 1e-2], threshold=[0.3, 0.4], threshold_source="solved")
    assert searched_in(trials) == ["learning_rate"]
    assert searched_in(trials.assign(threshold_source="searched")) == ["learning_rate", "threshold"]
    between_runs = pd.concat([frame([0.5], temperature=0.1), frame([0.5], run="r2", temperature=0.2)])
    assert searched_in(between_runs) == [] and searched_in(trials.iloc[:0]) == []


# Beside slow references


def test_the_importance_is_scipys_kruskal_as_adjusted_eta_squared():
    """The same number from scipy's test, whose H grows with the share of the ranks between bins."""
    random = np.random.default_rng(8)
    blocks = np.repeat([0, 1, 2, 3], 12)
    value = blocks % 3 + random.normal(0, 1, 48)
    (effect,) = effects(frame(value, trainable_blocks=blocks), metric="val_accuracy")
    h = kruskal(*(value[blocks == count] for count in range(4))).statistic
    assert effect.importance == pytest.approx((h - 4 + 1) / (48 - 4))


@pytest.mark.usefixtures("quiet_optuna")
def test_fanova_finds_the_same_parameter_most_important():
    """Optuna's evaluator, which shares out what all parameters explain, on the same trials."""
    random, rate, temperature = drawn(9, size=40)
    value = -((np.log10(rate) + 3) ** 2) + 0.3 * np.log10(temperature) + random.normal(0, 0.2, 40)
    study = optuna.create_study(direction="maximize")
    for x, y, reached in zip(rate, temperature, value, strict=True):
        params = {"learning_rate": x, "temperature": y}
        ranges = {name: optuna.distributions.FloatDistribution(1e-5, 1, log=True) for name in params}
        study.add_trial(optuna.create_trial(params=params, distributions=ranges, value=reached))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ours = effects(frame(value, learning_rate=rate, temperature=temperature), metric="val_accuracy")
    assert next(iter(theirs)) == ours[0].parameter == "learning_rate"


def test_the_same_trials_give_the_same_effects():
    """Whatever else the program draws at random."""
    random, rate, temperature = drawn(10)
    trials = frame(np.log10(rate) + random.normal(0, 1, 32), learning_rate=rate, temperature=temperature)
    once, again = effects(trials, metric="val_accuracy"), effects(trials, metric="val_accuracy")
    assert once == again
