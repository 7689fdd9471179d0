"""What a pair table and its decoded images are worth before any training: one finding a check."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trainable.checks import near_duplicates
from trainable.checks.near_duplicates import blank, look_alikes, looked_at, near_copies, thumbnails
from trainable.data.pairs import PairTable
from trainable.data.rules import DISJOINT, LABELS_FIT, ONE_LABEL
from trainable.data.splits import SPLITS
from trainable.findings import FAIL, OK, WARN, DataError, Finding

IMBALANCE = 5.0
"""Pairs of one label for each of the other, in a split, from which it is told."""
FEW = 100
"""Independent scores of validation or test pairs, below which an accuracy of 0.9 is not known to ± 0.06."""
SHIFT = 1.0
"""Standard deviations of training images by which a split's mean differs from theirs from which it is told."""
LEAK = 0.05
"""Share of a split's images that another split shows too from which its numbers measure memory."""
REPEATED = 0.05
"""Share of rows that repeat another one from which it is told."""
ALIKE_LEVELS = 2.0
"""Mean distance of all thumbnails from their mean, in levels of 0 to 255, below which images all show the same."""
_LISTED = 5


def examine_table(table: PairTable, tolerated: Sequence[DataError] = ()) -> list[Finding]:
    """What the table alone tells. tolerated: the mistakes that `read_pairs` put aside."""
    faults = [fault.finding for fault in tolerated]
    held = {
        ONE_LABEL: f"none of {len(table.front)} pairs is labelled both ways",
        LABELS_FIT: f"every one of {len(table.front)} pairs",
        DISJOINT: f"none of {len(table.identity_names)} is in two",
    }
    sound = [Finding(check, OK, text) for check, text in held.items() if check not in {f.check for f in faults}]
    return [*faults, *sound, _balance(table), _enough_pairs(table), _repeated(table)]


def examine_images(table: PairTable, pixels: np.ndarray, batch_size: int, views: int = 1) -> list[Finding]:
    """What the images tell. pixels: (views · m, S, S, 3) uint8 as `augmentation.with_views` gives them."""
    plain = pixels[: len(table.images)]
    groups, thumbs, codes = looked_at(plain)
    distinct = np.unique(groups)
    alike = look_alikes(thumbs, codes, distinct)
    copied = near_copies(plain, thumbs, alike)
    return [
        Finding("readable images", OK, f"all {len(plain)} decoded to the last byte"),
        _variety(table, groups, thumbs),
        _same_image_twice(table, groups),
        _copies(table, groups),
        _near_copies(table, alike[copied]),
        _look_alikes(table, alike[~copied]),
        _image_in_two_splits(table, groups),
        _splits_alike(table, thumbs),
        _identities_in_a_batch(table, batch_size),
        augmentation(pixels, views),
    ]


def _balance(table: PairTable) -> Finding:
    counts = {split: np.bincount(table.pair_label[table.rows(split)], minlength=2) for split in SPLITS}
    ratio = {split: max(count) / max(1, min(count)) for split, count in counts.items()}
    text = ", ".join(f"{split} {one} same and {zero} different" for split, (zero, one) in counts.items())
    steep = [split for split in SPLITS if ratio[split] >= IMBALANCE]
    if not steep:
        return Finding("label balance", OK, text)
    guess = ", ".join(f"{split} {max(counts[split]) / sum(counts[split]):.2f}" for split in steep)
    return Finding(
        "label balance", WARN, f"{text}; always answering with the commoner label is right in: {guess}",
        "Add pairs of the rarer label, or rank by --metric val_auc or val_balanced_accuracy.",
    )  # fmt: skip


