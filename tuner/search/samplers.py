"""Optuna's samplers by name, and the file that a study is kept in."""

from __future__ import annotations

import warnings

import optuna


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of that name, seeded. TPE and GP look at running trials, so parallel suggestions differ."""
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=6)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "qmc":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_asynchronous_seeding=False)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=6)
