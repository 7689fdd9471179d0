"""An address to join: whether a Ray is there that lets us in is known before Ray is asked; beside a server that is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from trainable.errors import InputError
from tuner.cluster.address import check_address

TOKEN = "7" * 64


class Head(grpc.GenericRpcHandler):
    """Answers what a head node of Ray does, to whoever shows the token; nothing to others, and nothing else."""

    def __init__(self, token: str | None, knows: bool = True) -> None:
        self.token, self.knows = token, knows

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """gRPC's hook."""
        if not self.knows or handler_call_details.method != "/ray.rpc.NodeInfoGcsService/CheckAlive":
            return None

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            shown = dict(context.invocation_metadata()).get("authorization")
            if self.token is not None and shown != f"Bearer {self.token}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def serve() -> Iterator:
    """Starts a server with this handler; returns its address."""
    started = []

    def start(handler: Head) -> str:
        server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in started:
        server.stop(None).wait()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a token, and an environment that names none."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def put_token(home: Path, token: str) -> None:
    (home / ".ray").mkdir(exist_ok=True)
    (home / ".ray" / "auth_token").write_text(token)


def test_a_cluster_without_a_token_is_joined_as_it_is(serve, home, monkeypatch):
    """Whether or not a token lies here, which is not shown to it."""
    for _ in range(2):
        check_address(serve(Head(None)))
        assert "RAY_AUTH_MODE" not in os.environ
        put_token(home, TOKEN)


def test_the_right_token_is_shown_though_nobody_said_so(serve, home):
    """Ray itself would not, and wait for half a minute."""
    put_token(home, TOKEN)
    check_address(serve(Head(TOKEN)))
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("mode", [None, "token"])
@pytest.mark.parametrize(
    ("given", "said"), [(None, "there is none in"), ("8" * 64, "is not its"), ("", "there is none in")]
)
def test_no_or_another_token_is_told_with_what_to_do(serve, home, monkeypatch, given, said, mode):
    """Where it was looked for, and where the right one lies."""
    if given is not None:
        put_token(home, given)
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(InputError, match=rf"asks for a token, and .*{said}.*~/.ray/auth_token.*RAY_AUTH_MODE=token"):
        check_address(serve(Head(TOKEN)))


def test_a_mode_that_shows_no_token_is_named(serve, home, monkeypatch):
    """It is what the user asked for; it is not overruled."""
    put_token(home, TOKEN)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(InputError, match="RAY_AUTH_MODE is 'disabled', so that none is shown"):
        check_address(serve(Head(TOKEN)))


def test_another_server_of_the_same_kind_is_none_of_rays(serve):
    """It speaks gRPC, but does not know Ray's question."""
    address = serve(Head(None, knows=False))
    with pytest.raises(InputError, match="it is no Ray cluster"):
        check_address(address)
