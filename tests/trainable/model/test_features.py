"""Features: what a cut gives, which cuts are stored, and trials that start from them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.tools.synthetic import pair_data
from trainable.config import METRICS, Settings, TrialConfig
from trainable.data.augmentation import with_views
from trainable.data.pairs import PairData
from trainable.model import features
from trainable.model.backbone import block_count
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.loop import train

SIZE_PX = 32
FAMILIES = ["test_vit", "test_resnet", "test_convnext", "test_efficientnet", "test_byobnet"]


def with_features(data, backbone, cuts):
    """The data with the features of these cuts."""
    return dataclasses.replace(data, features=features.extract(backbone, data.pixels, cuts))


@pytest.mark.parametrize(("name", "views"), [*((name, 1) for name in FAMILIES), ("test_vit", 3), ("test_resnet", 3)])
def test_cached_and_uncached_trials_give_the_same_reports(name: str, views: int) -> None:
    """For every cut of every family, training from stored features equals training from pixels, to the bit.

    With several views of each image too: every cut has all of them, and a trial sees the same ones from wherever it starts.
    """
    data = pair_data(size_px=SIZE_PX, identities=18)
    data = dataclasses.replace(data, pixels=with_views(data.pixels, views, data.fingerprint), views=views)
    backbone = create_backbone(BackboneSpec(name, image_size_px=SIZE_PX))
    cuts = features.cacheable_cuts(backbone, range(block_count(backbone) + 1))
    stored = with_features(data, backbone, cuts)
    for blocks in range(block_count(backbone) + 1):
        config = TrialConfig(epochs=1, batch_size=6, trainable_blocks=blocks)
        [plain], [cached] = (list(train(config, backbone, source)) for source in (data, stored))
        assert cached.same_as(plain), f"{name} differs at trainable_blocks={blocks}"


def test_a_cut_that_is_not_stored_starts_from_the_next_shallower_one() -> None:
    """With only a shallow cut stored, a trial with fewer trainable blocks starts there and gives the same reports."""
    data = pair_data(size_px=SIZE_PX)
    backbone = create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX))
    shallow = block_count(backbone) - 1
    config = TrialConfig(epochs=1, batch_size=8, trainable_blocks=0)
    [plain] = train(config, backbone, data)
    [advanced] = train(config, backbone, with_features(data, backbone, [shallow]))
    assert features.start_of(0, [shallow]) == shallow
    assert advanced.same_as(plain)


def test_features_of_an_image_do_not_depend_on_what_else_is_extracted() -> None:
    """An image gives the same bits alone, in another order and in another chunk."""
    data = pair_data(size_px=SIZE_PX)
    backbone = create_backbone(BackboneSpec("test_efficientnet", image_size_px=SIZE_PX))
    whole = features.extract(backbone, data.pixels, [0, 1])
    alone = features.extract(backbone, data.pixels[5:6], [0, 1])
    turned = features.extract(backbone, data.pixels[::-1], [0, 1])
    for cut in (0, 1):
        assert np.array_equal(whole[cut][5], alone[cut][0])
        assert np.array_equal(whole[cut], turned[cut][::-1])


def test_only_cuts_that_save_work_are_stored() -> None:
    """All blocks trainable means pixels; a model that can only run whole stores its pooled features alone."""
    resnet = create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX))
    count = block_count(resnet)
    assert features.cacheable_cuts(resnet, [0, 1, count, None]) == [1, 0]
    whole_only = create_backbone(BackboneSpec("test_mambaout", image_size_px=SIZE_PX))
    assert features.cacheable_cuts(whole_only, range(block_count(whole_only) + 1)) == [0]


def test_the_budget_keeps_the_deepest_prefixes() -> None:
    """Within the memory budget deep prefixes are kept first; what does not fit is left out."""
    assert features.choose({2: 4.0, 0: 1.0, 1: 2.0}, 3.5) == {0: "fp32", 1: "fp32"}
    assert features.choose({0: 1.0}, 0.5) == {}


def test_half_precision_lets_more_cuts_fit() -> None:
    """fp16 takes half the memory; where it is not wanted everywhere, only as many cuts have it as the memory asks for."""
    sizes = {0: 1.0, 1: 2.0, 2: 4.0}
    assert features.choose(sizes, 3.5, {0, 1, 2}, wherever_possible=True) == dict.fromkeys(sizes, "fp16")
    assert features.choose(sizes, 7.0, {0, 1, 2}) == features.choose(sizes, 7.0) == dict.fromkeys(sizes, "fp32")
    assert features.choose(sizes, 5.0, {0, 1, 2}) == {0: "fp32", 1: "fp32", 2: "fp16"}
    assert features.choose(sizes, 4.0, {0, 1, 2}) == {0: "fp32", 1: "fp16", 2: "fp16"}
    assert features.choose(sizes, 3.4, {0, 1, 2}) == {0: "fp32", 1: "fp32"}
    assert features.choose(sizes, 5.0, {1}, wherever_possible=True) == {0: "fp32", 1: "fp16"}
    assert features.choose(sizes, 6.0, {1}) == {0: "fp32", 1: "fp16", 2: "fp32"}


def test_halves_are_for_activations_that_tell_images_apart() -> None:
    """float16 rounds relative to a number's size: harmless around 0, not where images differ by a hundredth of it."""
    differences = np.random.default_rng(0).normal(size=(64, 30)).astype(np.float32)
    assert 2e-4 < features._blur(differences) < 3e-4
    assert features._blur(differences + 1) < features.HALF_BLUR < features._blur(differences + 100)
    assert features._blur(1e6 * differences) == np.inf
    assert features._blur(np.zeros((4, 3), dtype=np.float32)) == 0
    data = pair_data(size_px=SIZE_PX)
    for name, cuts in (("test_convnext", [2, 0]), ("test_byobnet", [3])):
        backbone = create_backbone(BackboneSpec(name, image_size_px=SIZE_PX))
        assert features.harmless_halves(backbone, data.pixels, cuts) == set(cuts), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_halves_are_trained_on_as_the_rounded_numbers_that_they_are(precision: str) -> None:
    """Stored halves give the reports of the same rounded numbers stored in full, to the bit, also from a shallower cut."""
    data = pair_data(size_px=SIZE_PX)
    backbone = create_backbone(BackboneSpec("test_resnet", image_size_px=SIZE_PX))
    [half] = (features.halved(array) for array in features.extract(backbone, data.pixels, [1]).values())
    for blocks in (0, 1):
        config = TrialConfig(epochs=1, batch_size=8, trainable_blocks=blocks)
        sources = (dataclasses.replace(data, features={1: x}) for x in (half, half.astype(np.float32)))
        [one], [other] = (list(train(config, backbone, x, Settings(precision=precision))) for x in sources)
        assert one.same_as(other)


