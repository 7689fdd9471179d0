"""What is wrong with a run that this system did not make: the detectors of trials, over the numbers of its log."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trainable.config import TrialConfig
from trainable.diagnosis.diagnose import CHECKS
from trainable.diagnosis.history import FAIL as FATAL
from trainable.diagnosis.history import WARN as MILD
from trainable.diagnosis.history import Diagnosis, TrialHistory, diagnosis
from trainable.diagnosis.loss import above_chance, negative_loss_value, temperature_too_high
from trainable.findings import FAIL, OK, WARN, Finding
from tuner.examination.log_columns import TrainingLog

_FLAT = 5e-3
"""Change of the loss over the second half of the log, relative to it, below which it is flat."""
_EXACTLY = 2e-3
"""Relative distance within which a flat loss is taken for a formula's value at chance."""
_SHARP = 0.3
"""Up to this temperature only nearly equal scores have exactly the loss of equal ones."""
_SAME = 0.99
_BASES = (0.07, 0.1)


@dataclass(frozen=True)
class Known:
    """What the user, or the log, tells of the training beside its numbers."""

    temperature: float | None = None
    batch_size: int | None = None
    base_temperature: float | None = None
    """Of SupContrast's loss, which is multiplied by temperature over base temperature."""

    @classmethod
    def of(cls, log: TrainingLog, temperature: float | None, batch_size: int | None, base: float | None) -> Known:
        """What is given, else what the log has as columns."""
        logged = log.last("temperature")
        size = log.last("batch_size")
        temperature = temperature if temperature is not None else logged if logged and logged > 0 else None
        return cls(temperature, batch_size if batch_size is not None else round(size) if size else None, base)


@dataclass(frozen=True)
class Chance:
    """What the loss would be with equal scores, under one of the formulas in use."""

    value: float
    formula: str


def explain(log: TrainingLog, known: Known) -> list[Finding]:
    """Every symptom of the log at its end, what is fatal first; one `ok` where there is none."""
    config = TrialConfig(temperature=known.temperature or 0.07, warmup_epochs=1.0 if len(log.epochs) > 2 else 0.0)
    matched = _flat_at(log, known)
    chance = matched.value if matched else math.log(known.batch_size) if known.batch_size else None
    epochs = [epoch if chance is None else {"chance_loss": chance, **epoch} for epoch in log.epochs]
    course = TrialHistory(epochs, config)
    found = {one.name: one for one in _by_detectors(course, known)}
    for one in (*_stuck(matched, known, log), *_negative(course, known), *_everywhere_similar(course, log)):
        found[one.name] = one
    if log.not_finite:
        found["not-finite"] = diagnosis("not-finite", FATAL, "; ".join(log.not_finite))
    ordered = sorted(found.values(), key=lambda one: one.severity != FATAL)
    return [_finding(one) for one in ordered] or [_nothing(log)]


def not_judged(log: TrainingLog, known: Known) -> list[tuple[str, str]]:
    """What cannot be told for want of a number: the option that gives it, and what it would tell."""
    missing = []
    if known.temperature is None:
        missing.append(("--temperature", "is a negative loss -similarity/temperature? does the temperature fit?"))
    if known.batch_size is None:
        missing.append(("--batch-size", "is the loss at chance, ln(batch size), or above it? does it diverge?"))
    return missing + [
        (f"--column {name}=…", what) for name, others, what in _TOLD if not {name, *others} & set(log.columns)
    ]


_TOLD = (
    ("contrastive_loss", (), "is the loss sound at all?"),
    ("val_accuracy", (), "are pairs told right?"),
    ("val_auc", (), "do scores separate the pairs? is it overfitting?"),
    (
        "negative_similarity",
        ("mean_cosine", "similarity", "feature_std", "uniformity"),
        "is it collapsed? (seen directly)",
    ),
)


def _by_detectors(course: TrialHistory, known: Known) -> Iterator[Diagnosis]:
    """The detectors of trials, without those whose answer would rest on a temperature that nobody gave."""
    resting = () if known.temperature else (negative_loss_value, above_chance, temperature_too_high)
    for check in CHECKS:
        if check not in resting and (one := check(course)):
            yield one


