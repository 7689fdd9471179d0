"""PairEncoder: cuts that change nothing, frozen parts that stay frozen, trained parts that train."""

import copy
import dataclasses
import functools
import pickle
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that torch's own documentation gives it

from trainable.config import TrialConfig
from trainable.errors import InputError
from trainable.model import blocks
from trainable.model import encoder as encoder_module
from trainable.model.backbone import block_count
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.model.encoder import PairEncoder, projection_head


def built(spec: BackboneSpec, config: TrialConfig, backbone_seed: int = 0) -> PairEncoder:
    """A new encoder: random weights of the backbone come from `backbone_seed`, those of the head from `config.seed`."""
    backbone = create_backbone(spec, seed=backbone_seed)
    return PairEncoder(backbone, projection_head(backbone.feature_size, config), config.trainable_blocks)


TINY = {"depth": 3, "embed_dim": 48, "num_heads": 3}
CUTTABLE = {
    "test_vit": {},
    "test_vit3": {},  # pools by attention
    "test_vit4": {},  # class, register tokens, no position embedding on them
    "vit_small_patch14_reg4_dinov2": TINY,
    "vit_small_patch16_dinov3": TINY,
    "vit_small_patch16_rope_mixed_224": TINY,
    "deit_tiny_distilled_patch16_224": TINY,
    "test_resnet": {},
    "test_byobnet": {},
    "repvgg_a0": {},
    "test_convnext": {},
    "test_convnext3": {},
    "test_efficientnet": {},
    "mobilenetv2_035": {},
    "mobilenetv3_small_050": {},
    "mobilenetv4_conv_small_050": {},
}
WHOLE = {"test_mambaout": {}, "test_vit_relpos": {}}
FAMILIES = CUTTABLE | WHOLE
SIZES_PX = {"vit_small_patch14_reg4_dinov2": 56, "repvgg_a0": 32}
"""Where it is not 64: what the patches fit, and for a net as wide as this no more than it can take."""
TRAINED = ("test_vit4", "vit_small_patch16_dinov3", "test_resnet", "test_convnext", "mobilenetv2_035", "test_mambaout")


@pytest.fixture(autouse=True)
def _one_batch_size(monkeypatch):
    """Frozen parts run on as many images as the tests have, so that the uncut net sees the same batch."""
    monkeypatch.setattr(encoder_module, "IMAGES_AT_ONCE", 4)
    torch.manual_seed(0)


@functools.cache
def pristine(name, **overrides):
    """A backbone to copy, or to share between encoders that are not trained: each freezes and thaws all of it."""
    return create_backbone(BackboneSpec(name, image_size_px=SIZES_PX.get(name, 64)), **{**FAMILIES.get(name, {}), **overrides})


def backbone_of(name, **overrides):
    return copy.deepcopy(pristine(name, **overrides))


def untrained(name, trainable_blocks):
    """The encoder of a test that changes no weight; the next one of that name takes its backbone."""
    backbone = pristine(name)
    return PairEncoder(backbone, projection_head(backbone.feature_size, TrialConfig()), trainable_blocks)


def encoder_of(name, trainable_blocks, **overrides):
    backbone = backbone_of(name, **overrides)
    return PairEncoder(backbone, projection_head(backbone.feature_size, TrialConfig()), trainable_blocks)


def pixels_for(encoder, count=4, seed=0):
    size_px, generator = encoder.backbone.image_size_px, torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, size_px, size_px, 3), dtype=torch.uint8, generator=generator)


def uncut(encoder, pixels):
    features = encoder.backbone.net(encoder.backbone.normalised(pixels))
    return F.normalize(encoder.head(features).float(), dim=1, eps=encoder_module.NORM_EPSILON)


