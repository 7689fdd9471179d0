"""python -m benchmarks.page: what the page of a large run weighs, and how soon it is made and open.

The run is made by a script: a joint search of 200 trials of 10 epochs, with 200 validation pairs of 64 px. Opening is
measured in a headless browser: inside, from navigation until everything is loaded and laid out; outside, from starting
the browser to a written picture, less the same for an empty page. The median of several; the larger of the two counts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import browser, report
from benchmarks.made_run import Shape, make_run
from trainable.data.images import decode
from trainable.data.read_pairs import read_pairs
from trainable.errors import InputError
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code
from tuner.reporting.figures.wrong_pairs import Images
from tuner.reporting.page import write_page

MEGABYTES, OPEN_S, MADE_S = 8.0, 2.0, 2.0
_QUICK = Shape(trials=20, epochs=3, identities=12, image_size_px=16)


@dataclass(frozen=True)
class Options:
    """Measure what the page of a large run weighs, and how soon it is made and open."""

    trials: int = 200
    """Trials of the run."""
    repetitions: int = 5
    """How often the page is made and opened."""
    browser: str | None = None
    """A browser of the Chromium family; none: the first of those that this machine has."""
    quick: bool = False
    """A smoke run of a small page; its numbers are not judged."""


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a target is missed, 2 for a mistake in the input."""
    options = parse(Options, arguments, prog="python -m benchmarks.page")
    console = report.console()
    used = options.browser or browser.find()
    if used is None:
        raise InputError(
            f"there is no browser: none of {', '.join(browser.NAMES)} is found. Install one, or give --browser."
        )
    shape, times = (_QUICK, 1) if options.quick else (Shape(trials=options.trials), options.repetitions)
    report.heading(f"The page of a run of {shape.trials} trials", console, ["jinja2", "pandas", "pyarrow"])
    with tempfile.TemporaryDirectory() as folder:
        made_s, page = _made(Path(folder), shape, times)
        megabytes = page.stat().st_size / 1e6
        inside_s, outside_s = _opened(used, page, times)
    rows = [
        ("size, MB", f"{megabytes:.2f}"),
        ("made, s", f"{made_s:.2f}"),
        ("open, inside, s", f"{inside_s:.2f}"),
        ("open, outside, s", f"{outside_s:.2f}"),
    ]
    console.print(report.table(["", "median"], rows))
    binding = not options.quick
    return report.verdict(
        [
            report.Target("size, MB", megabytes, MEGABYTES, at_least=False, binding=binding),
            report.Target("open, s", max(inside_s, outside_s), OPEN_S, at_least=False, binding=binding),
            report.Target("made at the end of a run, s", made_s, MADE_S, at_least=False, binding=binding),
        ],
        console,
    )


def _made(folder: Path, shape: Shape, times: int) -> tuple[float, Path]:
    """Seconds to read the tables and write the page, the images being at hand as at the end of a run; and the page."""
    run = make_run(folder, shape)
    table = read_pairs(folder / "pairs" / "pairs.csv")
    images = Images(table, decode(table, shape.image_size_px)[0])
    took_s = []
    for _ in range(times):
        began = time.perf_counter()
        page = write_page(str(folder / "results"), run, lambda _: images)
        took_s.append(time.perf_counter() - began)
    return statistics.median(took_s), Path(page)


def _opened(used: str, page: Path, times: int) -> tuple[float, float]:
    """Seconds until the page is open, seen from inside and from outside."""
    empty, picture = page.with_name("empty.html"), page.with_name("picture.png")
    empty.write_text("<!doctype html><title>empty</title>")
    inside_s = [browser.opened(used, page).seen["opened_ms"] / 1000 for _ in range(times)]
    more_s = [browser.painted_s(used, page, picture) - browser.painted_s(used, empty, picture) for _ in range(times)]
    return statistics.median(inside_s), float(np.median(more_s))


if __name__ == "__main__":
    sys.exit(main())
