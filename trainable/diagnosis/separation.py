"""Detectors of how scores tell pairs apart: none or inverted separation, pulled negatives, thresholds out of place."""

from __future__ import annotations

import math

from trainable.diagnosis.history import FAIL, WARN, Diagnosis, TrialHistory, diagnosis


def inverted_separation(course: TrialHistory) -> Diagnosis | None:
    """Scores of positive and negative validation pairs are the wrong way round."""
    aucs = course.last("val_auc", 2)
    if course.warm_epochs < 2 or not aucs or max(aucs) >= 0.4:
        return None
    evidence = f"validation AUC {aucs[-1]:.3f} after warm-up, a coin has 0.5"
    return diagnosis("inverted-separation", FAIL, f"{evidence}: negative pairs score higher than positive ones")


def no_separation(course: TrialHistory) -> Diagnosis | None:
    """Scores of positive and negative validation pairs are mixed; where training pairs are learnt all the same, labels
    are no matter of what images show."""
    aucs = course.last("val_auc", min(2, len(course.epochs)))
    if not course.warm_epochs or not aucs or aucs[-1] >= 0.55 or inverted_separation(course):
        return None
    evidence = f"validation AUC {aucs[-1]:.3f} after warm-up, a coin has 0.5"
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    if course.warm_epochs >= 2 and min(aucs) > 0.4 and loss is not None and chance and loss < 0.9 * chance:
        evidence += f"; the training loss has fallen to {loss:.3f}, chance is {chance:.3f}"
        return diagnosis("labels-at-random", WARN, evidence)
    return diagnosis("no-separation", WARN, evidence)


def negatives_pulled_together(course: TrialHistory) -> Diagnosis | None:
    """The loss's gradient pulls training pairs of label 0 together as it does those of label 1.

    Where nobody measured it: they have come as close as those, from where strangers are.
    """
    pull = course.value("negative_pull")
    if pull is None:
        return _negatives_as_close(course)
    if pull <= 0.5 or _far_apart(course):
        return None
    evidence = f"a step pulls the views of label 0 pairs together {pull:.2f} times as much as those of label 1 pairs"
    return diagnosis("negatives-pulled-together", WARN, f"{evidence}; below 0 is healthy")


def _far_apart(course: TrialHistory) -> bool:
    """Whether held-out pairs are told apart all but perfectly: the gradient that is left may point either way in a batch."""
    auc, positive, negative = (course.value(n) for n in ("val_auc", "positive_similarity", "negative_similarity"))
    if auc is None or positive is None or negative is None:
        return False
    return auc >= 0.98 and negative < min(0.2, positive - 0.5)


def _negatives_as_close(course: TrialHistory) -> Diagnosis | None:
    negative, consistency, strangers = (
        course.value(name) for name in ("negative_loss", "consistency_loss", "mean_cosine")
    )
    loss, chance = course.value("contrastive_loss"), course.value("chance_loss")
    if negative is None or consistency is None or strangers is None or loss is None or chance is None:
        return None
    if not course.warm_epochs or loss > 0.75 * chance:
        return None
    same, different = 1 - consistency, course.config.negative_margin + math.sqrt(max(0, negative))
    if same - strangers < 0.2 or different - strangers < 0.8 * (same - strangers):
        return None
    evidence = f"training cosine of label 0 pairs {different:.3f}, of label 1 pairs {same:.3f}"
    return diagnosis("negatives-pulled-together", WARN, f"{evidence}, of strangers {strangers:.3f}")


def accuracy_contradicts_scores(course: TrialHistory) -> Diagnosis | None:
    """Two classes, and fewer right than guessing gives: what was counted is not whether pairs are told right."""
    accuracy, auc = course.value("val_accuracy_solved", "val_accuracy"), course.value("val_auc")
    below = 0.25 if auc is None or auc < 0.65 else 0.45
    if not course.warm_epochs or accuracy is None or accuracy >= below:
        return None
    beside = "" if auc is None else f", AUC {auc:.3f}"
    return diagnosis("accuracy-contradicts-scores", FAIL, f"accuracy {accuracy:.3f} on two classes{beside}")


def threshold_out_of_place(course: TrialHistory) -> Diagnosis | None:
    """A threshold that was given accepts every validation pair, or none."""
    threshold, low, high = course.config.threshold, course.value("score_low"), course.value("score_high")
    if not course.warm_epochs or threshold is None or low is None or high is None or low < threshold <= high:
        return None
    every = "every pair is accepted" if threshold <= low else "no pair is accepted"
    return diagnosis(
        "threshold-out-of-place", WARN, f"threshold {threshold:g}, scores {low:.3f} to {high:.3f}: {every}"
    )


DETECTORS = (
    inverted_separation,
    accuracy_contradicts_scores,
    negatives_pulled_together,
    no_separation,
    threshold_out_of_place,
)
