"""Optuna's samplers, by a short name, by Optuna's or by their module; those that ignore stopped trials are shown them."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import warnings
from collections.abc import Container, Sequence
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trainable.errors import InputError, nearest
from trainable.objectives import Direction
from tuner.cli.sampler_names import SAMPLERS
from tuner.inputs.bound_space import BoundSpace
from tuner.search.suggesting.few_trials import ShownFew

_TRIED = 12
"""Trials that a sampler is tried with: more than most begin with at random."""


def make_sampler(name: str, seed: int, arguments: Sequence[str] = ()) -> BaseSampler:
    """The sampler, seeded where it can be.

    name: one of SAMPLERS, the name of a class of optuna.samplers, or module:Class; arguments: of the class, as name=value
    with the value in JSON (or plain text). Raises InputError for what is no sampler or cannot be made.

    >>> type(make_sampler("gp", seed=0)).__name__
    'GPSampler'
    >>> type(make_sampler("TPESampler", seed=0, arguments=["n_startup_trials=4"])).__name__
    'TPESampler'
    """
    class_name, defaults = SAMPLERS.get(name, (name, {}))
    sampler = _sampler_class(class_name)
    known = inspect.signature(sampler).parameters
    given = _parsed(arguments)
    if unknown := sorted(set(given) - set(known)):
        raise InputError(
            f"--sampler-args: {class_name} has no argument {', '.join(unknown)}; valid are: {', '.join(known)}. "
            "Correct it, or leave it out."
        )
    seeded = {"seed": seed} if "seed" in known else {}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            return cast(BaseSampler, sampler(**seeded | defaults | given))
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(
            f"--sampler {name} cannot be made with {given or 'no arguments'} ({error}); its arguments are: "
            f"{', '.join(known)}. Give those that it needs as --sampler-args name=value."
        ) from error


def check_sampler(
    name: str, arguments: Sequence[str], bound: BoundSpace, directions: Sequence[Direction] = ("maximize",)
) -> None:
    """Raise InputError if there is no such sampler, or if a short search over the space with it breaks: then it lacks a
    package, or is for other kinds of search. directions: of the objectives, as Optuna has them."""
    sampler = make_sampler(name, 0, arguments)
    if name in SAMPLERS:
        return
    several = len(directions) > 1
    storage = optuna.storages.InMemoryStorage()
    shown = sampler if several else learning_from_stopped(sampler, storage)
    study = optuna.create_study(storage=storage, sampler=shown, directions=directions)
    try:
        for number in range(_TRIED):
            trial = study.ask()
            bound.configure(trial, 0)
            if several:
                study.tell(trial, [number / _TRIED] * len(directions))
                continue
            trial.report(number / _TRIED, 1)
            stopped = number % 2
            study.tell(trial, None if stopped else 0.5, TrialState.PRUNED if stopped else TrialState.COMPLETE)
    except Exception as error:  # it is anybody's code, which can raise anything
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"--sampler {name} does not get through {_TRIED} trials of the space {bound.space.name} ({what}); valid is a "
            f"sampler for {'several objectives' if several else 'one objective'} that suggests any parameters. Choose another, "
            f"such as {', '.join(SAMPLERS)}, or "
            "install what it lacks."
        ) from error


def _sampler_class(name: str) -> Any:
    module_name, _, class_name = name.rpartition(":")
    try:
        module = importlib.import_module(module_name or "optuna.samplers")
    except ImportError as error:
        raise InputError(
            f"--sampler {name}: the module {module_name} cannot be imported ({error}); valid is module:Class. Install it, "
            "or choose another sampler."
        ) from error
    found = getattr(module, class_name, None)
    if inspect.isclass(found) and issubclass(found, BaseSampler) and not inspect.isabstract(found):
        return found
    there = [
        n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, BaseSampler) and v != BaseSampler
    ]
    near = nearest(class_name, there)
    raise InputError(
        f"--sampler {name}: {module.__name__} has no sampler {class_name!r}; valid are: {', '.join(SAMPLERS)}, "
        f"{', '.join(there)}, or module:Class.{f' Perhaps {near}?' if near else ''} Choose one of them."
    )


def _parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """name=value by name, or a JSON object."""
    parsed: dict[str, Any] = {}
    for text in arguments:
        name, equals, value = text.partition("=")
        if text.lstrip().startswith("{"):
            name, equals, value = "", "=", text
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        if not equals or (not name and not isinstance(read, dict)):
            raise InputError(
                f"--sampler-args has {text!r}; valid is name=value, as in n_startup_trials=4, or a JSON object. Write it so."
            )
        parsed |= {name: read} if name else read
    return parsed


def learning_from_stopped(sampler: BaseSampler, storage: BaseStorage) -> BaseSampler:
    """The sampler, which learns from stopped trials too. TPE does so by itself, and is shown a few hundred trials of many;
    random and even draws learn from nothing."""
    if isinstance(sampler, TPESampler):
        return ShownFew(sampler, storage)
    by_itself = RandomSampler | QMCSampler
    return sampler if isinstance(sampler, by_itself) else _ShownStopped(sampler, storage)


class _ShownStopped(BaseSampler):
    """A sampler that sees a study in which stopped trials are complete: many look at complete ones only, and with an early
    stopping scheduler there are few."""

    def __init__(self, sampler: BaseSampler, storage: BaseStorage) -> None:
        self._sampler, self._storage = sampler, cast(BaseStorage, _Ranked(storage))

    def _shown(self, study: Study) -> Study:
        """Made anew every time: a Study object remembers the trials that it has read once."""
        return optuna.load_study(study_name=study.study_name, storage=self._storage, sampler=self._sampler)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(self._shown(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        with (
            warnings.catch_warnings()
        ):  # sick trials are marked by a constraint; whoever ignores it has their bad value
            warnings.filterwarnings("ignore", message="Constraints have been set", category=UserWarning)
            self._sampler.after_trial(self._shown(study), trial, state, values)


class _Ranked:
    """A study's storage that shows stopped trials as complete; everything else, all that is written too, is passed on."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As BaseStorage has it."""
        (direction,) = self._storage.get_study_directions(study_id)
        shown = with_stopped_complete(self._storage.get_all_trials(study_id, deepcopy), direction)
        return [trial for trial in shown if states is None or trial.state in states]


