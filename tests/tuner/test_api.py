"""From Python: what a run of the results is, and how a mistake in a call is told; searches are in tests/on_ray."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.tools import finished_run
from tests.tools.finished_run import FinishedRun
from trainable.errors import InputError
from tuner import Run, run_search
from tuner.analysis.advice import KEEP_DEFAULT, Advice
from tuner.cli.named_options import named_options

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(run: FinishedRun) -> FinishedRun:
    """By another name, as `run` is a word of the tests below."""
    return run


def test_a_run_is_its_tables_its_winner_and_its_verdict(made: FinishedRun):
    """Named as on the command line; the tables are those of `tuner.results`."""
    run = Run("latest", made.root)
    assert (run.name, run.state) == (finished_run.RUN, "finished")
    assert list(run.trials.trial) == list(range(7)) and {0, 1, 2, 3, 5} <= set(run.epochs.trial)
    assert len(run.scores) and set(run.scores.run) == {run.name}
    row = made.rows(finished_run.COMPLETE)
    assert run.winner.trial == finished_run.COMPLETE and run.winner.config.epochs == 2
    assert run.winner.objective == row["objective"] and run.winner.threshold == row["threshold"]
    assert isinstance(run.verdict, Advice) and run.verdict.trial == finished_run.COMPLETE
    assert run.verdict.action != KEEP_DEFAULT and run.verdict.headline in repr(run)


def test_a_notebook_shows_the_runs_page(made: FinishedRun):
    """In a frame of its own, so that neither takes the other's style."""
    shown = Run(finished_run.RUN, made.root)._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and shown.count('"') % 2 == 0
    assert finished_run.RUN in shown


def test_a_model_is_exported(made: FinishedRun, tmp_path: Path):
    """To the folder that python -m tuner.export writes."""
    folder = Run(finished_run.RUN, made.root).export(tmp_path / "model")
    assert {"model.safetensors", "config.json", "score.py"} <= {path.name for path in folder.iterdir()}


def test_a_run_that_is_not_there_is_told(made: FinishedRun):
    """With those that there are."""
    with pytest.raises(InputError, match=r"no run 'nonsense'.*run-a"):
        Run("nonsense", made.root)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trails": 3}, "no option 'trails'. Perhaps trials"),
        ({"trials": "many"}, "trials is 'many'; valid is a whole number"),
        ({"trials": 0}, "--trials is 0"),
        ({"space": "nowhere"}, "no space 'nowhere'"),
        ({"space": lambda trial: {}}, "space is a lambda"),
        ({"data": 3}, "data is of type int"),
        ({"data": pd.DataFrame({"front": ["a.png"]})}, "angle"),
        ({"sampler": "nonsense"}, "--sampler"),
        ({"resume": "nonsense"}, "nonsense"),
    ],
)
def test_a_mistake_in_a_call_is_an_input_error(tmp_path: Path, given: dict, said: str):
    """Before Ray is started; no run is begun."""
    with pytest.raises(InputError, match=said):
        run_search(**{"results": tmp_path / "results", "cache": tmp_path} | given)
    assert not (tmp_path / "results" / "runs").exists()


def test_help_and_completion_know_every_option():
    """By the names of the command line, with their defaults."""
    parameters = inspect.signature(run_search).parameters
    assert set(named_options()) <= set(parameters) and parameters["trials"].default == 16


def test_importing_tuner_imports_nothing_else():
    """What `from tuner import run_search` needs is loaded by it, and neither PyTorch nor Ray before a search is asked for."""
    code = "import sys, tuner; before = set(sys.modules); from tuner import run_search; print('tuner.api' in before)"
    code += "; print([name for name in ('torch', 'ray', 'pandas', 'numpy', 'optuna', 'tyro') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.split("\n", 1) == ["False", "[]\n"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(ImportError):
        from tuner import nonsense  # noqa: F401
