"""Samplers: by what names they are made, and that all of them learn from trials that were stopped."""

from __future__ import annotations

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from tests.tools.by_hand import BLOCKS, FIXED, Search, space_of
from trainable.errors import InputError
from tuner.cli.sampler_names import SAMPLERS, may_be_sampler
from tuner.inputs.space import examine
from tuner.search.samplers import check_sampler, make_sampler, with_stopped_complete

pytestmark = pytest.mark.usefixtures("quiet_optuna")

RATE = 'return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)}'


class Middle(optuna.samplers.RandomSampler):
    """Always suggests the middle of a range, or the share of it that it is given."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def sample_independent(self, study, trial, param_name, param_distribution):
        low, high = math.log(param_distribution.low), math.log(param_distribution.high)
        return math.exp(low + self.share * (high - low))


class Greedy(optuna.samplers.BaseSampler):
    """Suggests beside the best complete trial it is shown; knows of no other state."""

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        known = study.get_trials(states=[TrialState.COMPLETE])
        if not known:
            return 1e-3
        return min(param_distribution.high, 1.01 * max(known, key=lambda t: t.value).params[param_name])


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_short_name_makes_its_class_of_optuna(name):
    """As the table says, seeded; the name is one that the command line takes."""
    assert may_be_sampler(name)
    assert type(make_sampler(name, 0)).__name__ == SAMPLERS[name][0]


def test_a_sampler_is_named_by_its_class_or_its_module():
    """Optuna's own and anybody's, with arguments: JSON, or plain text where it is none."""
    own = make_sampler(f"{__name__}:Middle", 0, ["share=0.25"])
    assert type(own).__name__ == "Middle" and own.share == 0.25
    evolving = make_sampler("NSGAIISampler", 0, ['{"population_size": 3}'])
    assert isinstance(evolving, optuna.samplers.NSGAIISampler)
    assert make_sampler(f"{__name__}:Middle", 0, ["share=a quarter"]).share == "a quarter"
    assert may_be_sampler("CmaEsSampler") and may_be_sampler("own:Middle") and not may_be_sampler("nonsense")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("TpeSampler", [], "Perhaps TPESampler"),
        ("nowhere:Sampler", [], "cannot be imported"),
        ("json:JSONDecoder", [], "no sampler 'JSONDecoder'"),
        ("optuna.samplers:BaseSampler", [], "no sampler 'BaseSampler'"),
        ("tpe", ["n_startup=4"], "n_startup_trials"),
        ("tpe", ["n_startup_trials"], "valid is name=value"),
        ("gp", ["[1]"], "valid is name=value"),
        ("PartialFixedSampler", [], "fixed_params"),
        ("NSGAIISampler", ["population_size=1"], "cannot be made"),
    ],
)
def test_what_is_no_sampler_is_refused_with_the_names_that_are(name, arguments, said):
    """One message: what was given, what is valid, what to do."""
    with pytest.raises(InputError) as refusal:
        make_sampler(name, 0, arguments)
    assert said in str(refusal.value) and str(refusal.value).endswith(".")


def test_a_sampler_of_one_s_own_searches(tmp_path):
    """Its suggestions are what is tried, after the default configuration."""
    run = Search(tmp_path, space_of(tmp_path, RATE), f"{__name__}:Middle")
    run.start()
    assert run.start().config["config"].learning_rate == pytest.approx(10**-2.5)


def stopped_at_once(run, trials):
    """A search of which the scheduler stops every trial at its first epoch but the default one; peak at 1e-2."""
    for number in range(trials):
        trial = run.start()
        worth = 0.9 - 0.1 * abs(math.log10(trial.config["config"].learning_rate) + 2)
        run.run(trial, *[worth] * (1 if number else 3), stop=number > 0)
    return [record.config.learning_rate for record in run.recorder.records.values()]


def test_gp_learns_from_stopped_trials(tmp_path):
    """Nearly all of the trials were stopped; after its start-up gp suggests near the best of them, a random draw does not."""
    rates = {
        name: stopped_at_once(Search(tmp_path / name, space_of(tmp_path, RATE, name), name, seed=1), 14)[8:]
        for name in ("gp", "random")
    }
    far = {name: sum(abs(math.log10(rate) + 2) for rate in tried) / len(tried) for name, tried in rates.items()}
    assert far["gp"] < 0.5 * far["random"]


def test_any_sampler_learns_from_stopped_trials(tmp_path):
    """One that looks at complete trials only sees the stopped ones as such; the study itself keeps them as pruned."""
    run = Search(tmp_path, space_of(tmp_path, RATE), f"{__name__}:Greedy")
    rates = stopped_at_once(run, 12)
    assert rates[2:] == sorted(rates[2:]) and rates[-1] > 1.05 * rates[2]
    assert run.frozen(5).state == TrialState.PRUNED


class Counting(Greedy):
    """Keeps a number of its own in the study."""

    def before_trial(self, study, trial):
        study.set_user_attr("asked", study.user_attrs.get("asked", 0) + 1)


def test_what_a_sampler_writes_is_in_the_study(tmp_path):
    """It is shown other values than the study has, and yet works on the study itself."""
    run = Search(tmp_path, space_of(tmp_path, RATE), f"{__name__}:Counting")
    run.start(), run.start()
    assert run.study.user_attrs["asked"] == 2


class Breaking(Greedy):
    """Fails at its third trial."""

    def before_trial(self, study, trial):
        if trial.number == 2:
            raise KeyError("three")


def test_a_sampler_that_cannot_search_is_refused_before_anything_is_trained(tmp_path):
    """It is tried on the run's own space: a missing package or a sampler for another kind of search shows at once."""
    bound = examine(space_of(tmp_path, RATE), FIXED, BLOCKS)
    check_sampler(f"{__name__}:Greedy", [], bound)
    for name, arguments, said in (
        (f"{__name__}:Breaking", [], "KeyError: 'three'"),
        ("GridSampler", ['search_space={"other": [1, 2]}'], "does not get through"),
    ):
        with pytest.raises(InputError, match="Choose another") as refusal:
            check_sampler(name, arguments, bound)
        assert said in str(refusal.value)


