"""A search from Python: in a notebook, on a Ray that runs already, ended by an exception and by Ctrl-C, and gone on with."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
import ray
from nbclient import NotebookClient
from ray import tune

from tests.tools.real_ray import BACKBONE, ROOT
from tuner import Run, run_search

EPOCHS, TRIALS = 3, 2
SMALL = {
    "backbone": BACKBONE.name, "image_size_px": 16, "batch_size": 16, "keep_sick": True, "checkpoint_s": 0,
    "epochs": EPOCHS, "trials": TRIALS, "sampler": "random", "scheduler": "none",
}  # fmt: skip


class Mistaken(tune.Callback):
    """A callback with a mistake, which is met before the first trial begins."""

    def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
        raise LookupError("a callback's mistake")


class Interrupts(tune.Callback):
    """As Ctrl-C at the first report."""

    done = False

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if not self.done:
            self.done = True
            os.kill(os.getpid(), signal.SIGINT)


def test_a_search_that_ends_by_an_exception_or_ctrl_c_goes_on(pairs: Path, cluster: Any, tmp_path: Path):
    """Both reach the caller, the Ray that was there is left as it was, and the last call finishes the run."""
    where = {"results": tmp_path / "results"}
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with pytest.raises(LookupError, match="a callback's mistake"):
            run_search(data=pairs, callbacks=[Mistaken()], **SMALL, **where)
        begun = Run("temperature", tmp_path / "results")
        assert begun.state == "interrupted" and "a callback's mistake" in begun.row["error"] and len(begun.trials) == 0
        with pytest.raises(KeyboardInterrupt, match=f"run_search\\(resume='{begun.name}'\\)"):
            run_search(resume="latest", callbacks=[Interrupts()], **where)
        assert Run(results=tmp_path / "results").state == "interrupted"
        ended = run_search(resume=begun.name, **where)
        assert ray.is_initialized(), "it is the caller's"
    finally:
        ray.shutdown()
    assert (ended.name, ended.state, len(ended.trials)) == (begun.name, "finished", TRIALS)
    assert ended.epochs.groupby("trial").size().tolist() == [EPOCHS] * TRIALS, "no epoch is lost or done twice"


WEIGHED = {
    "objectives": "val_recall_at_1,seconds", "limits": ["parameters<=1e9"], "threshold_for": "eer", "live": True,
}  # fmt: skip
CELLS = (
    "import ray; address = ray.init(address={address!r}, log_to_driver=False).address_info['address']",
    "import pandas as pd\nfrom tuner import run_search\npairs = pd.read_csv('pairs.csv')",
    'def gentle(trial):\n    """Is a gentle temperature better?"""\n'
    "    return {{'temperature': trial.suggest_float('temperature', 0.05, 1.0, log=True)}}",
    "run = run_search(gentle, data=pairs, results={results!r}, **{small!r})",
    "run",
    "print(ray.is_initialized(), run.state, len(run.trials), run.winner.trial, run.verdict.action)",
)


def test_a_notebook_searches_and_shows_the_page(pairs: Path, cluster: Any, tmp_path: Path, monkeypatch: Any):
    """A frame of pairs beside the notebook, a function of a cell, a Ray that the notebook joined; progress is printed. What
    the options asked for is in the run's row and on its page, which was live meanwhile."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    results = tmp_path / "results"
    given = {"address": cluster.address, "results": str(results), "small": SMALL | WEIGHED}
    cells = [nbformat.v4.new_code_cell(cell.format(**given)) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(pairs.parent)}}).execute()
    *_, searched, shown, said = (cell.outputs for cell in notebook.cells)
    printed = "".join(part.get("text", "") or part.get("data", {}).get("text/plain", "") for part in searched)
    assert "trial 001" in printed and "Is a gentle temperature better?" in printed
    page = shown[0]["data"]["text/html"]
    assert page.startswith("<iframe srcdoc=") and "What it costs" in page and "It was solved for eer" in page
    assert "live page" in printed and "seconds" in printed
    row, trials = (pd.read_parquet(results / name) for name in ("runs", "trials"))
    row = row.iloc[0]
    assert (row.metric, list(row.objectives), row.threshold_for) == ("val_recall_at_1", ["val_recall_at_1", "seconds"], "eer")
    assert list(row.limits) == ["parameters<=1e+09"] and (trials.objective == trials.val_recall_at_1).all()
    words = said[0]["text"].split()
    assert words[:4] == ["True", "finished", str(TRIALS), str(row.winner_trial)]
    assert row.space == "gentle" and "suggest = gentle" in row.space_source
