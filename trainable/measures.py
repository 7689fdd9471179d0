"""The numbers of an epoch, each declared once: meaning, unit, and which of them trials can be ranked by.

`trainable.training.epoch_report.EpochReport` holds them; the tables `trials` and `epochs` have a column for each. Losses
are declared in `trainable.config`, beside the weights of their terms. Light on purpose: `--help` reads this.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainable import columns
from trainable.columns import column

_SHARE = "0 to 1"


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How well validation pairs are told apart; None or NaN where that is undefined. Columns of `trials` and `epochs`."""

    objective: float = column(
        "what is ranked by: the run's `metric`, with accuracies at the solved threshold unless it is searched"
    )
    """NaN where it is undefined: such an epoch is never the best."""
    threshold: float = column(
        "the threshold used, given or solved: at and above it a pair counts as the same", "cosine"
    )
    val_accuracy: float = column(
        "share of validation pairs told right at `threshold`; cross-fitted where that is solved or favoured: never in-sample",
        _SHARE,
        better="max",
    )
    val_accuracy_solved: float = column(
        "the same with the solved threshold, whatever the trial's; cross-fitted", _SHARE
    )
    val_balanced_accuracy: float = column(
        "mean of the accuracies on positive and on negative pairs", _SHARE, better="max"
    )
    val_auc: float = column("area under the validation ROC curve, half credit for ties", _SHARE, better="max")
    val_average_precision: float = column("average precision of the positive pairs", _SHARE, better="max")
    val_eer: float = column("equal error rate; lower is better", _SHARE, better="min")
    val_d_prime: float | None = column(
        "distance of positive and negative mean score in standard deviations", better="max"
    )
    val_tar_at_far_1e1: float | None = column("positives accepted where 1 of 10 negatives is; null with fewer", _SHARE)
    val_tar_at_far_1e2: float | None = column("positives accepted where 1 of 100 negatives is; null with fewer", _SHARE)
    val_tar_at_far_1e3: float | None = column(
        "positives accepted where 1 of 1000 negatives is; null with fewer", _SHARE
    )
    val_recall_at_1: float | None = column(
        "share of validation fronts whose nearest angle view has their identity; null with fewer than 2 views",
        _SHARE,
        better="max",
    )
    val_recall_at_5: float | None = column(
        "the same among the 5 nearest; null with fewer than 6 views", _SHARE, better="max"
    )
    val_recall_at_10: float | None = column(
        "the same among the 10 nearest; null with fewer than 11 views", _SHARE, better="max"
    )
    val_map: float | None = column(
        "mean over validation fronts of the average precision of their angle views", _SHARE, better="max"
    )
    positive_similarity: float = column("mean score of the positive validation pairs", "cosine")
    negative_similarity: float = column("mean score of the negative validation pairs", "cosine")
    similarity_gap: float = column("`positive_similarity` minus `negative_similarity`", "cosine")
    feature_std: float = column("spread of the embeddings: 1 when even, 0 when collapsed")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How embeddings and scores of validation pairs are spread, for the diagnoses. Columns of `epochs`."""

    mean_cosine: float = column(
        "mean cosine of validation embeddings of different identities; 1 when collapsed", "cosine"
    )
    uniformity: float = column("log mean exp(-2 distance²) of the embeddings: about -3.9 when even, 0 when collapsed")
    rank_raw: float = column("RankMe: dimensions that the embeddings use, a common direction included")
    rank_centred: float = column("RankMe of the embeddings less their mean")
    rank_limit: int = column("the most that `rank_raw` and `rank_centred` can be")
    score_low: float = column("the lowest validation score", "cosine")
    score_high: float = column("the highest validation score", "cosine")
    scores_tied: float = column("share of validation scores that another one equals exactly", _SHARE)
    scores_tied_exact: float = column("the same, these scores computed anew in full precision", _SHARE)


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """What `val_recall_at_1` and its like come from. Columns of `epochs`."""

    val_queries: int = column(
        "validation fronts with an angle view of their identity; a sample where images are very many", "images"
    )
    val_cmc: list[float] = column(
        "cumulative match characteristic: `val_recall_at_1` for 1, 2, … 20 nearest; empty without a query", _SHARE
    )


@dataclass(frozen=True, kw_only=True)
class Step:
    """The epoch's middle step, for the diagnoses. None: there is no such part, or its step was skipped. Columns of `epochs`."""

    head_grad_norm: float | None = column("norm of the head's gradient at the epoch's middle step")
    backbone_grad_norm: float | None = column("the same of the trained blocks; null if there are none")
    head_update_ratio: float | None = column(
        "norm of that step over the norm of the head's weights; null if it was skipped"
    )
    backbone_update_ratio: float | None = column("the same of the trained blocks; null if there are none")
    head_growth: float | None = column("norm of the head's weights at that step over what it was when the trial began")
    backbone_growth: float | None = column("the same of the trained blocks; null if there are none")
    negative_pull: float | None = column(
        "how much its loss pulls label 0 pairs together, over the same of label 1; healthy is below 0"
    )
    frozen_moved: int = column("frozen tensors that changed since the trial began; healthy is 0", "tensors")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How training went, and how long it took. Columns of `epochs`."""

    learning_rate: float = column("the head's learning rate at the end of the epoch")
    grad_norm: float = column("norm of the whole gradient, mean over the epoch's steps")
    epoch_s: float = column("time of the epoch, validation included", "s")
    validation_s: float = column("time of its validation", "s")
    diagnoses: list[str] = column("names of the sicknesses found after this epoch, what is fatal first", default=list)


METRICS = {name: said.better for name, said in columns.of(Validation).items() if said.better is not None}
"""What trials can be ranked by, and the direction that is better. No loss: its floor moves with the temperature."""

AT_A_THRESHOLD = ("val_accuracy", "val_balanced_accuracy")
"""Those that depend on the threshold. By any other one, trials that differ in nothing but the threshold are equal."""


def sign(metric: str | None) -> int:
    """+1 if larger is better (also if the metric is unknown), -1 if smaller.

    >>> sign("val_auc"), sign("val_eer")
    (1, -1)
    """
    return -1 if METRICS.get(metric or "") == "min" else 1