def step(encoder, optimiser, seed):
    """One step that moves every parameter: the embeddings of random pixels towards random targets."""
    pixels = pixels_for(encoder, seed=seed)
    embeddings = encoder(pixels)
    optimiser.zero_grad()
    F.mse_loss(embeddings, torch.randn_like(embeddings)).backward()
    optimiser.step()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_cut_gives_what_the_uncut_net_gives(name):
    """suffix(prefix(pixels)) equals timm's own forward bit for bit in eval mode, at every cut, by way of numpy."""
    encoder = untrained(name, 0)
    pixels = pixels_for(encoder)
    with torch.no_grad():
        expected = uncut(encoder.eval(), pixels)
    for cut in range(block_count(encoder.backbone) + 1):
        encoder = PairEncoder(encoder.backbone, encoder.head, cut).eval()
        activation = encoder.prefix(pixels)
        stored = activation.numpy().copy()
        assert stored.flags.c_contiguous
        with torch.no_grad():
            embedding = encoder.suffix(torch.from_numpy(stored))
            assert torch.equal(embedding, expected), cut
        assert torch.equal(activation, torch.from_numpy(stored)), "the suffix wrote into what trials share"
        assert (embedding.norm(dim=1) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_only_what_can_be_cut_is_cut(name):
    """Families with composable blocks cache at every cut but the full one; the others cache pooled features only."""
    backbone = pristine(name)
    count = block_count(backbone)
    assert count > 1
    cacheable = [PairEncoder(backbone, nn.Identity(), cut).cut_is_cacheable for cut in range(count + 1)]
    assert cacheable == [True] + [name in CUTTABLE] * (count - 1) + [False]


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_byobnet"])
def test_one_pass_yields_every_cut(name):
    """activations() at several cuts equals each cut's own prefix, and refuses a cut inside the trained part."""
    encoder = untrained(name, 0)
    pixels = pixels_for(encoder)
    found = encoder.activations(pixels, range(block_count(encoder.backbone) + 1))
    for cut, activation in found.items():
        assert torch.equal(activation, PairEncoder(encoder.backbone, encoder.head, cut).prefix(pixels)), cut
    with pytest.raises(ValueError, match="cut 0 lies in what trains"):
        PairEncoder(encoder.backbone, encoder.head, 1).activations(pixels, [0])


@pytest.mark.parametrize("name", ["test_vit3", "vit_small_patch16_dinov3", "mobilenetv2_035", "test_mambaout"])
def test_an_image_has_one_activation_in_any_batch(name):
    """Neither the size of the batch nor its order changes a bit of the prefix's output."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    encoder = untrained(name, 0)
    pixels = pixels_for(encoder, 11)
    whole, order = encoder.prefix(pixels), torch.randperm(11)
    assert torch.equal(encoder.prefix(pixels[order]), whole[order])
    assert torch.equal(torch.cat([encoder.prefix(part) for part in pixels.split([1, 2, 8])]), whole)
    assert encoder.prefix(pixels[:0]).shape == (0, encoder.backbone.feature_size)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", TRAINED)
def test_training_moves_the_trained_part_and_nothing_else(name):
    """After steps in train mode every trained parameter has moved, and no tensor of the frozen part."""
    backbone = backbone_of(name)
    count = block_count(backbone)
    for cut in {0, 1, count - 1, count}:
        encoder = PairEncoder(copy.deepcopy(backbone), projection_head(backbone.feature_size, TrialConfig()), cut)
        before = copy.deepcopy(encoder.state_dict())
        assert encoder.trainable_state().keys() ^ encoder.frozen_state().keys() == before.keys()
        optimiser = torch.optim.AdamW(encoder.parameter_groups(1e-2, 0.5, 0.0))
        for seed in range(2):
            step(encoder.eval().train(), optimiser, seed)
        after = encoder.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in encoder.frozen_state())
        parameters = dict(encoder.named_parameters())
        trained = [key for key, parameter in parameters.items() if parameter.requires_grad]
        assert [key for key in trained if torch.equal(before[key], after[key])] == []
        assert parameters.keys() - set(trained) == parameters.keys() & encoder.frozen_state().keys()


@pytest.mark.parametrize(
    "name", ["test_vit", "vit_small_patch16_dinov3", "test_resnet", "test_convnext", "mobilenetv2_035"]
)
def test_the_suffix_trains_as_the_uncut_net_would(name):
    """In train mode, with stochastic depth and batch statistics, cut and uncut draw and give the same numbers."""
    backbone = backbone_of(name, drop_path_rate=0.4)
    for cut in {1, block_count(backbone) - 1, block_count(backbone)}:
        encoder = PairEncoder(backbone, projection_head(backbone.feature_size, TrialConfig()), cut)
        pixels = pixels_for(encoder)
        torch.manual_seed(1)
        embedding = encoder(pixels)
        torch.manual_seed(1)
        assert torch.equal(embedding, uncut(encoder, pixels))
        assert not torch.equal(embedding, encoder.eval()(pixels))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_frozen_part_stays_in_eval_mode(name):
    """No module of a frozen part is ever in train mode, whatever is called; those of trained blocks are."""
    encoder = untrained(name, 1)
    for module in encoder.eval().train().modules():
        own = [parameter.requires_grad for parameter in module.parameters()]
        if own and module.training != any(own):
            raise AssertionError(module)
    assert not any(m.training for m in PairEncoder(encoder.backbone, encoder.head, 0).train().backbone.modules())
    assert all(m.training for m in PairEncoder(encoder.backbone, encoder.head, None).train().modules())


@pytest.mark.parametrize("name", FAMILIES)
def test_parameter_groups_hold_every_trained_parameter_once(name):
    """Groups are complete and disjoint, each with its learning rate; norms, biases and embeddings are not decayed."""
    for cut in (0, 1, None):
        encoder = untrained(name, cut)
        groups = encoder.parameter_groups(0.1, 0.01, 0.05)
        members = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(members) == sorted(id(p) for p in encoder.parameters() if p.requires_grad)
        rates = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}
        assert rates["head"] == (0.1, 0.05)
        assert rates["head_no_decay"] == (0.1, 0.0)
        assert ("backbone" in rates) == (cut != 0)
        if cut != 0:
            assert rates["backbone"] == (pytest.approx(0.001), 0.05)
            assert rates["backbone_no_decay"] == (pytest.approx(0.001), 0.0)
        assert all(p.ndim > 1 for group in groups if group["weight_decay"] for p in group["params"])


def test_no_block_frozen_means_the_stem_trains():
    """trainable_blocks = n is the same as all: the stem trains; with n - 1 it does not."""
    for cut, trains in ((None, True), (4, True), (3, False)):
        assert untrained("test_resnet", cut).backbone.net.conv1[0].weight.requires_grad is trains


def test_the_final_norm_trains_with_the_last_block():
    """One block trains the final norm too; none freezes it."""
    for cut, trains in ((0, False), (1, True)):
        assert untrained("test_vit", cut).backbone.net.norm.weight.requires_grad is trains
        assert untrained("mobilenetv2_035", cut).backbone.net.bn2.weight.requires_grad is trains


def test_more_blocks_than_there_are_is_an_input_error():
    """The message names how many blocks the backbone has."""
    with pytest.raises(InputError, match="trainable_blocks is 9, but this ResNet has 4 blocks; valid is 0"):
        untrained("test_resnet", 9)


@pytest.mark.parametrize("cut", [0, 2, None])
def test_a_trained_state_restores_an_encoder(cut):
    """A fresh encoder with the trained state embeds like the trained one; the state copies only what trains."""
    encoder = encoder_of("test_resnet", cut)
    step(encoder, torch.optim.AdamW(encoder.parameter_groups(1e-2, 1.0, 0.0)), 0)
    state = encoder.trainable_state()
    expected = encoder.eval()(pixels_for(encoder))
    fresh = encoder_of("test_resnet", cut).eval()
    weight = fresh.head[0].weight
    fresh.load_trainable_state(state)
    assert torch.equal(fresh(pixels_for(encoder)), expected)
    assert fresh.head[0].weight is weight
    step(encoder.train(), torch.optim.AdamW(encoder.parameter_groups(1e-2, 1.0, 0.0)), 1)
    assert not torch.equal(state["head.0.weight"], encoder.head[0].weight)
    assert cut != 0 or all(key.startswith("head.") for key in state)
    with pytest.raises(ValueError, match="another encoder or another cut"):
        encoder_of("test_resnet", 1).load_trainable_state(state)


def test_copies_and_pickles_keep_their_frozen_part_frozen():
    """A deep copy and a pickled encoder freeze their own modules, not those of the original."""
    encoder = encoder_of("test_resnet", 2)
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        twin.train()
        assert not twin.backbone.net.bn1.training
        assert twin.backbone.net.layer4[0].bn1.training


def test_seeds_decide_the_initial_weights_and_leave_the_global_state_alone():
    """config.seed draws the head, backbone_seed the backbone; no global random number is drawn."""
    spec = BackboneSpec("test_resnet", image_size_px=32)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, same, other = (built(spec, TrialConfig(seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.head[0].weight, same.head[0].weight)
    assert not torch.equal(first.head[0].weight, other.head[0].weight)
    assert all(map(torch.equal, first.backbone.state_dict().values(), other.backbone.state_dict().values()))
    shifted = built(spec, TrialConfig(seed=0), backbone_seed=1)
    assert torch.equal(first.head[0].weight, shifted.head[0].weight)
    assert not torch.equal(first.backbone.net.conv1[0].weight, shifted.backbone.net.conv1[0].weight)


def test_hidden_size_zero_makes_the_head_linear():
    """One linear layer from features to the embedding."""
    head = projection_head(10, TrialConfig(hidden_size=0, embedding_size=7))
    assert isinstance(head, nn.Linear)
    assert head(torch.zeros(2, 10)).shape == (2, 7)


def test_embeddings_are_float32_of_length_one_under_autocast():
    """Cosines near 1 would be lost in half precision; a zero vector stays finite, in value and gradient."""
    encoder = encoder_of("test_vit", 2)
    with torch.autocast("cpu", torch.bfloat16):
        embedding = encoder(pixels_for(encoder))
    assert embedding.dtype == torch.float32
    assert (embedding.norm(dim=1) - 1).abs().max() < 1e-6
    dead = PairEncoder(encoder.backbone, nn.Linear(encoder.backbone.feature_size, 3), 0)
    nn.init.zeros_(dead.head.weight)
    nn.init.zeros_(dead.head.bias)
    dead(pixels_for(encoder)).sum().backward()
    assert torch.isfinite(dead.head.weight.grad).all()


def test_activations_stored_in_half_precision_are_taken():
    """A half-precision activation gives nearly the embedding of the full one, in float32."""
    encoder = encoder_of("test_resnet", 2).eval()
    activation = encoder.prefix(pixels_for(encoder))
    exact, rounded = encoder.suffix(activation), encoder.suffix(activation.half())
    assert rounded.dtype == torch.float32
    assert (exact * rounded).sum(1).min() > 0.999


def test_a_frozen_norm_of_batch_statistics_is_never_cached():
    """BatchNorm without running statistics mixes images even in eval mode: the prefix then passes pixels on."""
    backbone = backbone_of("test_resnet")
    backbone.net.bn1 = nn.BatchNorm2d(backbone.net.bn1.num_features, track_running_stats=False).eval()
    backbone.__dict__.pop("block_parameters", None)
    encoder = PairEncoder(backbone, nn.Identity(), 1)
    pixels = pixels_for(encoder)
    assert not encoder.frozen_is_constant
    assert not encoder.cut_is_cacheable
    assert encoder.prefix(pixels) is pixels
    assert PairEncoder(backbone, nn.Identity(), None).frozen_is_constant


def test_pixels_are_normalised_by_mean_and_std():
    """uint8 pixels become (pixel / 255 - mean) / std, channels first in shape, last in memory."""
    spec = BackboneSpec("test_resnet", image_size_px=32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    backbone = create_backbone(spec)
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    expected = (pixels / 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    got = backbone.normalised(pixels)
    assert torch.allclose(got.permute(0, 2, 3, 1), expected, atol=1e-6)
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert backbone.net.conv1[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not any("mean" in key for key in backbone.state_dict() if not key.startswith("net."))


@pytest.mark.parametrize("name", ["mobilenetv2_035_keras", "mobilenetv2_100_coral_ptq"])
def test_real_weights_load(name):
    """Published weights in a file, with a classifier or without, fit their backbone strictly."""
    path = Path(__file__).parents[4] / "shared" / "weights" / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip("no real weights beside the project")
    spec = BackboneSpec(name[:15], str(path), 64, (0.5,) * 3, (0.5,) * 3)
    encoder = built(spec, TrialConfig(trainable_blocks=1))
    random = create_backbone(BackboneSpec(name[:15]))
    for key, tensor in random.state_dict().items():
        if tensor.ndim == 4:
            assert not torch.equal(tensor, encoder.backbone.state_dict()[key]), key
    assert torch.isfinite(encoder(pixels_for(encoder))).all()


def test_a_timm_without_the_private_step_runs_its_transformers_whole(monkeypatch):
    """Where another version lacks the name, nothing is cut, and the embeddings and what trains are the same as ever."""
    cut = encoder_of("test_vit", 1).eval()
    pixels = pixels_for(cut)
    wanted = cut(pixels)
    assert cut.backbone.can_be_cut
    renamed = dataclasses.replace(blocks._FAMILIES[VisionTransformer], private="_renamed")
    monkeypatch.setitem(blocks._FAMILIES, VisionTransformer, renamed)
    whole = encoder_of("test_vit", 1).eval()
    assert not whole.backbone.can_be_cut and not whole.cut_is_cacheable
    torch.testing.assert_close(whole(pixels), wanted)
    assert any(name.startswith("backbone.") for name in whole.trainable_state())


def test_layer_decay_lowers_the_rate_from_block_to_block() -> None:
    """The head keeps its own, the last block has the backbone's, the one before it less, the stem the least."""
    encoder = built(BackboneSpec("test_vit", "none", 160), TrialConfig())
    count = encoder.trainable_blocks
    groups = {group["name"]: group for group in encoder.parameter_groups(0.1, 0.5, 0.05, 0.7)}
    plain = encoder.parameter_groups(0.1, 0.5, 0.05)
    rates = {id(p): group["lr"] for group in groups.values() for p in group["params"]}
    assert sorted(rates) == sorted(id(p) for group in plain for p in group["params"])
    assert groups["head"]["lr"] == 0.1 and groups["backbone.00"]["weight_decay"] == 0.05
    for place, names in enumerate(encoder.backbone.block_parameters):
        for name in names:
            parameter = encoder.backbone.net.get_parameter(name)
            assert rates[id(parameter)] == pytest.approx(0.05 * 0.7 ** (count - 1 - place))
    stem = encoder.backbone.net.patch_embed.proj.weight
    assert rates[id(stem)] == pytest.approx(0.05 * 0.7**count)
    assert groups["backbone.00_no_decay"]["weight_decay"] == 0
