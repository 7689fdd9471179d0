"""The exported folder on the Hugging Face Hub: its own client, against a server of this machine that speaks for it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.tools.finished_run import COMPLETE, RUN, FinishedRun
from tuner.export import main

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "somebody/two-views"


class Hub(BaseHTTPRequestHandler):
    """What the Hub answers to an upload: every file travels in the commit itself, in base64."""

    def do_POST(self) -> None:
        """A new repository, what to send how, and the commit."""
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = self.server.seen
        seen.append((self.path, content, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            return self.answer(200, {"url": f"{self.here()}/{NAME}", "name": NAME, "id": NAME})
        if "/preupload/" in self.path:
            asked = json.loads(content)["files"]
            return self.answer(
                200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
            )
        return self.answer(
            200, {"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.here()}/{NAME}/commit/{'0' * 40}"}
        )

    def do_GET(self) -> None:
        """Nothing is there yet."""
        self.answer(200, {"id": NAME, "sha": "0" * 40, "siblings": [], "private": True, "tags": [], "downloads": 0})

    def here(self) -> str:
        """This server's address."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, code: int, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A Hub of our own, and a person with a token for it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def exported(run: FinishedRun, folder: Path, *more: str) -> int:
    """The command's exit code."""
    return main([RUN, str(COMPLETE), "--to", str(folder), "--results", str(run.root), "--push-to-hub", NAME, *more])


def test_the_folder_s_own_files_are_sent_to_a_private_repository(
    run: FinishedRun, hub: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Whole, and no other file that lies in the folder; its address is printed."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert exported(run, folder, "--force") == 0, capsys.readouterr()
    assert f"sent       http://127.0.0.1:{hub.server_port}/{NAME}" in capsys.readouterr().out
    made = json.loads(next(content for path, content, _ in hub.seen if path == "/api/repos/create"))
    assert made["name"] == NAME.partition("/")[2] and (made.get("visibility") == "private" or made.get("private"))
    commit = next(content for path, content, _ in hub.seen if "/commit/" in path)
    lines = [json.loads(line) for line in commit.splitlines()]
    sent = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
    }
    assert sent == {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "notes.txt"}


def test_its_readme_is_a_card_that_the_hub_s_library_reads(run: FinishedRun, hub: object, tmp_path: Path) -> None:
    """Library, task, tags and what was measured, in the library's own words."""
    assert exported(run, tmp_path / "model") == 0
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.library_name == "timm" and card.data.pipeline_tag == "image-feature-extraction"
    row = run.rows(COMPLETE)
    measured = {(found.dataset_split, found.metric_type): found.metric_value for found in card.data.eval_results}
    assert measured["validation", "accuracy"] == pytest.approx(row["val_accuracy"])
    assert measured["validation", "roc_auc"] == pytest.approx(row["val_auc"])


@pytest.mark.parametrize(
    ("constant", "value", "token", "said"),
    [
        ("HF_HUB_OFFLINE", True, "hf_right", "switched off here by HF_HUB_OFFLINE"),
        ("HF_TOKEN_PATH", "/nowhere/token", "", "no token of the Hub is known here"),
        ("ENDPOINT", None, "hf_wrong", "answered: "),
        ("ENDPOINT", "http://127.0.0.1:9", "hf_right", "http://127.0.0.1:9 answered: "),
    ],
)
def test_where_nothing_can_be_sent_it_says_so_and_the_folder_stays(
    run: FinishedRun,
    hub: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    constant: str,
    value: object,
    token: str,
    said: str,
) -> None:
    """Switched off, without a token, with a wrong one, without a network: exit code 2, and how to send it later."""
    monkeypatch.setenv("HF_TOKEN", token)
    if value is not None:
        monkeypatch.setattr(f"huggingface_hub.constants.{constant}", value)
    assert exported(run, tmp_path / "model") == 2
    printed = capsys.readouterr().err
    assert said in printed and f"`hf upload {NAME} {tmp_path / 'model'}`" in printed and "Traceback" not in printed
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["a/b/c", "two views", "-x", ""])
def test_a_name_that_no_repository_can_have_is_told_at_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Before the run is even looked for."""
    assert main(["nowhere", "--to", str(tmp_path / "model"), "--push-to-hub=" + name]) == 2
    assert "is no name of a repository" in capsys.readouterr().err and not list(tmp_path.iterdir())
