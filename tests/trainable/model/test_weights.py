"""Weights of a file: under whatever prefix they stand, and never NaN."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec, create_backbone

NAME = "test_byobnet"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """The tensors of a backbone with random weights."""
    net = create_backbone(BackboneSpec(NAME), seed=5).net
    return {name: tensor.contiguous() for name, tensor in net.state_dict().items()}


def loaded(path: Path):
    return create_backbone(BackboneSpec(NAME, str(path)))


def written(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


def same(backbone, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in backbone.net.state_dict().items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("prefix", ["model.", "backbone.", "visual.trunk.", "module.model.encoder."])
def test_weights_under_a_prefix_are_read_with_a_note(tmp_path, state, prefix, suffix):
    """As checkpoints of larger models have them; what else is in the file is left out and named."""
    tensors = {prefix + name: tensor for name, tensor in state.items()}
    others = {"logit_scale": torch.ones(1), "text.token_embedding.weight": torch.ones(2, 2)}
    backbone = loaded(written(tmp_path / f"weights{suffix}", tensors | others))
    assert same(backbone, state)
    assert f"under {prefix.removeprefix('module.')!r}" in backbone.note  # timm takes `module.` off by itself
    assert "2 others are left out (logit_scale, text.token_embedding.weight)" in backbone.note


def test_a_classifier_under_the_prefix_is_left_out_too(tmp_path, state):
    """As one without a prefix is."""
    tensors = {f"model.{name}": tensor for name, tensor in state.items()} | {
        "model.head.fc.weight": torch.ones(3, 8), "model.head.fc.bias": torch.ones(3)
    }  # fmt: skip
    assert same(loaded(written(tmp_path / "weights.pth", tensors)), state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_what_wraps_a_whole_model_is_taken_off(tmp_path, state, prefix):
    """As parallel training and compilation leave it; timm knows these."""
    assert same(
        loaded(written(tmp_path / "weights.pth", {prefix + name: tensor for name, tensor in state.items()})), state
    )


def test_plain_weights_need_no_note(tmp_path, state):
    """Nothing was decided for the user."""
    backbone = loaded(written(tmp_path / "weights.safetensors", state))
    assert same(backbone, state) and backbone.note == ""


def test_two_of_them_in_one_file_are_refused(tmp_path, state):
    """A student and its teacher: which is meant cannot be told."""
    both = {f"{who}.backbone.{name}": tensor for who in ("student", "teacher") for name, tensor in state.items()}
    with pytest.raises(InputError, match=r"2 times, under student\.backbone\., teacher\.backbone\..*Save the one"):
        loaded(written(tmp_path / "weights.pth", both))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, state, value):
    """By the names of the tensors."""
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    broken = state | {name: state[name].clone().index_fill_(0, torch.tensor([0]), value)}
    with pytest.raises(InputError, match=rf"NaN or infinite values in 1 of {len(state)} tensors \({name}\)"):
        loaded(written(tmp_path / "weights.safetensors", broken))


def test_other_weights_under_a_prefix_stay_a_misfit(tmp_path, state):
    """A part that lacks a tensor is no part."""
    name = next(iter(state))
    tensors = {f"model.{key}": tensor for key, tensor in state.items() if key != name}
    with pytest.raises(InputError, match="does not fit the backbone"):
        loaded(written(tmp_path / "weights.pth", tensors))
