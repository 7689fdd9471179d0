"""The examples in docstrings are what a person types: each runs, in a folder with the results of a small run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.tools import older_run

MODULES = (
    "trainable.columns",
    "trainable.data.read_pairs",
    "trainable.data.turntable",
    "trainable.measures",
    "trainable.metrics.spread",
    "trainable.metrics.thresholds",
    "trainable.metrics.verification",
    "trainable.model.backbones",
    "trainable.training.loop",
    "trainable.training.losses",
    "tuner.cli.named_options",
    "tuner.results.configuration",
    "tuner.results.naming",
    "tuner.results.tables",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They print what they say they do; there is at least one."""
    older_run.copy(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0 and found.failed == 0