def _enough_pairs(table: PairTable) -> Finding:
    """How well held-out numbers can be known. Identities count, not pairs: an identity's pairs are right or wrong together, so
    that each gives about one independent score of a positive pair and one of a negative pair."""
    sizes = {split: len(table.rows(split)) for split in SPLITS[1:]}
    identities = {split: len(_identities(table, split)) for split in sizes}
    text = ", ".join(f"{split} {size} pairs of {identities[split]} identities" for split, size in sizes.items())
    scores = {split: min(size, 2 * identities[split]) for split, size in sizes.items()}
    text += "; an accuracy of 0.9 is known to about " + ", ".join(
        f"± {2 * math.sqrt(0.9 * 0.1 / count):.2f} ({split})" for split, count in scores.items()
    )
    text += ": pairs that share an identity are right or wrong together"
    if min(scores.values()) >= FEW:
        return Finding("held-out pairs", OK, text)
    return Finding(
        "held-out pairs", WARN, text, "Add held-out identities, or take small differences for what they are: noise."
    )


def _repeated(table: PairTable) -> Finding:
    ends = np.sort(np.stack([table.front, table.angle], axis=1), axis=1)
    repeated = len(ends) - len(np.unique(ends, axis=0))
    text = f"{repeated} of {len(ends)} repeat the two images of another row"
    if repeated <= REPEATED * len(ends):
        return Finding("repeated rows", OK, text)
    return Finding("repeated rows", WARN, text, "Remove repeated rows, unless they are meant as weights.")


def _variety(table: PairTable, groups: np.ndarray, thumbs: np.ndarray) -> Finding:
    """Images that differ, and show something."""
    spread = near_duplicates.variety(thumbs)
    empty = np.flatnonzero(blank(thumbs))
    text = f"{len(np.unique(groups))} different images of {len(groups)}, {spread:.1f} levels of 255 from their mean"
    if spread < ALIKE_LEVELS:
        advice = "Look at the image files, and at how they were made: nothing can be told apart by them."
        return Finding("variety of images", FAIL, f"all images look the same: {text}", advice)
    if len(empty):
        text = f"{len(empty)} of {len(groups)} images are of one colour: {_named(table, empty)}"
        return Finding("variety of images", WARN, text, "Restore these images, or remove their rows.")
    return Finding("variety of images", OK, text)


def _same_image_twice(table: PairTable, groups: np.ndarray) -> Finding:
    """Pairs whose front and angle view are one picture."""
    check = "front is not angle"
    same = groups[table.front] == groups[table.angle]
    positive = table.pair_label == 1
    counted = ", ".join(
        f"{int(np.sum(same & mine))} labelled {label}"
        for label, mine in ((1, positive), (0, ~positive))
        if (same & mine).any()
    )
    if not same.any():
        return Finding(check, OK, f"in all {len(same)} pairs")
    names = [f"{table.image_names[table.front[i]]} = {table.image_names[table.angle[i]]}" for i in np.flatnonzero(same)]
    text = f"{int(same.sum())} of {len(same)} pairs show one picture twice ({counted}): {_few(names, len(names))}"
    half = (same & positive).sum() > positive.sum() / 2
    advice = "Give each pair two pictures: a copy teaches nothing about angles, and counts as right."
    return Finding(check, FAIL if half else WARN, text, advice)


def _copies(table: PairTable, groups: np.ndarray) -> Finding:
    """Exact copies under different names."""
    identity = _identity_of_image(table)
    copies = np.flatnonzero(groups != np.arange(len(groups)))
    if not len(copies):
        return Finding("exact copies", OK, f"none among {len(groups)} images")
    strangers = copies[identity[copies] != identity[groups[copies]]]
    text = f"{len(copies)} of {len(groups)} images are pixel for pixel another one"
    if not len(strangers):
        names = [f"{table.image_names[i]} = {table.image_names[groups[i]]}" for i in copies]
        return Finding("exact copies", OK, f"{text}, all of the same identity: {_few(names, len(names))}")
    text += (
        f", {len(strangers)} of them one of another identity: {_both(table, identity, groups[strangers], strangers)}"
    )
    return Finding("exact copies", WARN, text, "Remove placeholders; give copies of one thing one identity.")


