"""Slow, readable loop implementations of every loss and metric, for the fast paths to be compared with.

Losses take (B, D) float64 tensors and are differentiable; metrics take lists or arrays and return plain numbers.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor


def info_nce(front, angle, labels, temperature, front_identity=None, angle_identity=None):
    """(loss, anchors, chance) as objective.md writes them: one cell, one anchor, one direction at a time."""
    size = len(labels)

    def role(i: int, j: int) -> str:
        if i == j:
            return "positive" if labels[i] == 1 else "negative"
        if front_identity is None or front_identity[i] < 0 or front_identity[i] != angle_identity[j]:
            return "negative"
        return "positive"

    losses, chances, anchors = [], [], 0
    for transposed in (False, True):
        per_anchor, per_chance = [], []
        for i in range(size):
            cells = [(j, role(j, i) if transposed else role(i, j)) for j in range(size)]
            couples = [(front[j], angle[i]) if transposed else (front[i], angle[j]) for j in range(size)]
            scores = [f @ a / temperature for f, a in couples]
            positives = [j for j, kind in cells if kind == "positive"]
            if positives:
                log_total = torch.logsumexp(torch.stack(scores), dim=0)
                per_anchor.append(-sum(scores[p] - log_total for p in positives) / len(positives))
                per_chance.append(math.log(size))
        anchors += len(per_anchor)
        if per_anchor:
            losses.append(sum(per_anchor) / len(per_anchor))
            chances.append(sum(per_chance) / len(per_chance))
    if not losses:
        return 0 * (front.sum() + angle.sum()), 0, 0.0
    return sum(losses) / 2, anchors, sum(chances) / 2


def negative_pair_term(front, angle, labels, margin=0.0) -> Tensor:
    """Mean over label-0 pairs of max(cosine - margin, 0)²."""
    terms = [torch.clamp(front[i] @ angle[i] - margin, min=0) ** 2 for i in range(len(labels)) if labels[i] == 0]
    return sum(terms) / len(terms) if terms else 0 * (front.sum() + angle.sum())


def consistency(front, angle, labels) -> Tensor:
    """Mean over label-1 pairs of 1 - cosine."""
    terms = [1 - front[i] @ angle[i] for i in range(len(labels)) if labels[i] == 1]
    return sum(terms) / len(terms) if terms else 0 * (front.sum() + angle.sum())


def broken_contrastive(front, angle, temperature) -> Tensor:
    """The broken run's loss, mean of -log(exp(s / tau) + 1e-8): no repulsion, so a constant encoder is its minimum."""
    return -torch.log(torch.exp((front * angle).sum(dim=1) / temperature) + 1e-8).mean()


def broken_accuracy(front, angle, class_ids) -> float:
    """The broken run's accuracy: how often the best match's index in the batch happens to equal a class id."""
    return float(((front @ angle.T).argmax(dim=1) == class_ids).double().mean())


def accuracy(scores, labels, threshold, weights=None) -> float:
    """Weighted share of pairs for which (score >= threshold) is the label."""
    weights = [1.0] * len(scores) if weights is None else weights
    right = sum(w for s, y, w in zip(scores, labels, weights, strict=True) if (s >= threshold) == (y == 1))
    return right / sum(weights)


def best_plateau(scores, labels, weights=None) -> tuple[float, float]:
    """(accuracy, width) of the widest run of equally good cuts, by trying every cut between distinct scores."""
    cuts = sorted(set(scores))
    bounds = [min(-1.0, cuts[0]), *cuts, max(1.0, float(np.nextafter(cuts[-1], np.inf)))]
    # A cut takes its upper end: a score there is accepted. The lowest cut accepts all.
    found = [accuracy(scores, labels, high, weights) for high in bounds[1:]]
    best, widest, run_low = max(found), 0.0, None
    for low, high, value in zip(bounds[:-1], bounds[1:], found, strict=True):
        if value < best - 1e-9:
            run_low = None
            continue
        run_low = low if run_low is None else run_low
        widest = max(widest, high - run_low)
    return best, widest


