"""A run's page kept fresh while the run goes on: a browser's tab becomes its board."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

REFRESH_S = 5
"""A page is made again after so many seconds at the earliest, and a browser looks as often."""
_REST = 20.0
"""After making a page so many times as long as that took: at most a twentieth of the driver's time goes into pages."""


class LivePage(Callback):
    """Calls `make` at the first step, and when trials have ended since, within these bounds."""

    def __init__(self, make: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._news, self._next = True, 0.0

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._news = True

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._news = True

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        begun = self._clock()
        if not self._news or begun < self._next:
            return
        self._news = False
        self._make()
        ended = self._clock()
        self._next = ended + max(REFRESH_S, _REST * (ended - begun))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for Tuner.restore, which is not how a run is resumed here."""
        return {}
