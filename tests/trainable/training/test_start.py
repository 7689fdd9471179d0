"""What a trial starts from: found by what its configuration says, and told where it was not made."""

from __future__ import annotations

import dataclasses

import pytest

from tests.tools.synthetic import pair_data
from trainable.config import OWN, TrialConfig
from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.start import Start, start_of


@pytest.fixture(scope="module")
def own() -> Start:
    return Start(create_backbone(BackboneSpec("test_byobnet", image_size_px=16)), pair_data())


def test_a_configuration_starts_from_what_it_says(own: Start):
    """Whatever else is in it."""
    other = Start(own.backbone, dataclasses.replace(own.data, views=1))
    starts = {OWN: own, ("test_vit", None, None, None): other}
    assert start_of(TrialConfig(learning_rate=0.5), starts) is own
    assert start_of(TrialConfig(backbone="test_vit", temperature=0.2), starts) is other


def test_what_was_not_made_is_told_with_what_there_is(own: Start):
    """A space that chooses under other names could ask for it."""
    with pytest.raises(InputError, match=r"backbone resnet18, views 4, which was not made .* there is: the run's own"):
        start_of(TrialConfig(backbone="resnet18", views=4), {OWN: own})