def with_stopped_complete(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """The trials, each stopped one as a complete one with its last value, ranked behind all that went further.

    Those that were stopped at the same step keep their distances: if the best of them ranks above the worst of those that
    went further, all of them are moved down together. The default trial, which no scheduler stops, and sick ones say
    nothing about where that is. Trials without a value stay as they are. The given ones are not changed.
    """
    better = 1 if direction == StudyDirection.MAXIMIZE else -1
    went_on = [t for t in trials if t.state == TrialState.COMPLETE and _was_let_on(t)]
    worst = min((better * t.value for t in went_on if t.value is not None), default=None)
    stopped = [t for t in trials if t.state == TrialState.PRUNED and t.intermediate_values]
    values: dict[int, float] = {}
    for step in sorted({max(t.intermediate_values) for t in stopped}, reverse=True):
        group = {t.number: better * t.intermediate_values[step] for t in stopped if max(t.intermediate_values) == step}
        highest = max(group.values())
        if worst is not None and highest >= worst:
            down = highest - worst + 1e-6 * max(1.0, abs(worst))  # a little more: behind, not beside
            group = {number: value - down for number, value in group.items()}
        worst = min(group.values())
        values |= {number: better * value for number, value in group.items()}
    return [_completed(t, values[t.number]) if t.number in values else t for t in trials]


def _was_let_on(trial: FrozenTrial) -> bool:
    return not trial.user_attrs.get("is_default") and all(value <= 0 for value in trial.constraints.values())


def _completed(trial: FrozenTrial, value: float) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.value = TrialState.COMPLETE, value
    return shown
