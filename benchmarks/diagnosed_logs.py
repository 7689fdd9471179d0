"""What the doctor says of logs from the grammar, and the targets that it is held to."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks import report
from benchmarks.log_files import Written, write
from benchmarks.log_grammar import FAULTS, TrialHistory, accident, faulty, healthy
from trainable.findings import FAIL, OK, Finding
from tuner.examination.log_columns import read_log
from tuner.examination.log_findings import explain
from tuner.examination.loss_kinds import Known

LOGS, QUICK_LOGS = 320, 48
WANTED_FOUND, WANTED_WARNED = 0.98, 0.01


@dataclass(frozen=True)
class Diagnosed:
    """One log, and what was said of it."""

    number: int
    """Its place: with the seed, all that it was drawn from."""
    run: TrialHistory
    format: str
    words: tuple[str, ...]
    said: tuple[tuple[str, str], ...]
    """Names and verdicts, the gravest first."""

    @property
    def named(self) -> bool:
        """Whether a right name is among those said."""
        return any(name in self.run.wanted for name, _ in self.said)

    @property
    def fatal(self) -> bool:
        """Whether anything of severity fail was said."""
        return any(verdict == FAIL for _, verdict in self.said)

    def __str__(self) -> str:
        said = ", ".join(f"{name} ({verdict})" for name, verdict in self.said) or "nothing"
        run = self.run
        what = f"{run.what}: {run.kind}, {run.scale}, {len(run.loss)} rows, B {run.batch_size}, T {run.temperature:g}"
        return f"log {self.number}, {what}, {self.format}, {' '.join(self.words) or 'no options'}; said: {said}"


def diagnosed(count: int, seed: int) -> Iterator[Diagnosed]:
    """So many logs, every other one healthy, each as the doctor sees it: from its file."""
    for number in range(count):
        draw = np.random.default_rng((seed, number))
        run = healthy(draw) if number % 2 else faulty(draw, FAULTS[number // 2 % len(FAULTS)])
        if number % 2:
            accident(run, draw)
        with tempfile.TemporaryDirectory() as folder:
            file = write(run, Path(folder), draw)
            said = [(one.check, one.verdict) for one in _said(file) if one.verdict != OK]
        yield Diagnosed(number, run, file.format, file.words, tuple(dict.fromkeys(said)))


def _said(file: Written) -> list[Finding]:
    """What the doctor finds in every run of the file, told what its user tells."""
    given = dict(zip(file.words[::2], map(float, file.words[1::2]), strict=True))
    temperature, base, size = (given.get(name) for name in ("--temperature", "--base-temperature", "--batch-size"))
    return [
        finding
        for log in read_log(file.path)
        for finding in explain(log, Known.of(log, temperature, None if size is None else int(size), base))
    ]


def judge(seen: Sequence[Diagnosed], console: Console) -> list[report.Target]:
    """A table of faults, every log that was judged wrongly, and the targets."""
    sick, well = [one for one in seen if one.run.wanted], [one for one in seen if not one.run.wanted]
    rows = []
    for what in dict.fromkeys(one.run.what for one in sick):
        these = [one for one in sick if one.run.what == what]
        names = Counter(one.said[0][0] for one in these if one.said).most_common(2)
        headlines, found = ", ".join(name for name, _ in names), sum(bool(one.said) for one in these)
        rows.append((what, headlines, len(these), found, sum(one.named for one in these)))
    console.print(report.table(("fault", "headlines", "logs", "found", "rightly named"), rows))
    for one in seen:
        if (one.run.wanted and not one.named) or (not one.run.wanted and one.said):
            console.print(f"wrong: {one}", soft_wrap=True, markup=False)
    return [
        report.Target(f"share of {len(sick)} faults in logs found", _share([bool(o.said) for o in sick]), WANTED_FOUND),
        report.Target("… and rightly named", _share([o.named for o in sick]), WANTED_FOUND),
        report.Target(f"healthy logs of {len(well)} with a fail", sum(one.fatal for one in well), 0, at_least=False),
        report.Target(
            "… with a warning", sum(bool(o.said) for o in well), math.floor(WANTED_WARNED * len(well)), False
        ),
    ]


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else math.nan