def purpose_cuts(kind, scores, labels, far=None, miss=1.0, false_accept=1.0) -> list[tuple[float, float]]:
    """The (low, high] in which a threshold is best for a purpose, by trying every cut; of far the lowest one alone."""
    cuts = sorted(set(scores))
    bounds = [min(-1.0, cuts[0]), *cuts, max(1.0, float(np.nextafter(cuts[-1], np.inf)))]
    positives, negatives = sum(y == 1 for y in labels), sum(y == 0 for y in labels)
    found = []
    for low, high in itertools.pairwise(bounds):
        misses = sum(y == 1 and s < high for s, y in zip(scores, labels, strict=True))
        accepts = sum(y == 0 and s >= high for s, y in zip(scores, labels, strict=True))
        if kind == "far":
            if accepts / negatives <= far:
                return [(low, high)]
            continue
        worth = abs(accepts / negatives - misses / positives)
        found.append((miss * misses + false_accept * accepts if kind == "cost" else worth, low, high))
    best = min(worth for worth, *_ in found)
    return [(low, high) for worth, low, high in found if worth <= best + 1e-9]


def auc(scores, labels, weights=None) -> float:
    """Share of (positive, negative) couples in the right order, half for ties; a couple weighs its pairs' product."""
    weights = [1.0] * len(scores) if weights is None else weights
    won = total = 0.0
    for s, y, w in zip(scores, labels, weights, strict=True):
        for t, z, v in zip(scores, labels, weights, strict=True):
            if y == 1 and z == 0:
                total += w * v
                won += w * v * (1.0 if s > t else 0.5 if s == t else 0.0)
    return won / total


def rates(scores, labels) -> list[tuple[float, float]]:
    """(false accept rate, true accept rate) from reject-all to accept-all, a point for each distinct score."""
    positives, negatives = sum(y == 1 for y in labels), sum(y == 0 for y in labels)
    points = [(0.0, 0.0)]
    for cut in sorted(set(scores), reverse=True):
        accepted = [y for s, y in zip(scores, labels, strict=True) if s >= cut]
        points.append((sum(y == 0 for y in accepted) / negatives, sum(y == 1 for y in accepted) / positives))
    return points


def equal_error_rate(scores, labels) -> float:
    """Where false accepts equal false rejects on the straight lines between neighbouring points of `rates`."""
    points = rates(scores, labels)
    for (far, tar), (next_far, next_tar) in itertools.pairwise(points):
        gap, next_gap = (1 - tar) - far, (1 - next_tar) - next_far
        if gap >= 0 >= next_gap and gap != next_gap:
            return far + gap / (gap - next_gap) * (next_far - far)
    raise AssertionError("the rates always cross")


def tar_at_far(scores, labels, one_in) -> float | None:
    """Largest true accept rate whose false accept rate is at most 1 / one_in; None with fewer negatives than that."""
    if sum(y == 0 for y in labels) < one_in:
        return None
    return max(tar for far, tar in rates(scores, labels) if far <= 1 / one_in)


def average_precision(scores, labels) -> float:
    """Σ (recall step) · (precision), a step for each distinct score."""
    positives, total, recall = sum(y == 1 for y in labels), 0.0, 0.0
    for cut in sorted(set(scores), reverse=True):
        accepted = [y for s, y in zip(scores, labels, strict=True) if s >= cut]
        hits = sum(y == 1 for y in accepted)
        total += (hits / positives - recall) * hits / len(accepted)
        recall = hits / positives
    return total


def d_prime(scores, labels) -> float:
    """Gap of the class means over the root mean of the class variances."""
    means, variances = [], []
    for label in (1, 0):
        values = [s for s, y in zip(scores, labels, strict=True) if y == label]
        means.append(sum(values) / len(values))
        variances.append(sum((v - means[-1]) ** 2 for v in values) / len(values))
    return (means[0] - means[1]) / math.sqrt(sum(variances) / 2)


