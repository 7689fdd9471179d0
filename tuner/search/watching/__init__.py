"""What else hears of a run's trials: trackers, callbacks of the user's, and the page that is kept fresh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ray.tune import Callback

from tuner.search.watching import trackers
from tuner.search.watching.live_page import REFRESH_S, LivePage
from tuner.search.watching.relay import Relay

if TYPE_CHECKING:
    from tuner.search.plan import Plan


def around(
    recorder: Callback, plan: Plan, state: Path, callbacks: Sequence[Callback], page: Callable[[int], object]
) -> list[Callback]:
    """All callbacks of a run: before the recorder, which takes apart what a report brings, those that are told of epochs.

    state: the run's own folder on this machine; callbacks: the user's; page: makes the run's page, which reloads itself.
    """
    names, folder = plan.options.output.log_to, _folder(plan, state)
    told = [
        *trackers.tracked(names, plan.run, folder),
        *(Relay(callback, state / "callbacks") for callback in callbacks),
    ]
    live = [LivePage(partial(page, REFRESH_S))] if plan.options.output.live else []
    return [*told, recorder, *live]


def whereabouts(plan: Plan, state: Path) -> dict[str, str]:
    """How to look at what else there will be: name and text of a line each."""
    lines = trackers.where(plan.options.output.log_to, plan.run, _folder(plan, state))
    return lines | ({"live page": f"{plan.results_root}/reports/{plan.run}.html"} if plan.options.output.live else {})


def _folder(plan: Plan, state: Path) -> Path:
    """Trackers write on this machine: below the results, or where those are elsewhere beside the run's own files."""
    return state if "://" in plan.results_root else Path(plan.results_root)
