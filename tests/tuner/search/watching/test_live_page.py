"""The page that is kept fresh: made when there is news, and never for more than a twentieth of the time."""

from __future__ import annotations

from collections.abc import Callable

from tuner.search.watching.live_page import REFRESH_S, LivePage


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made_in(cost_s: float, news: Callable[[int], bool], seconds: int = 1000) -> tuple[int, float]:
    """How many pages are made, each in so many seconds, where a trial ends at each second in `news`; their share of it."""
    clock, pages = Clock(), []

    def make() -> None:
        pages.append(clock.now)
        clock.now += cost_s

    page = LivePage(make, clock)
    begun, step = clock.now, 0
    while clock.now < begun + seconds:
        if news(step):
            page.on_trial_complete(step, [], None)
        page.on_step_end(step, [])
        step += 1
        clock.now += 1.0
    return len(pages), len(pages) * cost_s / (clock.now - begun)


def test_the_first_step_makes_a_page_and_then_only_news_does():
    """Where no trial ends there is nothing new to show."""
    assert made_in(0.01, lambda step: False)[0] == 1
    assert made_in(0.01, lambda step: step in (50, 500))[0] == 3


def test_a_quick_page_is_made_as_often_as_a_browser_looks():
    """However many trials end."""
    count, _ = made_in(0.01, lambda step: True)
    assert 1000 / (REFRESH_S + 1) <= count <= 1000 / REFRESH_S + 1


def test_a_slow_page_takes_a_twentieth_of_the_time_at_most():
    """Of a run of many trials, whose page takes longer the longer it goes."""
    count, share = made_in(2.0, lambda step: True)
    assert count > 10 and share <= 1 / 20
