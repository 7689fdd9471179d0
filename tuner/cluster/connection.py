"""Ray: started here or joined by its address; what it has, and how to look at its dashboard."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainable.errors import InputError
from tuner.cli.run_options import HardwareOptions
from tuner.cluster.address import CLIENT, check_address
from tuner.cluster.start import start

_DASHBOARD_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Cluster:
    """A connected Ray cluster."""

    address: str | None
    nodes: int
    cpus: float
    gpus: float
    object_store_gb: float
    """Of the node that has least, in 10⁹ bytes."""
    dashboard_url: str | None
    found: bool = False
    """This process was connected to it before, as a notebook may be: it is left as it is."""

    @property
    def login(self) -> str:
        """How to get past the dashboard's token page, or an empty text where there is none."""
        if self.dashboard_url is None or os.environ.get("RAY_AUTH_MODE") != "token":  # Ray sets it when it connects
            return ""
        if os.environ.get("RAY_AUTH_TOKEN"):
            return "it asks for a token: the one in the environment variable RAY_AUTH_TOKEN"
        file = os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")
        return f"it asks for a token: `ray get-auth-token` prints the content of {file}"


def _check_port(port: int | None) -> None:
    """Raise InputError if the dashboard cannot have the port that was asked for; None leaves the choice to Ray."""
    if port is None:
        return
    try:
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--dashboard-port {port} cannot be had ({error}); valid is a free port up to 65535. "
            "Give another one, or leave it out: then a free one is taken."
        ) from error


def is_connected() -> bool:
    """Whether this process is connected to a Ray already. Ray is not imported for the question."""
    asked = getattr(sys.modules.get("ray"), "is_initialized", None)
    return asked is not None and bool(asked())


def _check_not_another(options: HardwareOptions) -> None:
    """InputError for a connection that is a Ray client's, or an address beside one that is there already."""
    from ray.util.client import ray as client

    if client.is_connected():
        raise InputError(
            f"this process is connected to Ray as a client (ray://), which cannot run a search: {CLIENT}; valid is a process "
            "on a machine of the cluster. Call ray.shutdown() before, or send the script there with `ray job submit`."
        )
    if options.address not in (None, "auto"):
        raise InputError(
            f"--address is {options.address!r}, but this process is connected to a Ray already; valid is to leave the address "
            "out, which uses that one. Leave it out, or call ray.shutdown() before."
        )


def connect(options: HardwareOptions, heads_only: bool = False) -> Cluster:
    """Start Ray on this machine, or join the cluster at `options.address`; one that this process is connected to is used.

    heads_only: see `start`. Raises InputError if the address cannot be joined, and RayDidNotStartError where Ray does not
    start here.
    """
    # Ray's future default; without it Ray warns at every start
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    context, found = None, is_connected()
    if found:
        _check_not_another(options)
        import ray
    elif options.address is None:
        _check_port(options.dashboard_port)
        context = start(not options.no_dashboard, options.dashboard_port, options.cpus_per_trial, heads_only)
        import ray
    else:
        check_address(options.address)
        import ray

        try:
            context = ray.init(
                address=options.address, runtime_env=_packages(), logging_level=logging.ERROR, log_to_driver=False
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"--address {options.address}: no Ray cluster could be joined there ({str(error).splitlines()[0]}). "
                "`ray status` shows a cluster's state; `ray start --head` starts one and prints its address."
            ) from error
    resources = ray.cluster_resources()
    alive = [node for node in ray.nodes() if node["Alive"]]
    return Cluster(
        address=options.address if not found or len(alive) == 1 else "auto",
        nodes=len(alive),
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        object_store_gb=min(node["Resources"].get("object_store_memory", 0.0) for node in alive) / 1e9,
        dashboard_url=_dashboard_url(getattr(context, "dashboard_url", None)),
        found=found,
    )


def _packages() -> dict[str, Any]:
    """The code that workers import, sent along so that no node needs this project installed or the same folder."""
    import trainable

    folder = Path(trainable.__file__).parent
    return {"py_modules": [str(folder.with_name(name)) for name in ("search_spaces", "trainable", "tuner")]}


def _dashboard_url(url: str | None) -> str | None:
    """The dashboard's address, or None if nothing serves there (a Ray installed without its dashboard); a slow one serves."""
    if not url:
        return None
    url = f"http://{url}" if "://" not in url else url
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=_DASHBOARD_TIMEOUT_S).close()
    except TimeoutError:
        return url
    except OSError as error:
        return url if isinstance(getattr(error, "reason", None), TimeoutError) else None
    return url


@dataclass(frozen=True)
class TrialResources:
    """What one trial gets, and how many trials run at a time."""

    cpus: int
    gpus: float
    concurrent: int
    device: str


def trial_resources(cluster: Cluster, options: HardwareOptions) -> TrialResources:
    """Divide the cluster into trials. Raises InputError if not even one trial fits, or if the device is not there."""
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if cluster.gpus and options.device != "cpu" else 0.0
    device = options.device if options.device != "auto" else ("cuda" if gpus else "cpu")
    if device not in ("cpu", "cuda"):
        raise InputError(f"--device is {options.device!r}; valid are auto, cpu and cuda. Choose one of them.")
    if device == "cuda" and not gpus:
        raise InputError(
            f"--device cuda, but the cluster has {cluster.gpus:g} GPUs and a trial gets {gpus:g}; valid is more than 0 of "
            "both. Use --device cpu, or a cluster with GPUs and --gpus-per-trial."
        )
    fits = [math.floor(cluster.cpus / options.cpus_per_trial)]
    if gpus:
        fits.append(math.floor(cluster.gpus / gpus + 1e-9))
    if min(fits) < 1:
        raise InputError(
            f"a trial asks for {options.cpus_per_trial} CPUs and {gpus:g} GPUs, but the cluster has {cluster.cpus:g} CPUs "
            f"and {cluster.gpus:g} GPUs; valid is what it has, or less. Lower --cpus-per-trial or --gpus-per-trial."
        )
    return TrialResources(options.cpus_per_trial, gpus, min(fits), device)