def _near_copies(table: PairTable, near: np.ndarray) -> Finding:
    """Near copies (p, 2) of different identities; those of one identity are only counted."""
    identity = _identity_of_image(table)
    strangers = near[identity[near[:, 0]] != identity[near[:, 1]]]
    within = len(near) - len(strangers)
    if not len(strangers):
        same = f"{within} pairs of images of one identity are one photograph, saved again"
        return Finding("near copies", OK, same if within else f"none among {len(table.images)} images")
    text = f"{len(strangers)} pairs of images of different identities are one photograph, saved again or retouched: "
    text += _both(table, identity, *strangers.T)
    return Finding("near copies", WARN, text, "Give both one identity: one thing under two is taught to be two.")


def _look_alikes(table: PairTable, alike: np.ndarray) -> Finding:
    """Images (p, 2) that look alike and are no copies: those of different identities may be two things of one kind."""
    identity = _identity_of_image(table)
    strangers = alike[identity[alike[:, 0]] != identity[alike[:, 1]]]
    within = len(alike) - len(strangers)
    text = f"{within} pairs of images of one identity" if within else "none of one identity"
    if not len(strangers):
        return Finding("images that look alike", OK, f"{text}, none of different ones")
    text += f", {len(strangers)} of different ones, which are fine if they are two things: "
    return Finding("images that look alike", OK, text + _both(table, identity, *strangers.T))


def _image_in_two_splits(table: PairTable, groups: np.ndarray) -> Finding:
    """The same picture, under another name, in another split."""
    check = "an image in one split only"
    shown = {split: np.unique(groups[_images(table, split)]) for split in SPLITS}
    shares, names = [], []
    for split, other in (("val", "train"), ("test", "train"), ("test", "val")):
        both = np.intersect1d(shown[split], shown[other])
        if len(both):
            shares.append(len(both) / len(shown[split]))
            names.append(f"{len(both)} of {split}'s {len(shown[split])} images are in {other}: {_named(table, both)}")
    if not names:
        return Finding(
            check, OK, "; ".join(f"{split} {len(images)}" for split, images in shown.items()) + " images, none in two"
        )
    advice = "Remove one of the two rows, or the column `split` once both images have one identity."
    return Finding(check, FAIL if max(shares) > LEAK else WARN, "; ".join(names), advice)


def _splits_alike(table: PairTable, thumbs: np.ndarray) -> Finding:
    """Whether held-out pictures have the light and the contrast of training ones, and the same change between views."""
    check = "splits look alike"
    looks = dict(zip(("light", "contrast"), near_duplicates.light_and_contrast(thumbs), strict=True))
    shifts = [
        (_shift(values, table, split, side), split, side, name)
        for name, values in looks.items()
        for split in SPLITS[1:]
        for side in ("front", "angle", "change from front to angle")
    ]
    shift, split, side, name = max(shifts, key=lambda found: abs(found[0]))
    text = f"largest shift from train: {name}, {split}, {side}: {shift:+.1f} standard deviations"
    if abs(shift) < max(SHIFT, 4 / math.sqrt(len(_identities(table, split)))):
        return Finding(check, OK, text)
    advice = (
        f"Expect {split} numbers below what training promises; add such pictures to train, or augment light (--views)."
    )
    return Finding(check, WARN, text, advice)


def _shift(values: np.ndarray, table: PairTable, split: str, side: str) -> float:
    """Mean of a split's less that of train's, in train's standard deviations. values: (m,) of each image."""
    of_pair = {"front": values[table.front], "angle": values[table.angle]}
    of_pair["change from front to angle"] = np.where(table.pair_label == 1, of_pair["angle"] - of_pair["front"], np.nan)
    here, train = (of_pair[side][table.rows(name)] for name in (split, "train"))
    spread = float(np.nanstd(train))
    return float(np.nanmean(here) - np.nanmean(train)) / spread if spread else 0.0


