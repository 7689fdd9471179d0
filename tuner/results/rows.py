"""The rows of the tables `runs` and `scores`, each column declared once.

Those of `trials` and `epochs` are declared where they come from: `trainable.config`, `trainable.measures` and
`tuner.results.trial_record`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from trainable.columns import column

_LOW = "lower end of its 95 % interval, which counts shared identities once"
_HIGH = "upper end of the same interval"


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run: where it comes from and what came out."""

    state: str = column(
        "`running`, `finished`, `interrupted` or `failed`; `results.runs` says `dead` of one that was killed while running",
        key=True,
    )
    started_at: datetime | None = column("when the run was started first", "UTC")
    ended_at: datetime | None = column("when the run ended; null while it is running or if it was killed", "UTC")
    wall_s: float | None = column(
        "wall time of the run and its resumptions; of an attempt that was killed nothing is known", "s"
    )
    command: str | None = column("the command line that started it")
    question: str | None = column("the question that the space asks")
    space_source: str | None = column("the whole text of the space's file")
    searched: list[str] | None = column("the parameters that the space varies")
    data: str | None = column("where the pairs are from")
    data_fingerprint: str | None = column("hash of the pairs and their split; equal ones may be compared")
    train_pairs: int | None = column("training pairs", "pairs")
    val_pairs: int | None = column("validation pairs", "pairs")
    test_pairs: int | None = column("test pairs", "pairs")
    backbone: str | None = column("timm's name of the backbone")
    weights: str | None = column("`none`, `pretrained` or the file")
    backbone_fingerprint: str | None = column(
        "hash of the backbone that trials start from: tensors, size, normalisation"
    )
    image_size_px: int | None = column("edge of the square images", "px")
    input_mean: list[float] | None = column("mean of red, green and blue to normalise with", "0 to 1")
    input_std: list[float] | None = column("standard deviation of red, green and blue to normalise with", "0 to 1")
    fit: str | None = column("how an image that is no square became one: `squash`, `crop` or `pad`; null: `squash`")
    levels: str | None = column(
        "levels of black and white in images with more than 8 bits, as JSON; null: there were none"
    )
    folds: int | None = column("identity-disjoint folds that each trial was trained on; 0: the val split", "folds")
    views: int | None = column("views of each image that training draws from, the plain one included")
    view_strength: float | None = column(
        "how far those views are from the plain image, over the usual distance; null: the usual, or there are none"
    )
    chosen_starts: str | None = column(
        "where the space chooses backbone, image size or views: what else than this row says trials could start from, as JSON, "
        "by this table's columns; null: all trials start from what this row says"
    )
    metric: str | None = column("what the trials are ranked by")
    rank_by: str | None = column(
        "the epoch that a trial is ranked by: `last`, or `best`, as runs before it was written down"
    )
    keep_sick: bool | None = column("whether trials trained on after a diagnosis that calls them hopeless")
    threshold_for: str | None = column(
        "what thresholds for test pairs were solved for: accuracy, eer, far=RATE or cost=FN:FP; null: accuracy"
    )
    space_ranges: dict[str, str] | None = column("what the space can give each searched parameter, in words")
    objectives: list[str] | None = column(
        "the metric and the costs that the search weighed; null: the metric alone"
    )
    limits: list[str] | None = column("what a winner may cost at most; null: no limits")
    sampler: str | None = column("what proposes configurations")
    scheduler: str | None = column("what stops trials early")
    seed: int | None = column("seed of the run, from which each trial's is derived")
    repeats_requested: int | None = column("seeds asked for to repeat leading trials and default with", "seeds")
    trials_requested: int | None = column("trials asked for, all resumptions together", "trials")
    trials_done: int | None = column("trials that have a row in `trials`", "trials")
    git_commit: str | None = column("commit of the code; null outside a git checkout")
    git_dirty: bool | None = column("whether the checkout had changes that are not in the commit")
    versions: dict[str, str] | None = column("version of Python and of each library that matters")
    device: str | None = column("`cpu` or the accelerator's name")
    precision: str | None = column("number format of the training")
    feature_precision: str | None = column("number format of the stored features; null where none are stored")
    feature_cuts: list[int] | None = column("values of `trainable_blocks` whose features were stored", "blocks")
    half_cuts: list[int] | None = column("those of them that were stored in fp16", "blocks")
    trial_cpus: int | None = column("CPU cores, and threads, of each trial", "CPUs")
    hostname: str | None = column("machine of the driver")
    cluster_nodes: int | None = column("nodes of the cluster at the start", "nodes")
    cluster_cpus: float | None = column("CPUs of the cluster at the start", "CPUs")
    cluster_gpus: float | None = column("GPUs of the cluster at the start", "GPUs")
    winner_trial: int | None = column(
        "the trial with the best `objective`, of equal ones that with the best `val_accuracy`"
    )
    repeats: int | None = column(
        "seeds that winner and default were trained with again: accuracies and AUC on test pairs are then means over them, and "
        "intervals count seeds and identities; null: one training each",
        "seeds",
    )
    repeated_objective: float | None = column("mean `objective` of the winner over those seeds; the best of them won")
    chosen_trial: int | None = column(
        "the trial to use by validation pairs alone: the winner where it surely enough beats the default, else the default"
    )
    expected_auc: float | None = column(
        "AUC to expect of the winner: its validation value less what being chosen adds to it", "0 to 1"
    )
    expected_accuracy: float | None = column("accuracy to expect of the winner, corrected in the same way", "0 to 1")
    winner_share: float | None = column(
        "share of resamples of the validation identities in which the winner would have won", "0 to 1"
    )
    beats_default_share: float | None = column(
        "share of resamples in which the winner beats the default with a solved threshold; with `repeats` how sure it is that "
        "its mean over seeds does; null: it is the default's model",
        "0 to 1",
    )
    threshold_winner: float | None = column("the winner's threshold on test pairs, fixed on validation pairs", "cosine")
    threshold_default: float | None = column(
        "the default's threshold on test pairs, fixed on validation pairs", "cosine"
    )
    test_accuracy_winner: float | None = column("the winner's accuracy on test pairs", "0 to 1")
    test_accuracy_winner_low: float | None = column(_LOW, "0 to 1")
    test_accuracy_winner_high: float | None = column(_HIGH, "0 to 1")
    test_accuracy_default: float | None = column("the default configuration's accuracy on test pairs", "0 to 1")
    test_accuracy_default_low: float | None = column(_LOW, "0 to 1")
    test_accuracy_default_high: float | None = column(_HIGH, "0 to 1")
    test_difference: float | None = column("accuracy on test pairs, the winner's minus the default's", "-1 to 1")
    test_difference_low: float | None = column("lower end of its 95 % interval, both on the same resamples", "-1 to 1")
    test_difference_high: float | None = column(_HIGH, "-1 to 1")
    threshold_default_solved: float | None = column(
        "a threshold solved for the default's model on validation pairs", "cosine"
    )
    test_accuracy_default_solved: float | None = column(
        "the default's accuracy on test pairs with that threshold", "0 to 1"
    )
    test_accuracy_default_solved_low: float | None = column(_LOW, "0 to 1")
    test_accuracy_default_solved_high: float | None = column(_HIGH, "0 to 1")
    test_difference_solved: float | None = column(
        "the winner's accuracy minus the default's with that threshold", "-1 to 1"
    )
    test_difference_solved_low: float | None = column(
        "lower end of its 95 % interval, both on the same resamples", "-1 to 1"
    )
    test_difference_solved_high: float | None = column(_HIGH, "-1 to 1")
    test_auc_winner: float | None = column("the winner's area under the ROC curve of the test pairs", "0 to 1")
    test_auc_winner_low: float | None = column(_LOW, "0 to 1")
    test_auc_winner_high: float | None = column(_HIGH, "0 to 1")
    test_auc_default: float | None = column("the default's area under the ROC curve of the test pairs", "0 to 1")
    test_auc_default_low: float | None = column(_LOW, "0 to 1")
    test_auc_default_high: float | None = column(_HIGH, "0 to 1")
    test_identities: int | None = column("things that the test pairs show; the intervals resample these", "identities")
    error: str | None = column("why the run failed")


@dataclass(frozen=True, kw_only=True)
class EpochPlace:
    """What a row of `epochs` is found by."""

    trial: int = column("number of the trial in its run", key=True)
    epoch: int = column("counted from 1", key=True)


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """A validation pair as a trial scored it."""

    trial: int = column("number of the trial in its run", key=True)
    epoch: int = column("the epoch that the trial is ranked by, which the scores are from", key=True)
    pair: int = column("index of the validation pair in the pair table", key=True)
    score: np.float32 = column("similarity of the pair's two embeddings", "cosine", key=True)
    pair_label: np.int8 = column("1 shows the same thing, 0 different things", key=True)
    correct: bool | None = column("whether the pair was classified correctly, as `val_accuracy` counts it")
