"""The address of a cluster to join: does a Ray answer there, and does it want a token? Told within seconds, without Ray."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

from trainable.errors import InputError

_TIMEOUT_S = 5.0
_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""What a head node of Ray answers to whoever has its token; a server of another kind does not know it."""
CLIENT = "Tune would be run in the cluster, where neither the data nor the results of this machine are"


def check_address(address: str | None) -> None:
    """Raise InputError within 15 s if no Ray that lets us in answers at a host:port address, or if it is a Ray client's.

    Where the cluster asks for a token and there is one, RAY_AUTH_MODE is set, so that Ray shows it.
    """
    if address in (None, "auto"):
        return
    if address.startswith("ray://"):
        raise InputError(
            f"--address is {address!r}, a Ray client's, which cannot run a search: {CLIENT}; valid are host:port and auto. Run "
            "the command on a machine of the cluster, or send it there with `ray job submit`."
        )
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InputError(
            f"--address is {address!r}; valid are host:port and auto. "
            "`ray start --head` prints the address of the cluster that it starts."
        )
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_S)):
            pass
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be a host's
        raise InputError(
            f"--address {address}: nothing answers there ({error}). Start a cluster with `ray start --head` and give the "
            "address that it prints, or leave --address out to run on this machine."
        ) from error
    _check_ray(address, f"{host}:{port}")


def _check_ray(address: str, target: str) -> None:
    """InputError if it is no Ray that answers, or one that does not let us in; ray.init would wait for half a minute."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return  # nobody can tell without its certificates
    source, token = _token()
    shown = token if os.environ.get("RAY_AUTH_MODE") == "token" else None
    answer = _answer(target, shown)
    if answer == "UNAUTHENTICATED" and token and not shown and "RAY_AUTH_MODE" not in os.environ:
        answer = _answer(target, token)
        if answer != "UNAUTHENTICATED":
            os.environ["RAY_AUTH_MODE"] = "token"
    if answer == "UNAUTHENTICATED":
        had = f"the one in {source} is not its" if token else f"there is none in {source}"
        if token and os.environ.get("RAY_AUTH_MODE", "token") != "token":
            had = f"RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']!r}, so that none is shown"
        raise InputError(
            f"--address {address}: the cluster there asks for a token, and {had}. Copy ~/.ray/auth_token from the machine of "
            "`ray start --head` to the same place here, and set RAY_AUTH_MODE=token."
        )
    if answer != "OK":
        raise InputError(
            f"--address {address}: something answers there, but it is no Ray cluster. `ray start --head` prints the address "
            "of the cluster that it starts: host and port (6379 unless another is asked for)."
        )


def _answer(target: str, token: str | None) -> str:
    """The name of gRPC's status for a question that every head node of Ray answers."""
    import grpc

    shown = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(target) as channel:
        try:
            channel.unary_unary(_ALIVE)(b"", timeout=_TIMEOUT_S, metadata=shown, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _token() -> tuple[str, str | None]:
    """Where Ray looks for a token, in its order, and the token there, if any."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return "the environment variable RAY_AUTH_TOKEN", token.strip()
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    try:
        return file, Path(file).expanduser().read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return file, None
