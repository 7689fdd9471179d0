"""Every check of data says ok for a sound set, and finds, names and counts what was done to a spoilt one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.tools.synthetic import pair_data
from trainable.checks.data_checks import augmentation, examine_images, examine_table
from trainable.data.augmentation import with_views
from trainable.data.pairs import PairTable
from trainable.data.splits import SPLITS
from trainable.findings import FAIL, OK, WARN, Finding, worst

DATA = pair_data(identities=240)  # 160 pairs in each split


def table(**changes) -> PairTable:
    """The synthetic pairs as a table."""
    identity = np.arange(240).repeat(2)
    names = tuple(f"{i}{side}.png" for i in range(240) for side in ("f", "a"))
    columns = {
        "source": "pairs.csv",
        "images": tuple(name.encode() for name in names),
        "image_names": names,
        "front": DATA.front,
        "angle": DATA.angle,
        "pair_label": DATA.pair_label,
        "identity_names": tuple(f"thing{i}" for i in range(240)),
        "split": np.array(SPLITS)[DATA.split],
    } | changes
    columns = {"front_identity": identity[columns["front"]], "angle_identity": identity[columns["angle"]]} | columns
    return PairTable(**columns)


def found(findings: list[Finding], check: str) -> Finding:
    (one,) = [finding for finding in findings if finding.check == check]
    return one


def of_images(pixels: np.ndarray, check: str, batch_size: int = 32) -> Finding:
    return found(examine_images(table(), pixels, batch_size), check)


def test_a_sound_set_is_ok_in_every_line():
    """No warning, and every line has numbers."""
    findings = [*examine_table(table()), *examine_images(table(), DATA.pixels, 32)]
    assert worst(f.verdict for f in findings) == OK, [f for f in findings if f.verdict != OK]
    assert len({finding.check for finding in findings}) == len(findings) >= 14


def test_label_balance():
    """Five to one is told, with what a constant answer would score."""
    rows = np.flatnonzero((DATA.pair_label == 1) | (DATA.split != 1) | (np.arange(len(DATA.split)) % 16 == 1))
    few = table(
        **{name: getattr(DATA, name)[rows] for name in ("front", "angle", "pair_label")},
        split=np.array(SPLITS)[DATA.split[rows]],
    )
    line = found(examine_table(few), "label balance")
    assert line.verdict == WARN and "val 80 same and 10 different" in line.found and "val 0.89" in line.found


def test_few_held_out_pairs():
    """Below a hundred, with how well an accuracy is known."""
    rows = np.flatnonzero((DATA.split != 2) | (np.arange(len(DATA.split)) > 410))
    few = table(
        **{name: getattr(DATA, name)[rows] for name in ("front", "angle", "pair_label")},
        split=np.array(SPLITS)[DATA.split[rows]],
    )
    line = found(examine_table(few), "held-out pairs")
    assert line.verdict == WARN and "test 69 pairs" in line.found and "± 0.07 (test)" in line.found


def test_held_out_identities_count_not_pairs():
    """Sixteen identities in 196 pairs know an accuracy of 0.9 to ± 0.11, not to the ± 0.04 of 196 independent pairs."""
    random = np.random.default_rng(0)
    rows = [np.flatnonzero(DATA.split == code) for code in range(3)]
    front = random.integers(0, 16, 196)  # of the identities of val, which are 80 to 159
    angle = np.where(np.arange(196) % 2, front, (front + random.integers(1, 16, 196)) % 16)
    many = table(
        front=np.r_[DATA.front[rows[0]], 2 * (80 + front), DATA.front[rows[2]]],
        angle=np.r_[DATA.angle[rows[0]], 2 * (80 + angle) + 1, DATA.angle[rows[2]]],
        pair_label=np.r_[DATA.pair_label[rows[0]], front == angle, DATA.pair_label[rows[2]]].astype(np.int8),
        split=np.repeat(np.array(SPLITS), [len(rows[0]), 196, len(rows[2])]),
    )
    line = found(examine_table(many), "held-out pairs")
    assert line.verdict == WARN and "val 196 pairs of 16 identities" in line.found and "± 0.11 (val)" in line.found
    assert "Add held-out identities" in line.advice


def test_repeated_rows():
    """Rows that show the same two images, either way round."""
    twice = np.r_[np.arange(480), np.arange(40)]
    both = table(
        front=np.r_[DATA.front, DATA.angle[:40]],
        angle=np.r_[DATA.angle, DATA.front[:40]],
        pair_label=DATA.pair_label[twice],
        split=np.array(SPLITS)[DATA.split[twice]],
    )
    line = found(examine_table(both), "repeated rows")
    assert line.verdict == WARN and "40 of 520" in line.found


def test_all_images_identical():
    """Fatal: nothing can be told apart."""
    same = np.broadcast_to(DATA.pixels[:1], DATA.pixels.shape)
    line = of_images(same, "variety of images")
    assert line.verdict == FAIL and "1 different images of 480" in line.found
    noisy = np.clip(same.astype(int) + np.random.default_rng(0).normal(0, 1.5, same.shape), 0, 255).astype(np.uint8)
    assert of_images(noisy, "variety of images").verdict == FAIL, "grain is no difference"


def test_blank_images_are_named():
    """An image of one colour, whichever."""
    pixels = DATA.pixels.copy()
    pixels[7] = (200, 30, 30)
    line = of_images(pixels, "variety of images")
    assert line.verdict == WARN and "1 of 480 images are of one colour: 3a.png" in line.found


@pytest.mark.parametrize(("copied", "verdict"), [(3, WARN), (200, FAIL)])
def test_one_picture_as_front_and_as_angle(copied, verdict):
    """A few are told; when most positive pairs are copies nothing is learnt about angles."""
    pixels = DATA.pixels.copy()
    pixels[1 : 2 * copied : 2] = pixels[0 : 2 * copied : 2]
    line = of_images(pixels, "front is not angle")
    assert line.verdict == verdict and f"{copied} labelled 1): 0f.png = 0a.png" in line.found


def test_copies_under_another_identity():
    """Exact ones, and ones that were retouched, with both identities; copies within an identity are no fault."""
    pixels = DATA.pixels.copy()
    pixels[21] = pixels[20]
    assert of_images(pixels, "exact copies").verdict == OK
    pixels[31] = pixels[20]
    line = of_images(pixels, "exact copies")
    assert line.verdict == WARN and "10f.png (thing10) and 15a.png (thing15)" in line.found
    assert of_images(DATA.pixels, "near copies").verdict == OK
    pixels = DATA.pixels.copy()
    pixels[31] = np.clip(pixels[20] + 2.0, 0, 255)
    line = of_images(pixels, "near copies")
    assert line.verdict == WARN and "10f.png (thing10) and 15a.png (thing15)" in line.found


def test_two_things_of_one_kind_are_no_fault():
    """What differs in a label only looks alike: both are named, to be looked at, and it is no warning."""
    pixels = DATA.pixels.copy()
    pixels[31] = pixels[20]
    side = pixels.shape[1]
    patch = slice(side // 2, side // 2 + side // 8)
    level = pixels[20, patch, patch].astype(int)
    pixels[31, patch, patch] = np.where(level > 127, level - 40, level + 40)
    assert of_images(pixels, "near copies").verdict == OK
    line = of_images(pixels, "images that look alike")
    assert line.verdict == OK and "10f.png (thing10) and 15a.png (thing15)" in line.found


@pytest.mark.parametrize(("copied", "verdict"), [(2, WARN), (20, FAIL)])
def test_an_image_in_two_splits(copied, verdict):
    """Under another name: fatal where it is more than a twentieth of the split."""
    pixels = DATA.pixels.copy()
    pixels[160 : 160 + copied] = pixels[:copied]  # identities 80 on are of val
    line = of_images(pixels, "an image in one split only")
    assert line.verdict == verdict and f"{copied} of val's 160 images are in train" in line.found


def test_a_split_in_another_light():
    """Darker angle views in the test split only, as from a camera that training never saw."""
    pixels = DATA.pixels.copy()
    assert of_images(pixels, "splits look alike").verdict == OK
    pixels[321::2] = pixels[321::2] // 3
    line = of_images(pixels, "splits look alike")
    assert line.verdict == WARN and "light, test, change from front to angle: -" in line.found
    same = np.full_like(pixels, 9)
    assert of_images(same, "splits look alike").verdict == OK, "nothing to compare with"


def test_fewer_identities_than_a_batch_has_pairs():
    """Then a batch shows an identity more than once."""
    assert of_images(DATA.pixels, "enough for a batch", batch_size=80).verdict == OK
    line = of_images(DATA.pixels, "enough for a batch", batch_size=128)
    assert line.verdict == WARN and "80 identities, batches of 128" in line.found and "--batch-size 80" in line.advice


def scenes() -> np.ndarray:
    """Pictures whose views are recognisable: noise is not, once it is turned."""
    from tests.trainable.checks.test_near_duplicates import scenes

    return scenes(60, 32)


def test_augmentation_as_it_is_drawn_is_ok():
    """The project's own views change an image and still show it."""
    assert augmentation(with_views(scenes(), 3, "seed"), 3).verdict == OK
    assert augmentation(scenes(), 1).verdict == OK


@pytest.mark.parametrize(
    ("spoil", "verdict", "said"),
    [
        (lambda plain: plain, FAIL, "views are the plain images"),
        (lambda plain: np.full_like(plain, 127), FAIL, "views are wiped out"),
        (lambda plain: plain[::-1], WARN, "views look like other images"),
    ],
)
def test_augmentation_that_does_nothing_or_too_much(spoil, verdict, said):
    """Copies, grey squares, and views of something else."""
    plain = scenes()
    line = augmentation(np.concatenate([plain, spoil(plain)]), 2)
    assert line.verdict == verdict and said in line.found


def test_what_was_tolerated_leads():
    """The mistakes put aside while reading stand in place of the ok of their check."""
    from trainable.findings import DataError

    fault = DataError("an identity in one split only", "pairs.csv: thing3 is in train and val", "Valid is one.")
    findings = examine_table(dataclasses.replace(table()), [fault])
    assert findings[0] == fault.finding and found(findings, fault.finding.check).verdict == FAIL