def match_ranks(embeddings, pairs, tied=0.0) -> list[list[int]]:
    """Of each distinct front that has a match, the ranks of its matches among the distinct angles, whatever is tied first.

    pairs: (front image, angle image, front identity, angle identity) each; embeddings: by image.
    """
    fronts = {front: identity for front, _, identity, _ in reversed(pairs)}
    angles = {angle: identity for _, angle, _, identity in reversed(pairs)}
    found = []
    for front in sorted(fronts):
        score = {angle: float(embeddings[front] @ embeddings[angle]) for angle in angles if angle != front}
        matches = sorted((score[a] for a in score if angles[a] == fronts[front]), reverse=True)
        strangers = [score[a] for a in score if angles[a] != fronts[front]]
        ranks = [place + sum(s >= match - tied for s in strangers) for place, match in enumerate(matches, start=1)]
        found += [ranks] if ranks else []
    return found


def recall_at(ranks, k) -> float:
    """Share of the queries with a match among the k nearest."""
    return sum(min(of_query) <= k for of_query in ranks) / len(ranks)


def mean_average_precision(ranks) -> float:
    """Mean over queries of the mean over matches of: matches up to and with this one, over its rank."""
    return sum(sum(sum(r <= rank for r in q) / rank for rank in q) / len(q) for q in ranks) / len(ranks)


def platt_loss(scores, labels, slope, intercept) -> float:
    """Cross-entropy of a logistic curve at Platt's targets, (N+ + 1) / (N+ + 2) and 1 / (N- + 2)."""
    positives, total = sum(labels), 0.0
    for score, label in zip(scores, labels, strict=True):
        target = (positives + 1) / (positives + 2) if label else 1 / (len(labels) - positives + 2)
        logit = slope * score + intercept
        total += float(np.logaddexp(0, logit)) - target * logit
    return total


def calibration_error(probabilities, labels, bins) -> tuple[float, float]:
    """(expected calibration error over bins of equally many pairs, Brier score)."""
    order = sorted(range(len(labels)), key=lambda i: probabilities[i])
    bins, off, start = min(bins, len(order)), 0.0, 0
    for number in range(bins):
        stop = start + len(order) // bins + (number < len(order) % bins)
        inside = order[start:stop]
        off += abs(sum(labels[i] for i in inside) - sum(probabilities[i] for i in inside))
        start = stop
    brier = sum((p - y) ** 2 for p, y in zip(probabilities, labels, strict=True)) / len(labels)
    return off / len(labels), brier


def feature_std(rows) -> float:
    """mean_d std(z_d) · sqrt(D), a column at a time."""
    deviations = []
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        deviations.append(math.sqrt(sum((v - mean) ** 2 for v in column) / len(column)))
    return sum(deviations) / len(deviations) * math.sqrt(len(deviations))


def mean_off_diagonal_cosine(rows, identities) -> float:
    """Mean dot product over couples of rows of different identities."""
    products = [
        float(np.dot(rows[i], rows[j]))
        for i in range(len(rows))
        for j in range(len(rows))
        if identities[i] != identities[j]
    ]
    return sum(products) / len(products)


def uniformity(rows) -> float:
    """log mean exp(-2 ‖x - x'‖²), a couple at a time."""
    terms = [math.exp(-2 * float(((rows[i] - rows[j]) ** 2).sum())) for i in range(len(rows)) for j in range(i)]
    return math.log(sum(terms) / len(terms))


def rank_me(rows, centred=False) -> float:
    """exp(entropy) of the singular values over their sum, from the eigenvalues of the Gram matrix."""
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows - rows.mean(axis=0) if centred else rows
    values = [math.sqrt(v) for v in np.linalg.eigvalsh(rows.T @ rows) if v > 1e-12]
    return math.exp(-sum(v / sum(values) * math.log(v / sum(values)) for v in values))
