"""How commands begin and end: imports without a search for garbage, and an end that waits for nothing."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from tuner.cli.process import quick_imports
from tuner.cluster import head_imports, worker_imports
from tuner.cluster.start import FOR_ALL, FOR_HEADS


def test_nothing_is_collected_meanwhile():
    """Afterwards it is again, whatever happened."""
    with pytest.raises(ImportError), quick_imports():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_workers_import_what_trials_need():
    """By the one module that they are told to import."""
    assert (head_imports.__name__, worker_imports.__name__) == (FOR_HEADS, FOR_ALL)
    assert head_imports.trainable.trial.PairTrial
    assert worker_imports.trainable.trial.PairTrial and worker_imports.trainable.model.backbones.timm


def test_a_command_ends_with_its_code_and_what_it_printed():
    """What was to be done at the end is done, and nothing printed is lost in a pipe."""
    code = (
        "import atexit; from tuner.cli.process import leave; atexit.register(print, 'at the end'); print(1); leave(3)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, "1\nat the end\n")