def told(state, *values, default=False, sick=False):
    """A trial with these intermediate values by epoch."""
    return create_trial(
        state=state,
        value=values[-1] if state == TrialState.COMPLETE else None,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=dict(enumerate(values, 1)),
        user_attrs={"is_default": True} if default else {},
        constraints={"sick": float(sick)},
    )


def numbered(trials):
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


@given(
    ends=st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1)), min_size=1, max_size=30),
    direction=st.sampled_from([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]),
)
def test_stopped_trials_rank_behind_all_that_went_further(ends, direction):
    """Against a slow reference: by epoch reached first, then by value; and all of them are complete."""
    better = 1 if direction == StudyDirection.MAXIMIZE else -1
    trials = numbered(
        [told(TrialState.COMPLETE if epoch == 4 else TrialState.PRUNED, *[0.0] * (epoch - 1), v) for epoch, v in ends]
    )
    shown = with_stopped_complete(trials, direction)
    assert [t.state for t in trials] == [TrialState.COMPLETE if e == 4 else TrialState.PRUNED for e, _ in ends]
    assert {t.state for t in shown} == {TrialState.COMPLETE}
    for a, (epoch_a, value_a) in zip(shown, ends, strict=True):
        for b, (epoch_b, value_b) in zip(shown, ends, strict=True):
            if epoch_a > epoch_b:
                assert better * a.value > better * b.value
            if epoch_a == epoch_b:
                assert a.value - b.value == pytest.approx(value_a - value_b, abs=1e-9)
            if epoch_a == 4:
                assert a.value == value_a


def test_a_bad_default_and_a_sick_trial_push_nobody_down():
    """The scheduler lets the default on whatever it is worth, and a sick trial's value is made up."""
    stopped = told(TrialState.PRUNED, 0.7)
    trials = numbered(
        [
            told(TrialState.COMPLETE, 0.5, 0.5, default=True),
            told(TrialState.COMPLETE, 0.1, sick=True),
            told(TrialState.COMPLETE, 0.8, 0.9),
            stopped,
            told(TrialState.PRUNED),
            told(TrialState.FAIL),
        ]
    )
    shown = with_stopped_complete(trials, StudyDirection.MAXIMIZE)
    assert shown[3].value == 0.7
    assert [t.state for t in shown[4:]] == [TrialState.PRUNED, TrialState.FAIL], "nothing is known of them"


def test_tpe_draws_a_parameter_that_depends_on_another_together_with_it():
    """The product's TPE: once a trial without it exists, it is still drawn from what is known (Optuna's group)."""
    sampler = make_sampler("tpe", 0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for number in range(20):
        trial = study.ask()
        blocks = trial.suggest_int("blocks", 0, 1)
        worth = trial.suggest_float("ratio", 0, 1) if blocks else 0.2
        study.tell(trial, worth if number else 0.0)
    space = sampler.infer_relative_search_space(study, study.trials[-1])
    assert {"blocks", "ratio"} <= set(space)
