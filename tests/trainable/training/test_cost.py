"""What a model costs in use."""

from __future__ import annotations

from tests.tools.synthetic import pair_data
from trainable.config import TrialConfig
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.cost import image_ms, parameters_of
from trainable.training.loop import Training


def test_parameters_are_those_of_backbone_and_head() -> None:
    """Frozen ones too, as they are used; a linear head of 8 has a weight for each feature and a bias."""
    backbone = create_backbone(BackboneSpec("test_byobnet", image_size_px=16))
    config = TrialConfig(trainable_blocks=0, hidden_size=0, embedding_size=8)
    training = Training(config, backbone, pair_data())
    own = sum(parameter.numel() for parameter in backbone.parameters())
    assert parameters_of(training) == own + 8 * backbone.feature_size + 8


def test_an_image_takes_time_and_the_training_is_left_as_it_was() -> None:
    """The measurement draws nothing at random and moves no statistics: the reports are those without it."""
    backbone, data = create_backbone(BackboneSpec("test_byobnet", image_size_px=16)), pair_data()
    config = TrialConfig(epochs=1, batch_size=8)
    measured, plain = Training(config, backbone, data), Training(config, backbone, data)
    assert 0 < image_ms(measured) < 1000
    assert measured.epoch().same_as(plain.epoch())
