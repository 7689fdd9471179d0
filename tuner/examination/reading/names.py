"""What a column of a log is, as far as its name tells, and as far as its numbers do not speak against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Check = Callable[[np.ndarray], str]
"""What speaks against the guess in the column's finite numbers; empty: nothing."""

_TRAINING = r"(^|_)(train|training|tr)(_|$)"
_HELD_OUT = (
    r"(^|_)(val|valid|validation|test|eval|dev|holdout|held_out)(_|$)|"
    r"^(cossim|cosine|dot|euclidean|manhattan|max)_accuracy$"  # sentence-transformers' evaluators write of held-out pairs
)
_LOSS = (
    r"(^|_)(loss|losses|verlust|perte|perdida|perdita|objective|criterion|nll)(_|$)|"
    r"(^|_)(ce|bce|info_?nce|nt_?xent|triplet|contrastive|sup_?con|neg(ative)?_cos(ine)?)"
    r"(_(epoch|step|avg|mean|train|val))?$"
)
_OTHER_MEASURE = (
    r"pearson|spearman|recall|precision|ndcg|(^|_)(m?ap|mrr|f1|mcc|lr|rate|accuracy|acc|auc|auroc|threshold|weight|decay|schedule|"
    r"annealing|restarts|margin|scale|lambda|coef\w*|target|temp|temperature|loss|dist|distance|grad|norm|std|var|manhattan|euclidean|time)(_|$)"
)
_DEVICE = (
    r"gpu|cuda|cpu|(^|_)(device|core|system|celsius|fahrenheit|c|f|degc|fan|"
    r"board|junction|hbm|hotspot|memory|ambient|room|sensor)(_|$)"
)
_TOP = (
    r"top_?\d|(^|_)(acc|accuracy|r|hit|hits)_?(at_?)?\d+(_|$)|retriev|in_?batch|"
    r"(contrast(ive)?|nce|logits?|clip)_?(acc|accuracy)|"
    r"(i2t|t2i|img2txt|matching)_?(acc|accuracy|r\d)|recall_?(at_?)?\d"
)
_RANK = r"rank_?me|(effective|eff|stable|feat\w*|emb\w*|repr\w*|matrix)_?rank"
_DIMENSIONS = (
    r"(^|_)(emb(ed(ding)?s?)?|feat(ures?)?|proj(ection)?|repr\w*|out(put)?|latent)_?(dims?|dimensions?|size|width)$|max_?rank"
)
_UPDATE = r"(update|step|delta)_?(to_|over_|by_)?(weight|param)s?(_ratio|_norm)?$|(relative_)?update_?(ratio|size)"
_CLASSES = (
    r"(^|_)k?nn(_|$)|(^|_)probe(_|$)|lin(ear)?_?eval|linear_?(probe|acc|top)|(^|_)(cls|class|classes|classif\w*|per_class|"
    r"imagenet|cifar\d*)(_|$)"
)
"""What classifies among many: neighbours, and linear probes of features."""


