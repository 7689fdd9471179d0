"""The first steps of a sound model are ok in every line; what is done to a spoilt one is found, and its tensors named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.tools.synthetic import pair_data
from trainable.checks import first_steps, peak_memory
from trainable.checks.first_steps import FirstSteps, excerpt, take_first_steps
from trainable.checks.model_checks import examine_steps
from trainable.config import Settings, TrialConfig
from trainable.findings import FAIL, OK, WARN, Finding, worst
from trainable.model.backbone import block_count
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.model.encoder import PairEncoder
from trainable.model.features import cacheable_cuts, extract

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrialConfig(batch_size=8, embedding_size=16, hidden_size=16)
DATA = pair_data(size_px=32, identities=72)


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("test_byobnet", image_size_px=32))


def steps(backbone, cut: int | None, **changes) -> FirstSteps:
    config = TrialConfig(**{**vars(CONFIG), "trainable_blocks": cut, **changes})
    return take_first_steps(config, backbone, excerpt(DATA, config.batch_size), Settings())


def found(look: FirstSteps, check: str) -> Finding:
    (finding,) = [finding for finding in examine_steps([look], 4) if finding.check == check]
    return finding


def test_a_sound_model_is_ok_at_every_cut(backbone):
    """Everything trained moves, everything frozen stays, at the shallowest, a middle and the deepest cut."""
    blocks = block_count(backbone)
    looks = [steps(backbone, cut) for cut in (0, 1, blocks)]
    findings = examine_steps(looks, blocks)
    assert worst(f.verdict for f in findings) == OK, [f for f in findings if f.verdict != OK]
    assert [look.trainable_blocks for look in looks] == [0, 1, blocks]
    assert looks[0].trained < looks[1].trained < looks[2].trained and looks[0].kept > looks[1].kept > looks[2].kept
    names = dict(backbone.named_parameters()) | dict(backbone.named_buffers())
    assert looks[0].kept == len(names), "head only: every parameter and buffer of the backbone is compared"
    assert min(look.memory_gb for look in looks) > 0 and min(look.step_s for look in looks) > 0
    said = found(looks[0], "trained tensors move").found
    assert said == f"{looks[0].trained} of {looks[0].trained} trained tensors moved in 4 steps"


def test_an_excerpt_holds_the_same_images_and_pairs():
    """Only as many as the steps need, each pair with the pictures it had."""
    part = excerpt(DATA, 4)
    assert len(part.rows("train")) == 4 * first_steps.STEPS and len(part.rows("test")) == 0
    assert len(part.pixels) < len(DATA.pixels)
    whole = {(DATA.pixels[f].tobytes(), DATA.pixels[a].tobytes()) for f, a in zip(DATA.front, DATA.angle, strict=True)}
    shown = [(part.pixels[f].tobytes(), part.pixels[a].tobytes()) for f, a in zip(part.front, part.angle, strict=True)]
    assert set(shown) <= whole
    same = [a == b for a, b in zip(part.front_identity, part.angle_identity, strict=True)]
    assert same == (part.pair_label == 1).tolist()


def test_steps_from_stored_features_are_those_from_pixels(backbone):
    """As a search starts them: the losses are the same to the bit."""
    part = excerpt(DATA, 8)
    stored = extract(backbone, part.pixels, cacheable_cuts(backbone, [0]))
    config = TrialConfig(**{**vars(CONFIG), "trainable_blocks": 0})
    from_features = take_first_steps(config, backbone, dataclasses.replace(part, features=stored), Settings())
    assert from_features.losses == steps(backbone, 0).losses


def test_a_frozen_norm_in_train_mode_is_found(backbone, monkeypatch):
    """Its statistics move, and so are named."""

    def everything(encoder: PairEncoder, mode: bool = True) -> PairEncoder:
        return torch.nn.Module.train(encoder, mode)

    monkeypatch.setattr(PairEncoder, "train", everything)
    line = found(steps(backbone, 0), "frozen tensors stay")
    assert line.verdict == FAIL and "running_mean" in line.found and "eval()" in line.advice


def test_a_head_left_out_of_the_optimiser_is_found(backbone, monkeypatch):
    """It has gradients and stays."""
    groups = PairEncoder.parameter_groups
    monkeypatch.setattr(
        PairEncoder, "parameter_groups", lambda *given: [g for g in groups(*given) if g["name"].startswith("backbone")]
    )
    line = found(steps(backbone, 1), "trained tensors move")
    assert line.verdict == FAIL and "these have a gradient and did not: head." in line.found


def test_a_cut_graph_is_found(backbone, monkeypatch):
    """With a detach in the head all before it have no gradient."""
    normed = torch.nn.LayerNorm.forward
    monkeypatch.setattr(torch.nn.LayerNorm, "forward", lambda norm, x: normed(norm, x.detach()))
    look = steps(backbone, 1)
    assert set(look.without_gradient) >= {"head.0.weight", "head.0.bias"}
    assert found(look, "trained tensors move").verdict == WARN and found(look, "gradients (updates)").verdict == FAIL


def test_a_constant_encoder_is_found(backbone, monkeypatch):
    """Its embeddings do not depend on the image."""
    run = PairEncoder.suffix
    monkeypatch.setattr(PairEncoder, "suffix", lambda encoder, x: run(encoder, x * 0))
    line = found(steps(backbone, 0), "embeddings at start")
    assert line.verdict == FAIL and "the same for every image" in line.found


def test_weights_with_nan_are_found(backbone):
    """In losses and embeddings, without an error on the way."""
    spoilt = create_backbone(BackboneSpec("test_byobnet", image_size_px=32))
    with torch.no_grad():
        next(iter(spoilt.net.parameters())).fill_(float("nan"))
    look = steps(spoilt, 0)
    assert found(look, "first losses").verdict == FAIL and found(look, "embeddings at start").verdict == FAIL


@pytest.mark.parametrize(("rate", "said"), [(300.0, "Lower the learning rate"), (1e-12, "Raise the learning rate")])
def test_a_learning_rate_out_of_bounds_is_told(backbone, rate, said):
    """By how much a step changes the weights."""
    line = found(steps(backbone, 0, learning_rate=rate, weight_decay=0.0), "gradients (updates)")
    assert line.verdict == WARN and said in line.advice


def test_the_bytes_that_a_step_keeps_are_counted():
    """A linear layer keeps its input, a product both factors, each storage once."""
    first, second = torch.ones(10, 10, requires_grad=True), torch.ones(10, 10, requires_grad=True)
    storages: dict[int, int] = {}
    with first_steps._counting(storages):
        kept = (first * second) * second
    assert kept.requires_grad and sum(storages.values()) == 3 * 400


def test_the_peak_of_memory_is_that_of_what_was_held():
    """Memory that was given back before the end counts; where the system does not tell, there is no number."""
    with peak_memory.measured(torch.device("cpu")) as peak:
        np.ones(20_000_000)  # 0.16 GB, freed at once
    assert peak.gb is None or 0.14 < peak.gb < 0.3
