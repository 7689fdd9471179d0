"""A peer's searcher in an environment of its own: JSON lines on stdin and stdout. Standard library and the peer only.

    python quality_peer_process.py PEER

begin {method, blocks, epochs, seed, default} starts a search; ask gives {trial, values, stop, after}, or {wait}, or
{done}; report {trial, epoch, auc, finished, sick} gives {goes_on}. A method that stops nobody ignores all epochs but the last.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import sys
import warnings
from datetime import datetime
from typing import Any

import numpy as np

RANGES: dict[str, tuple[float, float] | None] = {
    "learning_rate": (1e-5, 1e-1),
    "temperature": (0.01, 1.0),
    "trainable_blocks": None,
    "backbone_lr_ratio": (1e-3, 1.0),
}
"""By its logarithm each; trainable_blocks is whole, from 0 to the problem's number. A flat space: none depends on another."""


def ranges(blocks: int) -> dict[str, tuple[float, float] | None]:
    """The problem's parameters."""
    return {name: span for name, span in RANGES.items() if blocks or name in ("learning_rate", "temperature")}


class Ax:
    """Ax's client with the generation strategy that it chooses by itself; nothing is stopped early."""

    package = "ax-platform"

    def __init__(self, begin: dict[str, Any]) -> None:
        from ax.api.client import Client
        from ax.api.configs import RangeParameterConfig

        self.client = Client(random_seed=begin["seed"])
        self.client.configure_experiment(
            [
                RangeParameterConfig(name, (0, begin["blocks"]), "int")
                if span is None
                else RangeParameterConfig(name, span, "float", scaling="log")
                for name, span in ranges(begin["blocks"]).items()
            ]
        )
        self.client.configure_optimization(objective="auc")
        self.default: dict[str, Any] | None = begin["default"]

    def ask(self) -> dict[str, Any]:
        """The default first, then what the client generates."""
        if self.default:
            values, self.default = self.default, None
            return {"trial": str(self.client.attach_trial(values)), "values": values}
        given = self.client.get_next_trials(max_trials=1)
        if not given:
            return {"wait": True}
        ((index, values),) = given.items()
        return {"trial": str(index), "values": values}

    def report(self, trial: str, epoch: int, auc: float, finished: bool, sick: str | None) -> bool:
        """The last epoch's value, or that it failed."""
        if sick:
            self.client.mark_trial_failed(int(trial))
        elif finished:
            self.client.complete_trial(int(trial), raw_data={"auc": auc})
        return True


class SyneTune:
    """Syne Tune's schedulers with their own defaults: grace period 1, reduction factor 3."""

    package = "syne-tune"

    def __init__(self, begin: dict[str, Any]) -> None:
        from syne_tune.config_space import loguniform, randint
        from syne_tune.optimizer import baselines

        space = {
            name: randint(0, begin["blocks"]) if span is None else loguniform(*span)
            for name, span in ranges(begin["blocks"]).items()
        }
        arguments: dict[str, Any] = {"metric": "auc", "max_t": begin["epochs"], "random_seed": begin["seed"]}
        arguments["points_to_evaluate"] = [begin["default"]]
        self.old = begin["method"] == "MOBSTER"  # of the releases that still have it: other names for the same
        if self.old:
            arguments |= {"mode": "max", "resource_attr": "epoch", "search_options": {"debug_log": False}}
        else:
            arguments |= {"do_minimize": False, "time_attr": "epoch"}
        self.scheduler = getattr(baselines, begin["method"])(space, **arguments)
        self.trials: list[Any] = []

    def ask(self) -> dict[str, Any]:
        """The scheduler's next suggestion."""
        from syne_tune.backend.trial_status import Trial

        suggestion = self.scheduler.suggest(len(self.trials)) if self.old else self.scheduler.suggest()
        if suggestion is None:
            return {"done": True}
        trial = Trial(len(self.trials), suggestion.config, datetime.now())
        self.trials.append(trial)
        self.scheduler.on_trial_add(trial)
        values = {name: suggestion.config[name] for name in RANGES if name in suggestion.config}
        return {"trial": str(trial.trial_id), "values": values}

    def report(self, trial: str, epoch: int, auc: float, finished: bool, sick: str | None) -> bool:
        """What Syne Tune's tuner would call."""
        shown = self.trials[int(trial)]
        if sick:
            self.scheduler.on_trial_error(shown)
            return False
        result = {"epoch": epoch, "auc": auc}
        if finished:
            if self.old:
                self.scheduler.on_trial_result(shown, result)
            self.scheduler.on_trial_complete(shown, result)
            return False
        if self.scheduler.on_trial_result(shown, result) != "STOP":
            return True
        self.scheduler.on_trial_remove(shown)
        return False


class NePS:
    """PriorBand around the default configuration, its first trial in full; promoted trials go on where they stopped."""

    package = "neural-pipeline-search"

    def __init__(self, begin: dict[str, Any]) -> None:
        import neps

        prior, names = begin["default"], ranges(begin["blocks"])
        fields = {
            name: neps.Integer(0, begin["blocks"], prior=prior[name], prior_confidence="medium")
            if span is None
            else neps.Float(*span, log=True, prior=prior[name], prior_confidence="medium")
            for name, span in names.items()
        }
        space = type("Space", (neps.PipelineSpace,), fields | {"epochs": neps.IntegerFidelity(1, begin["epochs"])})()
        self.optimizer = neps.AskAndTell(neps.algorithms.priorband(space, sample_prior_first="highest_fidelity"))
        self.names = list(names)
        self.stop: dict[str, int] = {}

    def ask(self) -> dict[str, Any]:
        """The next configuration and how far to train it."""
        trial = self.optimizer.ask()
        name, before = trial.metadata.id, trial.metadata.previous_trial_id
        self.stop[name] = int(trial.config["epochs"])
        values = {parameter: trial.config[parameter] for parameter in self.names}
        return {"trial": name, "values": values, "stop": self.stop[name], "after": before}

    def report(self, trial: str, epoch: int, auc: float, finished: bool, sick: str | None) -> bool:
        """The value at the epoch that was asked for."""
        if sick:
            self.optimizer.tell(trial, RuntimeError(sick))
        elif epoch >= self.stop[trial]:
            self.optimizer.tell(trial, {"objective_to_minimize": -auc, "cost": epoch})
        return epoch < self.stop[trial]


PEERS: dict[str, type[Any]] = {"ax": Ax, "syne_tune": SyneTune, "neps": NePS}


def plain(values: dict[str, Any]) -> dict[str, float]:
    """Numbers as JSON has them."""
    return {name: int(value) if name == "trainable_blocks" else float(value) for name, value in values.items()}


def answer(peer: type[Any], state: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """One request."""
    kind = request.pop("kind")
    if kind == "version":
        return {"version": f"{peer.package} {importlib.metadata.version(peer.package)}"}
    if kind == "begin":
        seed_all(request["seed"])
        state["search"] = peer(request)
        return {}
    if kind == "ask":
        given: dict[str, Any] = state["search"].ask()
        return given | {"values": plain(given["values"])} if "values" in given else given
    return {"goes_on": bool(state["search"].report(**request))}


def seed_all(seed: int) -> None:
    """Every global generator: not all peers take a seed."""
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def main() -> None:
    """Answer until stdin ends. What the peer prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    peer = PEERS[sys.argv[1]]
    state: dict[str, Any] = {}
    for line in sys.stdin:
        channel.write(json.dumps(answer(peer, state, json.loads(line))) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