def plain(column: str) -> str:
    """The name in lower case with _ between its words."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", column)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def is_training(column: str) -> bool:
    """Whether the name says that the number is of training pairs."""
    return bool(re.search(_TRAINING, plain(column)))


def is_held_out(column: str) -> bool:
    """Whether the name says that the number is of held-out pairs."""
    return bool(re.search(_HELD_OUT, plain(column)))


def is_loss(column: str) -> bool:
    """Whether the name is that of a loss."""
    return bool(re.search(_LOSS, plain(column)))


def is_gradient(column: str) -> bool:
    """Whether the name is that of a gradient's norm, which fp16's scaler makes infinite now and then."""
    return bool(re.search(r"grad", plain(column)))


def _within(low: float, high: float) -> Check:
    def check(values: np.ndarray) -> str:
        outside = values[(values < low) | (values > high)]
        return f"{outside[0]:g} is outside {low:g} to {high:g}" if len(outside) else ""

    return check


def _share(values: np.ndarray) -> str:
    return _within(0, 100)(values)


def _whole(values: np.ndarray) -> str:
    return "it is no whole number above 1" if np.any(values < 2) or np.any(values != np.round(values)) else ""


def _nothing(values: np.ndarray) -> str:
    return ""


@dataclass(frozen=True)
class Name:
    """How a number that detectors know is recognised."""

    pattern: str
    never: str = "^$"
    """What the name must not hold."""
    check: Check = _nothing
    split: str = ""
    """`held out`, `training`, or, empty, either."""


def _of_strangers(values: np.ndarray) -> str:
    if len(values) and np.median(values) < -0.3:
        return "different things lie at -0.3 to 1: it is a negative cosine"
    return _COSINE(values)


_COSINE = _within(-1.001, 1.001)
NAMES: dict[str, Name] = {
    "epoch": Name(r"(^|_)(epochs?|epoche|epoque|epoca|epoch_n)(_(num|number|idx|index|no))?$",
                  r"loss|acc|auc|sim|time|_per_|(^|_)lr(_|$)|norm|std|grad"),
    "step": Name(r"(^|_)(steps?|iter|iters|iteration|iterations|global_step|batch_idx|batches_seen|samples_seen)$",
                 r"loss|acc|auc|sim|time|_per_|(^|_)lr(_|$)|norm|std|grad|epoch"),
    "consistency_loss": Name(r"consist|(^|_)cons(_|$)|(^|_)align(ment)?(_|$)", r"weight|lambda|coef"),
    "contrastive_loss": Name(
        r"contrast|info_?nce|nt_?xent|sup_?con|(^|_)nce(_|$)|loss_(con|contr|cl)(_|$)|(^|_)(con|contr|cl)_loss|(clip|siglip|simclr|moco)_?loss",
        rf"weight|lambda|coef|margin$|temp|{_TOP}|(^|_)(acc|accuracy|auc|lr|sim|similarity)(_|$)"),
    "triplet_loss": Name(r"triplet|margin_(ranking_)?loss|(^|_)hinge(_|$)|ranking_loss",
                         r"margin$|active|acc|frac|number|num_"),
    "val_auc": Name(r"auc|auroc", "fauc", _share, "held out"),
    "train_auc": Name(r"auc|auroc", "fauc", _share, "training"),
    "class_accuracy": Name(rf"({_CLASSES})(.*(acc|accuracy|top|score)|.*\d*$)|(acc|accuracy|top_?\d)_?.*({_CLASSES})",
                           r"loss|threshold|time|(^|_)(lr|k|lambda|weight|num|n|temp|temperature)(_|$)|auc", _share),
    "retrieval_accuracy": Name(_TOP, rf"loss|threshold|{_CLASSES}", _share),
    "val_accuracy": Name(r"(^|_)acc(uracy)?(_|$)", rf"threshold|loss|time|{_CLASSES}", _share, "held out"),
    "train_accuracy": Name(r"(^|_)acc(uracy)?(_|$)", rf"threshold|loss|time|{_CLASSES}", _share, "training"),
    "accuracy": Name(r"(^|_)acc(uracy)?(_|$)", rf"threshold|loss|time|{_CLASSES}", _share),
    "positive_similarity": Name(r"(^|_)pos(itives?)?_(\w+_)?(sim|cos)|(sim|cos)\w*_pos", _OTHER_MEASURE, _COSINE),
    "negative_similarity": Name(r"(^|_)neg(atives?)?_(\w+_)?(sim|cos)|(sim|cos)\w*_neg", _OTHER_MEASURE, _of_strangers),
    "mean_cosine": Name(r"mean_cos", _OTHER_MEASURE, _COSINE),
    "similarity": Name(r"(^|_)(sims?|similarity|similarities|cos|cosine|cos_?sim)(_|$)", _OTHER_MEASURE, _COSINE),
    "feature_std": Name(r"(feat|emb|repr|z|proj|output|latent|collapse)\w*_(std|spread)|(^|_)std(_|$)|(^|_)spread$",
                        r"grad|weight|loss|acc|auc|time|param|sim|logit", _within(0, 10)),
    "uniformity": Name(r"uniformity", r"loss_weight|weight|lambda", _within(-50, 0.001)),
    "grad_norm": Name(r"grad\w*_norm|norm_grad|gradnorm|total_norm"),
    "learning_rate": Name(r"(^|_)(lr|learning_rate)(_|$)|(^|_)lr\d*(_|$)", r"loss|acc|sim$", _within(0, 100)),
    "logit_scale": Name(r"logit_?scale", r"grad", _within(0, 200)),
    "temperature": Name(r"(^|_)(temp|temperature|tau)(_|$)", rf"{_DEVICE}|base", _within(0.001, 10)),
    "batch_size": Name(r"batch_?size|(^|_)bs$", r"loss|eval|val", _whole),
    "queue_size": Name(r"queue_?(size|len|length)|(^|_)(n|num)_negatives|memory_?bank_?size", "^$", _whole),
    "margin": Name(r"(^|_)margin$", "^$", _within(0, 10)),
    "rank_raw": Name(_RANK, r"loss|limit|max|lora|world|local|retriev", _within(0, 1e6)),
    "rank_limit": Name(_DIMENSIONS, r"loss|batch|image|patch", _whole),
    "head_update_ratio": Name(_UPDATE, r"log|backbone|loss|lr", _within(0, 1e6)),
    "val_loss": Name(_LOSS, r"weight|scale$|lambda", _nothing, "held out"),
}  # fmt: skip
"""What a column of a log can be, and by which names it is recognised; the first that fits has it."""
EXACT = (
    "chance_loss", "negative_loss", "total_loss", "rank_centred", "score_low", "score_high",
    "head_grad_norm", "backbone_grad_norm", "backbone_update_ratio", "frozen_moved",
)  # fmt: skip
"""What is recognised by its own name only: columns of this project's own `epochs` table."""
MEASURES = frozenset({*NAMES, *EXACT}) - {
    "epoch", "step", "temperature", "batch_size", "learning_rate", "logit_scale", "queue_size", "margin", "rank_limit",
}  # fmt: skip
"""What can be judged; the others only say when, and with what, it was measured."""


