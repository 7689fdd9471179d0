"""What tests of finished runs share."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path

import pytest

from tests.tools import finished_run
from tests.tools.finished_run import COMPLETE, RUN, FinishedRun
from tuner.export import main


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run with a trial of every state, to be read; what is to be changed is copied."""
    return finished_run.make(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def model(run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The completed trial's model, exported to this folder; ONNX too where it can be written."""
    to, said = tmp_path_factory.mktemp("exported") / "model", io.StringIO()
    onnx = ["--onnx"] if importlib.util.find_spec("onnxscript") else []
    with contextlib.redirect_stdout(said):
        assert main([RUN, str(COMPLETE), "--to", str(to), "--results", str(run.root), *onnx]) == 0
    assert not onnx or "model.onnx" in said.getvalue()
    return to
