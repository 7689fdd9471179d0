"""From Python, in a script or a notebook: `run_search` as python -m tuner.run does it, and `Run`, what came of one."""

from __future__ import annotations

import dataclasses
import html
import inspect
import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainable.config import TrialConfig
from trainable.errors import InputError
from tuner.cli.named_options import from_names, named_options
from tuner.cli.process import HaltError
from tuner.cli.run_options import RunOptions
from tuner.cli.signals import INTERRUPTED

if TYPE_CHECKING:
    import pandas as pd

    from tuner.analysis.advice import Advice
    from tuner.results.one_run import WholeRun

_PAGE_HEIGHT_PX = 720


def run_search(
    space: str | os.PathLike[str] | Callable[..., Any] = "temperature",
    *,
    data: str | os.PathLike[str] | pd.DataFrame | None = None,
    callbacks: Sequence[Any] = (),
    **options: Any,
) -> Run:
    """Search, and return what came of it; what a run prints is printed.

    space: a name, the path of a .py file, or a function suggest(trial). data: a pair table's or a folder's path, a
    DataFrame with the columns front, angle and pair_label, or None for the embedded set. callbacks: of Ray Tune; they hear of
    each epoch, with the trial's configuration as `trial.config`. options: every option of python -m tuner.run by its name,
    with underscores: trials=32, backbone="resnet18", resume="latest".

    A Ray that this process is connected to is used and left as it is. Raises InputError for a mistake, before anything is
    searched; KeyboardInterrupt after Ctrl-C, when the search has ended in order: run_search(resume=NAME) goes on with it.
    """
    from tuner.inputs.given import data_option, kept_folder, space_option

    if (given := from_names(options)).output.resume is None or space != "temperature":
        folder = kept_folder(given.output.results, given.data.cache)
        options |= {"space": space_option(space, folder)}
    if data is not None:
        options |= {"data": data_option(data, kept_folder(given.output.results, given.data.cache))}
    return _searched(from_names(options), callbacks)


def _searched(options: RunOptions, callbacks: Sequence[Any]) -> Run:
    options.check()
    from tuner.search.session import run_session

    shown = ", ".join(f"{name}={value!r}" for name, value in _not_default(options).items())
    ended = run_session(options, [f"tuner.run_search({shown})"], time.time(), callbacks=callbacks)
    if ended.code == INTERRUPTED:
        raise KeyboardInterrupt(f"{ended.run} was interrupted; run_search(resume={ended.run!r}) goes on with it")
    return Run(ended.run, options.output.results)


def _not_default(options: RunOptions) -> dict[str, Any]:
    """The options that are not at their defaults, by their names."""
    given = {
        option.name: getattr(options if option.group is None else getattr(options, option.group), option.name)
        for option in named_options().values()
    }
    return {name: value for name, value in given.items() if value != named_options()[name].default}


@dataclasses.dataclass(frozen=True)
class Winner:
    """The trial that leads: what won on validation pairs, whatever the test pairs said of it, which is the verdict's."""

    trial: int
    config: TrialConfig
    threshold: float | None
    """The cosine from which on two views count as the same; None where no epoch had one."""
    objective: float
    """Its value of the run's metric."""


class Run:
    """One run of the results, of any state, as it is when it is looked at first.

    name: a run's name or the start of it, a space (its latest run), or latest. Raises InputError if there is none.
    """

    def __init__(self, name: str = "latest", results: str | os.PathLike[str] = "results") -> None:
        from tuner.results.naming import named_run
        from tuner.results.store import Store

        self.results: str = Store.at(results if isinstance(results, str) else os.fspath(results)).uri
        """Folder or URI of the tables."""
        self.name: str = named_run(self.results, name)
        _ = self._whole  # a run that is not there is told here

    @cached_property
    def _whole(self) -> WholeRun:
        from tuner.results.one_run import WholeRun

        return WholeRun.read(self.results, self.name)

    @property
    def row(self) -> dict[str, Any]:
        """The run's row of `runs`; what is missing is None."""
        return dict(self._whole.row)

    @property
    def state(self) -> str:
        """finished, interrupted, failed, running or dead."""
        return str(self._whole.row["state"])

    @property
    def winner(self) -> Winner | None:
        """The trial that leads; None where none can."""
        from tuner.results.configuration import of_row

        run = self._whole
        if run.leader is None:
            return None
        row = run.trial(run.leader) or {}
        return Winner(run.leader, of_row(row), run.threshold, row["objective"])

    @property
    def verdict(self) -> Advice:
        """What to do: use the winner, keep the default, or move only the threshold; with why, and how sure that is."""
        from tuner.analysis.advice import run_advice

        return run_advice(self._whole)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; results/README.md says what the columns hold."""
        return self._whole.trials.reset_index(drop=True)

    @property
    def epochs(self) -> pd.DataFrame:
        """One row a trial and epoch."""
        return self._whole.epochs.reset_index(drop=True)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a trial and validation pair."""
        from tuner import results

        return results.scores(self.results, [self.name])

    def export(
        self, to: str | os.PathLike[str], trial: int | None = None, *, onnx: bool = False, force: bool = False
    ) -> Path:
        """Write a trial's model (None: the winner's) to a folder that needs nothing of this project; returns the folder.

        As python -m tuner.export. Raises InputError for a mistake, and HaltError where the folder's model does not give
        the search's scores.
        """
        from tuner.cli.stored_options import ExportOptions, TrialSource
        from tuner.stored.export import export

        options = ExportOptions(
            self.name, os.fspath(to), trial, onnx=onnx, force=force, source=TrialSource(results=self.results)
        )
        if export(options) != 0:
            raise HaltError(f"{options.to} was not written: its model does not give the scores of the search")
        return Path(to)

    def page(self) -> str:
        """The run's page as HTML: the one that its end made, else made now."""
        from urllib.parse import quote

        from tuner.cli.console import make_console
        from tuner.reporting.figures.wrong_pairs import images_of
        from tuner.reporting.page import html_of
        from tuner.results.store import Store

        store = Store.at(self.results)
        path = store.path("reports", f"{quote(self.name, safe='')}.html")
        if self.state == "finished" and store.exists(path):
            with store.fs.open_input_stream(path) as stream:
                return bytes(stream.read()).decode()
        return html_of(self._whole, lambda run: images_of(run, make_console()))

    def _repr_html_(self) -> str:
        """The run's page, in a frame of its own, for a notebook."""
        page = html.escape(self.page(), quote=True)
        style = f"width:100%;height:{_PAGE_HEIGHT_PX}px;border:0"
        return f'<iframe srcdoc="{page}" style="{style}" title="{html.escape(self.name)}"></iframe>'

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.state}, {len(self.trials)} trials. {self.verdict.headline}>"


def _signature() -> inspect.Signature:
    """The options by their names, for a notebook's help and completion."""
    own = inspect.signature(run_search, eval_str=False)
    kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    keyword = inspect.Parameter.KEYWORD_ONLY
    named = [
        inspect.Parameter(option.name, keyword, default=option.default, annotation=option.type)
        for option in named_options().values()
        if option.name not in own.parameters
    ]
    return own.replace(parameters=[*kept, *named])


run_search.__signature__ = _signature()  # type: ignore[attr-defined]  # as inspect reads it
__all__ = ["InputError", "Run", "Winner", "run_search"]