def test_halves_change_no_metric(rendered: PairData) -> None:
    """A healthy trial on rendered objects: no validation metric moves by more than 0.001 with stored halves."""
    backbone = create_backbone(BackboneSpec("test_convnext", image_size_px=32))
    full = with_features(rendered, backbone, features.harmless_halves(backbone, rendered.pixels, [0]))
    halves = dataclasses.replace(rendered, features={cut: features.halved(x) for cut, x in full.features.items()})
    assert halves.features[0].dtype == np.float16
    config = TrialConfig(epochs=4, trainable_blocks=0, learning_rate=3e-3, seed=2)
    expected, found = (list(train(config, backbone, source))[-1] for source in (full, halves))
    assert expected.val_auc > 0.75 and expected.val_accuracy > 0.65 and expected.feature_std > 0.5
    for name in METRICS:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-3), name


def test_what_halves_cannot_hold_is_not_halved() -> None:
    """Numbers beyond float16's range, or so small that it drops their digits, in a single image of many."""
    activations = np.random.default_rng(0).normal(size=(8, 4, 3)).astype(np.float32)
    half = features.halved(activations)
    assert half.dtype == np.float16 and np.allclose(half, activations, rtol=1e-3, atol=1e-6)
    for factor in (1e6, 1e-6, np.nan):
        spoilt = activations.copy()
        spoilt[3] *= factor
        assert features.halved(spoilt) is None
    assert features.halved(np.zeros((2, 5), dtype=np.float32)) is not None


def test_what_is_stored_is_told_in_words() -> None:
    """One precision for all cuts by its name; where they differ, which cuts have halves."""
    full, half = np.zeros(1, np.float32), np.zeros(1, np.float16)
    assert features.stored_as({}) is None
    assert features.stored_as({0: full, 1: full}) == "fp32"
    assert features.stored_as({0: half}) == "fp16"
    assert features.stored_as({2: half, 0: full, 1: half}) == "fp32, for trainable_blocks 1, 2 fp16"


def test_a_cut_is_started_from_the_nearest_shallower_one() -> None:
    """The trial's own cut if it is stored, else the next with more trainable blocks, else pixels."""
    assert features.start_of(1, [0, 1, 3]) == 1
    assert features.start_of(2, [0, 1, 3]) == 3
    assert features.start_of(4, [0, 1, 3]) is None


def test_the_fingerprint_tells_backbones_apart() -> None:
    """Equal backbones have equal fingerprints; one changed weight or another normalisation changes it."""
    spec = BackboneSpec("test_byobnet", image_size_px=SIZE_PX)
    one, same, other = create_backbone(spec), create_backbone(spec), create_backbone(spec, seed=1)
    scaled = create_backbone(dataclasses.replace(spec, mean=(0.1, 0.2, 0.3)))
    assert features.fingerprint(one) == features.fingerprint(same)
    assert len({features.fingerprint(backbone) for backbone in (one, other, scaled)}) == 3