def recognised(columns: Mapping[str, np.ndarray], taken: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Name -> column, each column as one thing, and which guesses the numbers speak against.

    columns: the finite numbers of each. taken: the names that the user gave a column for.
    """
    free = [column for column, values in columns.items() if len(values)]
    found: dict[str, str] = {}
    refuted: list[str] = []
    for name in EXACT:
        if name in free and name not in taken:
            found[name] = name
    for name, known in NAMES.items():
        if name in taken:
            continue
        matching = [c for c in free if c not in found.values() and _fits(name, known, c)]
        for column in sorted(matching, key=lambda column: _rank(name, column, len(columns[column]))):
            objection = known.check(columns[column]) if column != name or name == "temperature" else ""
            if objection:
                refuted.append(f"{column} is not taken for {name}: {objection}")
            elif name not in found:
                found[name] = column
                free.remove(column)
    if "val_accuracy" in found and "accuracy" in found and "train_accuracy" not in found:
        found["train_accuracy"] = found.pop("accuracy")  # Keras has the two side by side
    _training_loss(columns, free, found, set(taken))
    return found, refuted


def _fits(name: str, known: Name, column: str) -> bool:
    if column == name:
        return True
    words = plain(column)
    if not re.search(known.pattern, words) or re.search(known.never, words):
        return False
    if known.split == "held out":
        return (is_held_out(column) and not (name == "val_accuracy" and re.search(_TOP, words))) or (
            name == "val_auc" and not is_training(column))  # fmt: skip
    if known.split == "training":
        return is_training(column)
    if name == "accuracy":
        return not is_training(column) and not is_held_out(column)
    return not (name in ("contrastive_loss", "triplet_loss") and is_held_out(column) and is_loss(column))


def _training_loss(columns: Mapping[str, np.ndarray], free: list[str], found: dict[str, str], taken: set[str]) -> None:
    """A loss by its bare name, training's before validation's; one loss is the first that is judged."""
    if {"contrastive_loss", "triplet_loss"} & (taken | set(found)):
        return
    losses = [c for c in free if is_loss(c) and c not in found.values() and not re.search("weight|lambda", plain(c))]
    losses = losses or [c for c in (found.get("val_loss"), found.get("consistency_loss")) if c]
    if losses:
        column = min(losses, key=lambda column: _rank("contrastive_loss", column, len(columns[column])))
        found.pop(next((name for name, other in found.items() if other == column), ""), None)
        found["contrastive_loss"] = column


def _rank(name: str, column: str, count: int) -> tuple[bool, bool, bool, bool, int]:
    """The better a column's name fits, the smaller: its own name, held-out metrics and training losses, the mean of an
    epoch before a step's loss, short ones."""
    held_out = is_held_out(column)
    by_step = bool(re.search(r"(^|_)step$", plain(column))) and name not in ("epoch", "step")
    return column != name, held_out != name.startswith("val_"), count < 5, by_step, len(column)
