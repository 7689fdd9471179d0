"""The space of a run: loaded, and tried at the ends of its ranges before any trial starts."""

from __future__ import annotations

from typing import Any

import search_spaces
from search_spaces import SearchSpace, SpaceError
from trainable.config import TrialConfig
from trainable.errors import InputError
from tuner.inputs.bound_space import BoundSpace


def load_space(name: str) -> SearchSpace:
    """The space of this name or path; InputError if there is none."""
    try:
        return search_spaces.load(name)
    except SpaceError as error:
        raise InputError(str(error)) from error


def examine(space: SearchSpace, fixed: TrialConfig, blocks: int) -> BoundSpace:
    """Try the space: every configuration it gives, also at the ends of its ranges, must be one that can be trained."""
    try:
        probe = space.probe(blocks)
    except SpaceError as error:
        raise InputError(str(error)) from error
    given = [*probe.configurations, *(corner.configuration for corner in probe.corners)]
    for configuration in given:
        _check(space, fixed, configuration, blocks)
    searched = tuple(
        name for name in TrialConfig.names() if len({repr(g[name]) if name in g else None for g in given}) > 1
    )
    if not searched:
        raise InputError(
            f"the space {space.name} gives the same configuration every time: {given[0]}. "
            f"Let suggest in {space.path} vary at least one of: {', '.join(TrialConfig.names())}."
        )
    return BoundSpace(space, fixed, blocks, searched, probe.distributions)


def _check(space: SearchSpace, fixed: TrialConfig, configuration: dict[str, Any], blocks: int) -> None:
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
