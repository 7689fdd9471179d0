"""Augmented views: constants of the search, mild enough to show the same thing, seen by training alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tests.tools.synthetic import pair_data
from trainable.config import TrialConfig
from trainable.data import augmentation
from trainable.data.augmentation import augmented, how, with_views
from trainable.data.pairs import PairData
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.loop import Training, train

SMALL = TrialConfig(epochs=2, batch_size=8, trainable_blocks=0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(72, 32, 32, 3) uint8."""
    return pair_data(size_px=32).pixels


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=32))


@pytest.fixture(scope="module")
def plain() -> PairData:
    """Pairs without views."""
    return pair_data(size_px=32)


@pytest.fixture(scope="module")
def viewed(plain) -> PairData:
    """The same pairs with three views of each image."""
    return dataclasses.replace(plain, pixels=with_views(plain.pixels, 3, plain.fingerprint), views=3)


def test_view_0_is_the_plain_image(images: np.ndarray) -> None:
    """The plain images come first, in their order, so that their rows are their indices; one view adds nothing."""
    found = with_views(images, 3, "abc")
    assert found.shape == (3 * len(images), *images.shape[1:]) and found.dtype == np.uint8
    assert np.array_equal(found[: len(images)], images)
    assert with_views(images, 1, "abc") is images


def test_views_are_the_same_each_time(images: np.ndarray) -> None:
    """Whatever the number of threads, and however many more views there are; other images have other views."""
    found = with_views(images, 3, "abc", workers=1)
    assert np.array_equal(with_views(images, 3, "abc", workers=5), found)
    assert np.array_equal(with_views(images, 2, "abc"), found[: 2 * len(images)])
    assert not np.array_equal(with_views(images, 3, "other"), found)


def test_every_view_is_another_but_shows_the_same_thing(images: np.ndarray) -> None:
    """Each view differs from the plain image and from the other views, yet is nearer to it than to any other image."""
    plain, *others = with_views(images, 4, "abc").reshape(4, len(images), -1).astype(float)
    for view in others:
        distance = cdist(view, plain, "cityblock") / plain.shape[1]
        assert distance.diagonal().min() > 3
        same_thing = np.arange(len(images))[:, None] // 2 == np.arange(len(images))[None] // 2
        assert (distance.argmin(axis=1) // 2 == np.arange(len(images)) // 2).all()
        assert distance[same_thing].mean() < 0.6 * distance[~same_thing].mean()
    assert (np.abs(others[0] - others[1]).mean(axis=-1) > 3).all()


def test_a_view_is_as_far_from_the_plain_image_as_its_strength_says(images: np.ndarray) -> None:
    """The usual strength changes no view of before; each strength draws the same changes, weaker or stronger."""
    usual = with_views(images, 2, "abc")
    assert np.array_equal(with_views(images, 2, "abc", strength=1.0), usual)
    far = [np.abs(with_views(images, 2, "abc", strength=s)[72:].astype(float) - images).mean() for s in (0.25, 0.5, 1, 2, 3)]
    assert far == sorted(far) and far[0] < 0.5 * far[2] and far[2] < 0.8 * far[4]
    assert len({how(strength) for strength in (0.5, 1, 2)}) == 3 and how(1.0) == how() == augmentation.HOW


def test_a_view_is_never_mirrored_nor_has_an_empty_corner() -> None:
    """Left stays left: a mirrored thing is another thing; and what lies beyond the edge is filled with its reflection."""
    ramp = np.linspace(60, 220, 48).astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (48, 48, 3)).copy()
    for draw in range(50):
        view = augmented(image, np.random.default_rng(draw)).astype(float)
        assert view[:, -8:].mean() - view[:, :8].mean() > 40
        assert view.min() > 30


def test_views_are_resampled_in_place() -> None:
    """The whole image, not turned, is the image itself to the bit; a quarter of it is that quarter, enlarged."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(augmentation._resampled(image, 1, 1, [0.5, 0.5], 0.0)), image)
    blocks = np.kron(np.arange(16).reshape(4, 4, 1) * 16, np.ones((8, 8, 3))).astype(np.uint8)
    quarter = np.asarray(augmentation._resampled(blocks, 0.5, 0.5, [0.75, 0.25], 0.0))
    assert np.array_equal(quarter[8::16, 8::16, 0], blocks[4:16:8, 20:32:8, 0])


def test_training_draws_a_view_of_each_image_each_epoch(backbone, viewed) -> None:
    """All views are shown, another draw each epoch, the same draw for the same seed and epoch, each of its own image."""
    data, training = viewed, Training(SMALL, backbone, viewed)
    shown = [training.batches.shown(np.random.default_rng([0, epoch])).numpy() for epoch in (1, 2, 1)]
    assert all(np.array_equal(rows % data.images, np.arange(data.images)) for rows in shown)
    assert set(shown[0] // data.images) == {0, 1, 2}
    assert np.array_equal(shown[0], shown[2]) and not np.array_equal(shown[0], shown[1])


def test_views_change_what_training_sees_and_nothing_else(backbone, plain, viewed) -> None:
    """With three views that all equal the plain image, the reports are those without views; with real ones, others."""
    copies = dataclasses.replace(plain, pixels=np.concatenate([plain.pixels] * 3), views=3)
    expected = list(train(SMALL, backbone, plain))
    assert all(a.same_as(b) for a, b in zip(expected, train(SMALL, backbone, copies), strict=True))
    assert not any(a.same_as(b) for a, b in zip(expected, train(SMALL, backbone, viewed), strict=True))


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_and_test_use_the_plain_images(backbone, plain, viewed, split: str) -> None:
    """Scores of the same weights are the same with and without views."""
    rows = plain.rows(split)
    with_them, without = (Training(SMALL, backbone, data).score(rows)[0] for data in (viewed, plain))
    assert np.array_equal(with_them, without)
