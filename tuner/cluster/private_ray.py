"""Names of Ray that Ray does not promise to keep, all of them: each with its reason, each lost without harm to a run.

- `ray.tune.execution.class_cache.DEFAULT_ENV_VARS`: workers that are started in advance serve trials too.
- `ray._private.utils.get_num_cpus`: the cores that Ray finds here, where a container has fewer than the machine.
- `Trial.temporary_state.ray_actor`: the tasks of a trial are named after it in the Ray dashboard.
"""

from __future__ import annotations

import logging
import os
from typing import Any

_LOG = logging.getLogger(__name__)


def let_waiting_workers_train() -> None:
    """Tune gives trials an environment variable of its own, so Ray would start a new worker for each, some seconds.

    The variable serves PyTorch Lightning, which is not used here.
    """
    try:
        from ray.tune.execution.class_cache import DEFAULT_ENV_VARS

        DEFAULT_ENV_VARS.clear()
    except (ImportError, AttributeError) as error:
        _LOG.warning("this Ray has changed (%s): a trial's worker starts some seconds later", error)


def machine_cores() -> int:
    """The cores that Ray would use here: the machine's, or the container's."""
    try:
        from ray._private.utils import get_num_cpus

        return int(get_num_cpus(override_docker_cpu_warning=True))
    except (ImportError, TypeError) as error:
        _LOG.warning("this Ray has changed (%s): a container's share of cores is not known", error)
        return os.cpu_count() or 1


def name_tasks(trial: Any, title: str) -> None:
    """Name the training tasks of Tune's trial in the dashboard. A reused actor keeps its name, so its tasks carry it."""
    try:
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            unnamed = actor.__dict__.setdefault("_unnamed_train", actor.train)
            actor.train = unnamed.options(name=title)
    except AttributeError as error:
        _LOG.warning("this Ray has changed (%s): the dashboard does not name the tasks of %s", error, title)
