"""Experiment trackers, through Ray Tune's own callbacks for them. A new one is a function here and a line in TRACKERS.

Those callbacks take numbers and hardly any text, so each of them is taught to keep a trial's verdict.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray.tune import Callback

from trainable.errors import InputError
from tuner.search.watching.relay import Relay

_PROJECT = "twoview-tuner"


@dataclass(frozen=True)
class Tracker:
    """What keeps trials for later: the package that it needs, and how its callback is made."""

    package: str
    make: Callable[[str, Path], Callback]
    """Of a run's name and the tracker's folder, which is there."""
    look: str
    """The command that shows it; {} is the folder."""
    shared: bool = True
    """One folder for all runs."""


def _tensorboard(run: str, folder: Path) -> Callback:
    from ray.tune.logger import TBXLoggerCallback
    from tensorboardX import SummaryWriter

    class TensorBoard(TBXLoggerCallback):
        def log_trial_end(self, trial: Any, failed: bool = False) -> None:
            super().log_trial_end(trial, failed)
            with SummaryWriter(trial.local_path, filename_suffix=".verdict") as writer:
                writer.add_text("verdict", trial.verdict)

    return TensorBoard()  # type: ignore[no-untyped-call]


def _mlflow(run: str, folder: Path) -> Callback:
    from mlflow import MlflowClient
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db"
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _PROJECT

    class MLflow(MLflowLoggerCallback):
        def log_trial_end(self, trial: Any, failed: bool = False) -> None:
            super().log_trial_end(trial, failed)
            client = MlflowClient(uri)
            places = [found.experiment_id for found in client.search_experiments(filter_string=f"name = '{experiment}'")]
            wanted = f"tags.run = '{run}' and params.number = '{trial.config['number']}'"
            for latest in client.search_runs(places, wanted, order_by=["start_time DESC"], max_results=1):
                client.set_tag(latest.info.run_id, "verdict", trial.verdict)

    return MLflow(tracking_uri=uri, experiment_name=experiment, tags={"run": run})


def _wandb(run: str, folder: Path) -> Callback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    mode = os.environ.get("WANDB_MODE", "online")
    if mode == "online" and not ("WANDB_API_KEY" in os.environ or _knows_login("api.wandb.ai")):
        raise InputError(
            "--log-to wandb: no key of W&B is known here; valid is a login (`wandb login`, or WANDB_API_KEY), or "
            "WANDB_MODE=offline, which keeps everything on this machine for `wandb sync`. Set one of them."
        )
    project = os.environ.get("WANDB_PROJECT", _PROJECT)

    class WandB(WandbLoggerCallback):
        def log_trial_end(self, trial: Any, failed: bool = False) -> None:
            said = {"training_iteration": trial.epochs_trained, "config": {"verdict": trial.verdict}}
            self.log_trial_result(trial.epochs_trained, trial, said)  # Ray takes text for W&B's configuration only
            super().log_trial_end(trial, failed)

    return WandB(project=project, group=run, dir=str(folder), mode=mode)


def _knows_login(host: str) -> bool:
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc().authenticators(host) is not None
    return False


def _aim(run: str, folder: Path) -> Callback:
    from aim import Repo, Run
    from aim.sdk.types import QueryReportMode
    from ray.tune.logger.aim import AimLoggerCallback

    class Aim(AimLoggerCallback):
        def log_trial_end(self, trial: Any, failed: bool = False) -> None:
            super().log_trial_end(trial, failed)
            own = f"run.trial_id == '{trial.trial_id}'"
            quiet = QueryReportMode.DISABLED
            for found in Repo.from_path(str(folder)).query_runs(own, report_mode=quiet).iter_runs():
                again = Run(found.run.hash, repo=str(folder), system_tracking_interval=None)
                again["verdict"] = trial.verdict
                again.close()

    return Aim(repo=str(folder), experiment_name=run)


TRACKERS = {
    "tensorboard": Tracker("tensorboardX", _tensorboard, "tensorboard --logdir {}", shared=False),
    "mlflow": Tracker("mlflow", _mlflow, "mlflow ui --backend-store-uri sqlite:///{}/mlflow.db"),
    "wandb": Tracker("wandb", _wandb, "wandb sync {}/wandb/offline-*"),
    "aim": Tracker("aim", _aim, "aim up --repo {}"),
}
"""By the names of --log-to."""


def check_installed(names: Sequence[str]) -> None:
    """InputError for a tracker whose package is not installed here."""
    for name in names:
        if find_spec(TRACKERS[name].package) is None:
            raise InputError(
                f"--log-to {name} needs the package {TRACKERS[name].package}, which is not installed; valid are trackers whose "
                f"packages are. Install it (pip install 'twoview-tuner[{name}]'), or leave --log-to out."
            )


def tracked(names: Sequence[str], run: str, folder: Path) -> list[Callback]:
    """The callbacks of these trackers, each with a folder of its own below `folder`. InputError where one lacks a login."""
    made: list[Callback] = []
    for name in names:
        own = _folder(name, run, folder)
        own.mkdir(parents=True, exist_ok=True)
        made.append(Relay(TRACKERS[name].make(run, own), own))
    return made


def where(names: Sequence[str], run: str, folder: Path) -> dict[str, str]:
    """By tracker the command that shows what it has."""
    return {name: TRACKERS[name].look.format(_folder(name, run, folder)) for name in names}


def _folder(name: str, run: str, folder: Path) -> Path:
    return folder / name if TRACKERS[name].shared else folder / name / run
