"""The space of a run: loaded, and tried at the ends of its ranges before any trial starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import search_spaces
from search_spaces import SearchSpace, SpaceError
from trainable.config import STARTS_FROM, TrialConfig
from trainable.errors import InputError
from tuner.inputs.bound_space import BoundSpace


def load_space(name: str, also: Sequence[str] = ()) -> SearchSpace:
    """The space of this name or path; InputError if there is none. also: what --also searches beside it."""
    try:
        space = search_spaces.load(name)
    except SpaceError as error:
        raise InputError(str(error)) from error
    return with_choices(space, also) if also else space


def with_choices(space: SearchSpace, also: Sequence[str]) -> SearchSpace:
    """The space, which also chooses among these values: NAME=VALUE,VALUE each. InputError for what is none of that.

    >>> with_choices(search_spaces.load("temperature"), ["epochs"])
    Traceback (most recent call last):
    trainable.errors.InputError: --also is 'epochs'; valid is NAME=VALUE,VALUE with two or more values, as \
backbone=resnet18,convnext_atto. Give it so.
    """
    chosen: dict[str, list[Any]] = {}
    for text in also:
        name, _, values = text.partition("=")
        name = name.strip().replace("-", "_")
        given = list(dict.fromkeys(_value(word.strip()) for word in values.split(",") if word.strip()))
        if not name or len(given) < 2 or name in chosen:
            why = "; the name stands there twice" if name in chosen else ""
            raise InputError(
                f"--also is {text!r}{why}; valid is NAME=VALUE,VALUE with two or more values, as "
                "backbone=resnet18,convnext_atto. Give it so."
            )
        chosen[name] = given

    def suggest(trial: Any, blocks: int) -> dict[str, Any]:
        found = space.suggest(trial, blocks)
        for name, values in chosen.items():
            if name in found:
                raise SpaceError(f"--also {name}: the space {space.name} gives it already. Leave it out of --also.")
            found[name] = trial.suggest_categorical(name, values)
        return found

    return replace(space, function=suggest)


def _value(word: str) -> Any:
    """A number, none, or a text."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(word)
    return None if word in ("none", "None") else word


def examine(
    space: SearchSpace, fixed: TrialConfig, blocks: int, own: Mapping[str, Any] | None = None
) -> BoundSpace:
    """Try the space: every configuration it gives, also at the ends of its ranges, must be one that can be trained.

    own: what the run says of STARTS_FROM. All that trials can start from is found: each combination is tried.
    """
    try:
        probe = space.probe(blocks, every=STARTS_FROM)
    except SpaceError as error:
        raise InputError(str(error)) from error
    given = [*probe.configurations, *(corner.configuration for corner in probe.corners)]
    tried = [_check(space, fixed, configuration, blocks) for configuration in given]
    searched = tuple(
        name for name in TrialConfig.names() if len({repr(g[name]) if name in g else None for g in given}) > 1
    )
    if not searched:
        raise InputError(
            f"the space {space.name} gives the same configuration every time: {given[0]}. "
            f"Let suggest in {space.path} vary at least one of: {', '.join(TrialConfig.names())}."
        )
    for name in STARTS_FROM:
        if name in given[0] and name not in searched:
            raise InputError(
                f"the space {space.name} gives all trials the same {name}, {given[0][name]!r}; valid is to suggest it, or to "
                f"leave it to the run. Take it out of {space.path} and give --{name.replace('_', '-')} instead."
            )
    bound = BoundSpace(space, fixed, blocks, searched, probe.distributions, own or {})
    starts = (bound.started(config).start for config in [bound.default, *tried])
    return replace(bound, choices=tuple(dict.fromkeys(starts)))


def _check(space: SearchSpace, fixed: TrialConfig, configuration: dict[str, Any], blocks: int) -> TrialConfig:
    for name in ("seed", "epochs", "batch_size"):
        if name in configuration:
            why = "it belongs to the run" if name != "batch_size" else "chance of the loss is ln(batch_size)"
            raise InputError(
                f"the space {space.name} sets {name}, which must be the same for all trials ({why}). "
                f"Take it out of {space.path} and give --{name.replace('_', '-')} instead."
            )
    try:
        config = TrialConfig.of({name: getattr(fixed, name) for name in TrialConfig.names()} | configuration)
    except InputError as error:
        raise InputError(f"the space {space.name}: {error}") from error
    if config.trainable_blocks is not None and config.trainable_blocks > blocks:
        raise InputError(
            f"the space {space.name}: trainable_blocks is {config.trainable_blocks}, but the backbone has {blocks} "
            f"blocks; valid is 0 to {blocks}. A space's suggest(trial, blocks) is told the number."
        )
    return config
