"""Four lines that a repaired, healthy training satisfies and the broken run fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.results.trial_record import TrialRecord

_LINE_OF = {
    "total-collapse": 1, "low-feature-std": 1, "low-uniformity": 1, "dimensional-collapse": 1, "consistency-without-spread": 1,
    "inverted-separation": 2, "accuracy-contradicts-scores": 2, "no-separation": 2, "labels-at-random": 2, "overfit": 2,
    "negatives-pulled-together": 3, "precision-artefact": 3, "threshold-out-of-place": 3,
}  # fmt: skip
"""Which of the four lines a diagnosis contradicts; the first, of the loss, where none is named."""


@dataclass(frozen=True)
class Check:
    """One line of the verdict on a trial: what should hold, whether it does (None: cannot be told), the numbers."""

    text: str
    holds: bool | None
    numbers: str


def health(record: TrialRecord, threshold: float, threshold_searched: bool = False) -> list[Check]:
    """The four lines that a repaired, healthy run satisfies (the broken run fails all), from the trial's epochs.

    threshold: the one used on test pairs. Accuracy is at the trial's threshold where that is searched, else at the solved.
    A diagnosis, of whatever epoch, crosses the line that it contradicts: what was diagnosed has no four ticks.
    """
    first, last, best = record.epochs[min(record.epochs)], record.last, record.best
    name = "val_accuracy" if threshold_searched else "val_accuracy_solved"
    rising = (first[name], best[name])
    positive, negative = best["positive_similarity"], best["negative_similarity"]
    apart = positive > threshold > negative
    between = "between them" if apart else "not between them"
    several = len(record.epochs) > 1
    lines = [
        _falling(
            "contrastive loss positive and falling", "contrastive_loss", first, last, several, first["chance_loss"]
        ),
        _falling("consistency loss above 0 and falling", "consistency_loss", first, last, several),
        Check(
            "validation accuracy rising and above 0.5",
            (rising[1] > 0.5 and rising[1] > rising[0]) if several else (None if rising[1] > 0.5 else False),
            f"{rising[0]:.3f} → {rising[1]:.3f}" + ("" if threshold_searched else " (threshold solved)"),
        ),
        Check(
            "positive similarity high and negative low",
            apart,
            f"positive {positive:.3f}, negative {negative:.3f}, threshold {threshold:.3f} {between}",
        ),
    ]
    return [_crossed(check, at, record.diagnoses or ()) for at, check in enumerate(lines)]


def _crossed(check: Check, at: int, diagnoses: Sequence[str]) -> Check:
    """The line at a place of the four, crossed if a diagnosis contradicts it."""
    against = [name for name in diagnoses if _LINE_OF.get(name, 0) == at]
    if not against:
        return check
    return dataclasses.replace(check, holds=False, numbers=f"{check.numbers}; diagnosed: {', '.join(against)}")


def _falling(
    text: str, name: str, first: dict[str, Any], last: dict[str, Any], several: bool, chance: float | None = None
) -> Check:
    """A loss above 0 in the first and the last epoch, and lower in the last; one epoch cannot tell."""
    positive = min(first[name], last[name]) > 0
    holds = (positive and last[name] < first[name]) if several else (None if positive else False)
    return Check(text, holds, f"{first[name]:.4f} → {last[name]:.4f}" + (f" (chance {chance:.3f})" if chance else ""))