def _flat_at(log: TrainingLog, known: Known) -> Chance | None:
    """The formula at whose chance the loss has stood for the second half of the log."""
    losses = [epoch["contrastive_loss"] for epoch in log.epochs if "contrastive_loss" in epoch]
    late = losses[len(losses) // 2 :]
    if known.batch_size is None or len(losses) < 2 or max(late) - min(late) > _FLAT * abs(late[-1]):
        return None
    near = [chance for chance in chances(known) if abs(late[-1] - chance.value) <= _EXACTLY * chance.value]
    return min(near, key=lambda chance: abs(late[-1] - chance.value), default=None)


def chances(known: Known) -> Iterator[Chance]:
    """What equal scores cost under the losses in use, for a known batch size B: InfoNCE compares each view with the B
    of the other side, NT-Xent and SupCon with the 2B - 1 others; SupContrast scales by temperature over its base."""
    for count in (known.batch_size, 2 * known.batch_size - 1):
        yield Chance(math.log(count), f"ln {count}")
        for over, under in sorted(_scales(known)):
            yield Chance(over / under * math.log(count), f"({over:g}/{under:g})·ln {count}")


def _scales(known: Known) -> set[tuple[float, float]]:
    """Temperature over base temperature, (numerator, denominator); either way round, as their names are mixed up."""
    bases = _BASES if known.base_temperature is None else (known.base_temperature,)
    temperatures = _BASES if known.temperature is None else (known.temperature,)
    pairs = {(a, b) for a in temperatures for b in bases if a != b}
    return pairs | {(b, a) for a, b in pairs}


def _stuck(matched: Chance | None, known: Known, log: TrainingLog) -> Iterator[Diagnosis]:
    loss = log.last("contrastive_loss")
    if matched is None:
        if known.batch_size is None and (likely := _likely(log)):
            size, chance = likely
            evidence = f"contrastive loss {loss:.4f}, flat since the middle of the log"
            evidence += f": chance, {chance.formula}, if a batch has {size} pairs"
            yield diagnosis("stuck-at-chance", MILD, evidence)
        return
    evidence = f"contrastive loss {loss:.4f}, flat since the middle of the log: chance, {matched.formula} = {matched.value:.4f}"
    yield diagnosis("stuck-at-chance", FATAL, evidence)
    if known.temperature is None or known.temperature <= _SHARP:
        at = "at any temperature in use" if known.temperature is None else f"at temperature {known.temperature:g}"
        evidence = (
            f"{at} the loss is exactly {matched.formula} only if all scores are equal: every embedding is the same"
        )
        yield diagnosis("total-collapse", FATAL, evidence)


def _likely(log: TrainingLog) -> tuple[int, Chance] | None:
    """A batch size at whose chance a flat loss would stand: powers of two only, for any number fits some batch."""
    found = ((size, _flat_at(log, Known(batch_size=size))) for size in (2**power for power in range(3, 14)))
    return next(((size, chance) for size, chance in found if chance), None)


def _negative(course: TrialHistory, known: Known) -> Iterator[Diagnosis]:
    """A negative loss without a known temperature: of which temperature it would be the broken formula's floor."""
    loss = course.value("contrastive_loss")
    if known.temperature is None and loss is not None and loss < 0:
        evidence = (
            f"contrastive loss {loss:.4g}, InfoNCE is at least 0; it is -1/temperature where that is {-1 / loss:.3g}"
        )
        yield diagnosis("negative-contrastive-loss", FATAL, evidence)


def _everywhere_similar(course: TrialHistory, log: TrainingLog) -> Iterator[Diagnosis]:
    """A similarity of 1 of which nobody says whether it is of positive pairs only, beside nothing that is well."""
    similarity, loss, chance = (course.value(name) for name in ("similarity", "contrastive_loss", "chance_loss"))
    learns = loss is not None and chance and 0 <= loss < 0.75 * chance
    told_right = (course.value("val_auc") or 0) >= 0.65 or (course.value("val_accuracy") or 0) >= 0.65
    if similarity is None or similarity < _SAME or learns or told_right:
        return
    evidence = f"{log.columns['similarity']} {similarity:.4f}, and nothing beside it says that strangers are apart"
    yield diagnosis("total-collapse", FATAL, f"{evidence} (of positive pairs only? --column positive_similarity=…)")


def _finding(one: Diagnosis) -> Finding:
    verdict = FAIL if one.severity == FATAL else WARN
    return Finding(one.name, verdict, f"{one.evidence}\nlikely because {one.cause}", one.remedy)


def _nothing(log: TrainingLog) -> Finding:
    return Finding("symptoms", OK, f"none at the end of {log.rows} rows, by {len(CHECKS)} detectors")
