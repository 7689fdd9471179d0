"""The samplers that have a short name: a class of optuna.samplers, and how it is set up here. A new one is a line here."""

from __future__ import annotations

from typing import Any

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    # Both look at running trials, so that parallel suggestions differ. TPE's groups: parameters that depend on another
    # one are drawn together with those that are there whenever they are.
    "tpe": ("TPESampler", {"constant_liar": True, "multivariate": True, "group": True, "n_startup_trials": 6}),
    "gp": ("GPSampler", {"n_startup_trials": 6}),
    "random": ("RandomSampler", {}),
    "qmc": ("QMCSampler", {"scramble": True, "warn_asynchronous_seeding": False}),
}


def may_be_sampler(name: str) -> bool:
    """Whether the name is one of these, or looks like a class; whether there is such a class is known with Optuna only."""
    return name in SAMPLERS or ":" in name or name.endswith("Sampler")
