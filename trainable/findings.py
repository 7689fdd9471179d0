"""What a look at data or model came to: one finding a check, with a verdict, the numbers behind it and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from trainable.errors import InputError

OK, WARN, FAIL = "ok", "warn", "fail"
"""Verdicts. Nothing can come of a training whose data or model has a `fail`; a `warn` is for a person to judge."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    check: str
    """What was looked at."""
    verdict: str
    """OK, WARN or FAIL."""
    found: str
    """The numbers, and by name the images, identities or tensors that they are of."""
    advice: str = ""
    """What to do; empty where all is well."""

    def as_dict(self) -> dict[str, str]:
        """Plain text, for a file."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        between = "; " if self.advice[:1].islower() else "\n"
        return f"{self.found}{between}{self.advice}" if self.advice else self.found


class DataError(InputError):
    """A mistake in what the pairs say or show. The table can be read: the doctor lists the mistake and looks on."""

    before: tuple[DataError, ...] = ()
    """Mistakes that were tolerated before this one ended the reading."""

    def __init__(self, check: str, found: str, advice: str) -> None:
        self.finding = Finding(check, FAIL, found, advice)
        super().__init__(str(self.finding))


def worst(verdicts: Iterable[str]) -> str:
    """The gravest of them; OK if there is none."""
    return max(verdicts, key=(OK, WARN, FAIL).index, default=OK)
