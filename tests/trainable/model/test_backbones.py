"""Backbones: every name, size and weights file that cannot work is told in one message."""

import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from trainable.errors import InputError
from trainable.model import weights
from trainable.model.backbones import BackboneSpec, create_backbone


def refused(match, name="test_resnet", size_px=32, given="none", **fields):
    with pytest.raises(InputError, match=match) as caught:
        create_backbone(BackboneSpec(name, given, size_px, **fields))
    return str(caught.value)


def saved(path: Path, name: str, size_px: int | None = None, **arguments):
    """A weights file of a timm model; returns its tensors."""
    net = timm.create_model(name, **arguments, **({"img_size": size_px} if size_px else {}))
    state = net.state_dict()
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return state


def test_an_unknown_backbone_is_told_with_near_names():
    """A typing mistake leads to the name that was meant, an unknown tag to the tags that there are."""
    assert "resnet18" in refused("there is no backbone 'resnet_18'", "resnet_18")
    refused("no weights tagged 'nope'; valid tags are: .*a1_in1k", "resnet18.nope")
    refused("timm.list_models", "?????")


def test_images_that_fill_no_whole_patch_are_refused():
    """timm would silently drop the rest of the image; the message names the nearest sizes that work."""
    refused("multiples of 14, the nearest: 56 or 70", "vit_small_patch14_dinov2", 64)
    refused("multiples of 16, the nearest: 48 or 64", "vit_small_patch16_dinov3", 50)
    refused("multiples of 16, the nearest: 16 or 32", "test_vit", 24)


def test_images_of_a_size_the_backbone_cannot_take_are_refused():
    """A net that fails on its image size says which size it was made for."""
    refused("multiples of 16, the nearest: 16", "test_vit", 8)
    refused("cannot take images of 50 px .*made for 160 px", "test_maxvit", 50)


def test_a_net_without_pooled_features_is_refused():
    """The head needs one vector an image."""
    with pytest.raises(InputError, match="gives no pooled features"):
        create_backbone(BackboneSpec("test_resnet", image_size_px=32), global_pool="")


@pytest.mark.parametrize("values", [{"mean": (0.5,)}, {"std": (0.5, 0.5, 0.0)}])
def test_a_malformed_mean_or_std_is_refused(values):
    """Three numbers, a std above 0."""
    refused(f"input's {next(iter(values))} is", **values)


def test_pretrained_without_a_network_fails_within_seconds(monkeypatch):
    """Neither cached nor reachable: the message says how to give a file; so where none are published."""
    monkeypatch.setattr(weights, "_is_cached", lambda cfg: False)
    monkeypatch.setattr(weights.constants, "ENDPOINT", "http://localhost:9")
    monkeypatch.setenv("no_proxy", "*")
    start_s = time.monotonic()
    refused("network .* cannot be reached. Give a weights file", given="pretrained")
    assert time.monotonic() - start_s < 10
    refused("has no pretrained weights", "cs3darknet_s", 32, "pretrained")


def test_pretrained_that_fails_on_the_way_is_told(monkeypatch):
    """An answer that is no weights file ends in the same advice."""
    monkeypatch.setattr(weights, "_is_cached", lambda cfg: True)
    monkeypatch.setattr(timm, "create_model", _fails_if_pretrained(timm.create_model))
    refused("could not be loaded .FileNotFoundError: not cached.*Give a weights file", given="pretrained")


def _fails_if_pretrained(create):
    def created(name, pretrained=False, **arguments):
        if pretrained:
            raise FileNotFoundError("not cached")
        return create(name, **{key: value for key, value in arguments.items() if key != "pretrained_cfg_overlay"})

    return created


def test_a_missing_or_unreadable_weights_file_is_refused(tmp_path):
    """No file, garbage, a file of something else, and a file that would run code."""
    refused("does not exist. Valid weights are none, pretrained", given=str(tmp_path / "gone.pth"))
    for suffix in ("safetensors", "pth"):
        path = tmp_path / f"garbage.{suffix}"
        path.write_bytes(b"this is no weights file, however long it goes on" * 9)
        refused("cannot be read", given=str(path))
    torch.save([1, 2, 3], tmp_path / "list.pth")
    refused("cannot be read|does not hold", given=str(tmp_path / "list.pth"))
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    refused("does not hold a model's named tensors", given=str(tmp_path / "epoch.pth"))
    torch.save(Path("code"), tmp_path / "code.pth")
    refused("cannot be read", given=str(tmp_path / "code.pth"))


def test_weights_of_another_backbone_are_refused(tmp_path):
    """The message counts the tensors that are missing, unexpected and of another shape, and names some."""
    saved(tmp_path / "vit.safetensors", "test_vit")
    message = refused("does not fit the backbone 'test_resnet'", given=str(tmp_path / "vit.safetensors"))
    assert "missing (bn1.bias" in message
    assert "unexpected (" in message
    state = saved(tmp_path / "resnet.pth", "test_resnet")
    state["layer4.0.conv1.weight"] = torch.zeros(1)
    del state["bn1.bias"]
    torch.save(state, tmp_path / "resnet.pth")
    message = refused("of another shape .layer4.0.conv1.weight", given=str(tmp_path / "resnet.pth"))
    assert "1 missing (bn1.bias)" in message


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet", "mobilenetv3_small_050"])
def test_a_file_with_a_classifier_loads_without_it(tmp_path, name):
    """Every tensor of the backbone comes from the file, in either format, nested as training scripts nest it or not."""
    state = saved(tmp_path / "full.safetensors", name)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pth")
    for file in ("full.safetensors", "nested.pth"):
        net = create_backbone(BackboneSpec(name, str(tmp_path / file), 32)).net
        assert "state_dict" not in net.pretrained_cfg
        assert all(torch.equal(tensor, state[key]) for key, tensor in net.state_dict().items())


def test_position_embeddings_are_resampled_to_the_image_size(tmp_path):
    """A transformer's weights fit every image size, as timm resamples them."""
    tiny = {"depth": 1, "embed_dim": 24, "num_heads": 2}
    name, path = "vit_small_patch14_dinov2", tmp_path / "vit.safetensors"
    saved(path, name, 56, **tiny)
    backbone = create_backbone(BackboneSpec(name, str(path), 84), **tiny)
    assert backbone.net.pos_embed.shape == (1, 1 + 6 * 6, 24)
