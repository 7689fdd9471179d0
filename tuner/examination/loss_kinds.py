"""Which loss a log's loss is, by its name and its numbers, and what each is worth when nothing is learnt."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainable.diagnosis.trends import Trend
from tuner.examination.log_columns import TrainingLog
from tuner.examination.reading.names import plain

INFONCE, TRIPLET, SIGMOID, COSINE, UNBOUNDED, UNKNOWN = (
    "InfoNCE",
    "triplet",
    "sigmoid",
    "negative cosine",
    "unbounded",
    "loss",
)
_BY_NAME = {
    TRIPLET: r"triplet|hinge|margin",
    SIGMOID: r"siglip|sigmoid|(^|_)bce(_|$)|binary_cross",
    COSINE: r"simsiam|byol|neg(ative)?_?cos|cos(ine)?_?(sim(ilarity)?)?_?loss",
    UNBOUNDED: r"(^|_)(dcl|dhel|vicreg|mine|jsd|elbo|kde)(_|$)|decoupled|uniform|mutual_inf",
    INFONCE: r"contrast|info_?nce|nt_?xent|sup_?con|(^|_)nce(_|$)|clip|moco|simclr|(^|_)(con|contr|cl)(_|$)",
}
_MARGINS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 1.0, 1.2, 1.5, 2.0)
_QUEUES = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
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
        logged, scale, size = (log.last(name) for name in ("temperature", "logit_scale", "batch_size"))
        if temperature is None and not logged and scale and scale > 0:  # CLIP's: the number, or its logarithm
            logged = 1 / scale if scale > math.log(200) else math.exp(-scale)
        temperature = temperature if temperature is not None else logged if logged and logged > 0 else None
        return cls(temperature, batch_size if batch_size is not None else round(size) if size else None, base)


@dataclass(frozen=True)
class Chance:
    """What the loss would be with equal scores, under one of the formulas in use."""

    value: float
    formula: str
    meaning: str = ""
    """In which way it is no plain mean of cross-entropies."""

    def __str__(self) -> str:
        return f"{self.formula} = {self.value:.4f}" + (f" ({self.meaning})" if self.meaning else "")


def loss_column(log: TrainingLog) -> str | None:
    """The name under which the loss to be judged stands."""
    return next((name for name in ("triplet_loss", "contrastive_loss") if name in log.columns), None)


def kind_of(log: TrainingLog, course: Trend, known: Known) -> tuple[str, str]:
    """Which loss it is, and why one may think so. Numbers come before names."""
    name = loss_column(log)
    column = log.columns[name] if name else ""
    words = plain(column)
    named = next((kind for kind, pattern in _BY_NAME.items() if re.search(pattern, words)), UNKNOWN)
    if course.low < 0 and named not in (UNBOUNDED, COSINE) and _is_cosine(log, course, named, known):
        return (
            COSINE,
            f"{column} lies between -1 and 1 and is negative: a negative cosine, as SimSiam's, and no InfoNCE",
        )
    if named == UNKNOWN:
        return UNKNOWN, ""
    return named, f"{column} is taken for a {named} loss, after its name"


def _is_cosine(log: TrainingLog, course: Trend, named: str, known: Known) -> bool:
    if course.low < -2.02 or course.high > 2.02:
        return False
    if known.temperature and abs(course.end + 1 / known.temperature) <= 0.05 / known.temperature:
        return False
    spread = log.last("feature_std")
    perfect = any(abs(course.end + most) <= 0.02 * most for most in (0.5, 1.0, 2.0))  # of one view, or two summed
    still = spread is not None and (spread >= 0.01 or (perfect and named == UNKNOWN))
    return (course.low >= -1.02 and named == UNKNOWN) or still


def chances(known: Known, queue: int | None = None) -> Iterator[Chance]:
    """What equal scores cost under the losses in use, for a known batch size B, the plainest first.

    InfoNCE compares each view with the B of the other side, NT-Xent and SupCon with the 2B - 1 others; SupContrast
    multiplies by temperature over its base; both directions, or the whole batch, may be summed instead of averaged;
    logarithms may be binary; a queue of K negatives makes it ln(K + 1).
    """
    size = known.batch_size
    plain_counts = [] if size is None else [size, 2 * size - 1]
    for count in plain_counts:
        yield from _scaled(known, count)
    if size is not None:
        yield Chance(2 * math.log(size), f"2·ln {size}", "both directions summed")
        yield Chance(math.log2(size), f"log2 {size}", "in bits")
        yield Chance(math.log2(2 * size - 1), f"log2 {2 * size - 1}", "in bits")
        yield Chance(size * math.log(size), f"{size}·ln {size}", "summed over the batch")
        yield Chance(2 * size * math.log(size), f"2·{size}·ln {size}", "both directions, summed over the batch")
        yield Chance(
            2 * size * math.log(2 * size - 1), f"2·{size}·ln {2 * size - 1}", "summed over both views of the batch"
        )
        for less in (size - 1, 2 * size - 2):
            if less > 1:
                yield Chance(math.log(less), f"ln {less}", "the positive left out of the denominator")
    if queue:
        yield Chance(math.log(queue + 1), f"ln {queue + 1}", f"a queue of {queue} negatives")


def rarer_chances(known: Known) -> Iterator[Chance]:
    """Formulas that nothing in the log asks for: a queue of a usual length, a batch gathered from several devices."""
    for queue in _QUEUES:
        yield Chance(math.log(queue + 1), f"ln {queue + 1}", f"a queue of {queue} negatives")
    if known.batch_size:
        for devices in (2, 4, 8, 16, 32, 64):
            count = known.batch_size * devices
            yield Chance(math.log(count), f"ln {count}", f"batches of {devices} devices gathered")


def _scaled(known: Known, count: int) -> Iterator[Chance]:
    yield Chance(math.log(count), f"ln {count}")
    for over, under in sorted(_scales(known)):
        yield Chance(over / under * math.log(count), f"({over:g}/{under:g})·ln {count}")


def _scales(known: Known) -> set[tuple[float, float]]:
    """Temperature over base temperature, (numerator, denominator); either way round, as their names are mixed up."""
    bases = _BASES if known.base_temperature is None else (known.base_temperature,)
    temperatures = _BASES if known.temperature is None else (known.temperature, *_BASES)
    pairs = {(a, b) for a in temperatures for b in bases if a != b}
    return pairs | {(b, a) for a, b in pairs}


def likely_chances() -> list[tuple[int, Chance]]:
    """Without a batch size: powers of two only, for any number fits some batch; the plainest formulas first."""
    found = [
        (place, 2**power, chance)
        for power in range(3, 14)
        for place, chance in enumerate(chances(Known(batch_size=2**power)))
        if "bits" not in chance.meaning and "denominator" not in chance.meaning
    ]
    return [(size, chance) for _, size, chance in sorted(found, key=lambda one: one[0])]


def margins(log: TrainingLog) -> Iterator[Chance]:
    """What a triplet loss is worth when all embeddings are the same."""
    if (margin := log.last("margin")) is not None:
        yield Chance(margin, "the margin that the log has")
    for value in _MARGINS:
        yield Chance(value, f"a margin of {value:g}")
    yield Chance(math.log(2), "ln 2, a soft margin's")


def nearest_chance(level: float, formulas: Iterator[Chance] | list[Chance], tolerance: float) -> Chance | None:
    """The formula of this value; of several, the plainest that is as near as rounding allows."""
    near = [chance for chance in formulas if abs(level - chance.value) <= tolerance * chance.value]
    return min(near, key=lambda chance: round(abs(level - chance.value) / (5e-4 * chance.value)), default=None)


def likely_chance(level: float, tolerance: float) -> tuple[int, Chance] | None:
    """The plausible batch size and formula of this value, for a log that tells no batch size."""
    near = [
        (size, chance) for size, chance in likely_chances() if abs(level - chance.value) <= tolerance * chance.value
    ]
    return near[0] if near else None