def _identities_in_a_batch(table: PairTable, batch_size: int) -> Finding:
    rows, identities = len(table.rows("train")), len(_identities(table, "train"))
    text = f"{rows} training pairs of {identities} identities, batches of {batch_size}"
    if identities >= batch_size:
        return Finding("enough for a batch", OK, text)
    advice = (
        f"Give --batch-size {max(2, identities)} or less, or add identities: a batch shows each of them several times."
    )
    return Finding("enough for a batch", WARN, text, advice)


def augmentation(pixels: np.ndarray, views: int, sample: int = 256) -> Finding:
    """Whether augmented views change the image, and still show it. pixels: (views · m, S, S, 3) uint8, plain ones first."""
    if views == 1:
        return Finding("augmentation", OK, "none asked for (--views 1)")
    images = len(pixels) // views
    chosen = np.unique(np.linspace(0, images - 1, min(sample, images)).astype(int))
    plain = thumbnails(pixels[chosen])
    drawn = np.stack([thumbnails(pixels[view * images + chosen]) for view in range(1, views)])
    moved = np.abs(pixels[images + chosen].astype(np.int16) - pixels[chosen]).mean()
    contrast = float(np.median(drawn.std(axis=2) / np.maximum(plain.std(axis=1), 1e-6)))
    own = _recognised(plain, drawn)
    text = f"a view differs by {moved:.1f} of 255 levels, keeps {contrast:.0%} of the contrast, and is most like its "
    text += f"own image in {own:.0%} of {len(chosen)}"
    if moved < 0.5:
        what, remedy = f"views are the plain images: {text}", "Give --views 1, or mend the augmentation."
        return Finding("augmentation", FAIL, what, remedy)
    if contrast < 0.1:
        return Finding("augmentation", FAIL, f"views are wiped out: {text}", "Make the augmentation milder.")
    if own < 0.5:
        return Finding("augmentation", WARN, f"views look like other images: {text}", "Make the augmentation milder.")
    return Finding("augmentation", OK, text)


def _recognised(plain: np.ndarray, drawn: np.ndarray) -> float:
    """Share of the views (v, n, d) that correlate most with the plain image (n, d) that they are of."""
    plain, drawn = (x - x.mean(axis=-1, keepdims=True) for x in (plain, drawn))
    plain, drawn = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6) for x in (plain, drawn))
    return float(np.mean((drawn @ plain.T).argmax(axis=2) == np.arange(len(plain))))


def _images(table: PairTable, split: str) -> np.ndarray:
    rows = table.rows(split)
    return np.union1d(table.front[rows], table.angle[rows])


def _identities(table: PairTable, split: str) -> np.ndarray:
    rows = table.rows(split)
    return np.union1d(table.front_identity[rows], table.angle_identity[rows])


def _identity_of_image(table: PairTable) -> np.ndarray:
    """(m,) identity code of each image."""
    codes = np.empty(len(table.images), dtype=np.int64)
    codes[table.front], codes[table.angle] = table.front_identity, table.angle_identity
    return codes


def _both(table: PairTable, identity: np.ndarray, first: np.ndarray, second: np.ndarray) -> str:
    """Pairs of images with the identities that the table gives them."""
    pairs = zip(first[:_LISTED], second[:_LISTED], strict=True)
    named = [[f"{table.image_names[i]} ({table.identity_names[identity[i]]})" for i in pair] for pair in pairs]
    return _few([" and ".join(pair) for pair in named], len(first))


def _named(table: PairTable, images: np.ndarray) -> str:
    return _few([table.image_names[i] for i in images[:_LISTED]], len(images))


def _few(names: Sequence[str], total: int) -> str:
    """The first names of so many."""
    return ", ".join(names[:_LISTED]) + (f" and {total - _LISTED} more" if total > _LISTED else "")
