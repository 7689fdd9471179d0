"""What tests of finished runs share."""

from __future__ import annotations

import pytest

from tests.tools import finished_run
from tests.tools.finished_run import FinishedRun


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run with a trial of every state, to be read; what is to be changed is copied."""
    return finished_run.make(tmp_path_factory.mktemp("finished"))
