"""What trials can start from: found by trying the space, made once for each choice, refused where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import search_spaces
from search_spaces import SearchSpace
from tests.tools.by_hand import space_of
from trainable.config import TrialConfig
from trainable.data.turntable import TurntableSpec, write
from trainable.errors import InputError
from trainable.model.backbones import create_backbone
from tuner.cli.run_options import DataOptions, ModelOptions, RunOptions
from tuner.inputs.backbone import backbone_spec, resolved_weights, weights_of
from tuner.inputs.dataset import load
from tuner.inputs.space import with_choices
from tuner.inputs.starts import bind, starts

NETS = {"test_byobnet": "ByobNet", "test_resnet": "ResNet"}
OPTIONS = RunOptions(data=DataOptions(image_size_px=32), model=ModelOptions("test_byobnet"))


def bound(space: SearchSpace, options: RunOptions = OPTIONS) -> Any:
    return bind(space, options, create_backbone(backbone_spec(options.data, options.model)))


def also(*choices: str) -> SearchSpace:
    """The space `temperature` with these choices beside it."""
    return with_choices(search_spaces.load("temperature"), choices)


def refused(space: SearchSpace, options: RunOptions = OPTIONS) -> str:
    with pytest.raises(InputError) as error:
        bound(space, options)
    return str(error.value)


# What is found


def test_a_space_that_chooses_nothing_has_the_run_s_own_start():
    """Its configurations leave it to the run, so that they are those of a run from before there was a choice."""
    space, backbones = bound(search_spaces.load("temperature"))
    assert space.choices == ((None, None, None, None),) and len(backbones) == 1
    assert space.seeded(space.default, 0).training_key() == TrialConfig(seed=space.seeded(space.default, 0).seed).training_key()


def test_every_combination_is_found():
    """Not only those at the ends of ranges: 2 backbones, 3 sizes, and views in two strengths where there are any."""
    choices = "backbone=test_byobnet,test_resnet", "image_size_px=32,48,64", "views=1,2", "view_strength=0.5,2"
    space, backbones = bound(also(*choices))
    assert len(space.choices) == len(backbones) == 2 * 3 * 3
    assert space.choices[0] == ("test_byobnet", 32, 1, None)  # the default's
    sizes = {choice[1]: backbone.image_size_px for choice, backbone in backbones.items()}
    assert sizes == {32: 32, 48: 48, 64: 64}


def test_whole_numbers_from_a_range_are_all_found(tmp_path: Path):
    """One that lies between the ends of its range is no surprise later."""
    space, _ = bound(space_of(tmp_path, 'return {"image_size_px": trial.suggest_int("image_size_px", 32, 160, step=32)}'))
    assert {choice[1] for choice in space.choices} == {32, 64, 96, 128, 160}


def test_what_a_branch_leaves_out_is_the_run_s_own(tmp_path: Path):
    """A space may choose views for one backbone only."""
    body = """values = {"backbone": trial.suggest_categorical("backbone", ["test_byobnet", "test_resnet"])}
if values["backbone"] == "test_resnet":
    values["views"] = trial.suggest_categorical("views", [1, 2])
return values"""
    space, _ = bound(space_of(tmp_path, body))
    assert {choice[:3:2] for choice in space.choices} == {("test_byobnet", 1), ("test_resnet", 1), ("test_resnet", 2)}


def test_the_space_is_told_the_smallest_number_of_blocks_and_all_is_each_backbone_s_own():
    """So each number can be had of each backbone."""
    space, _ = bound(with_choices(search_spaces.load("freezing"), ["backbone=test_byobnet,resnet18"]))
    assert (space.blocks, space.blocks_of) == (4, {"test_byobnet": 4, "resnet18": 8})
    assert space.distributions["trainable_blocks"].high == 4
    small, large = (TrialConfig(backbone=name, trainable_blocks=4) for name in ("test_byobnet", "resnet18"))
    assert (space.seeded(small, 0).trainable_blocks, space.seeded(large, 0).trainable_blocks) == (None, 4)


def test_one_view_has_no_strength():
    """Two configurations that differ in it train the same model, and get the same seed."""
    space, _ = bound(also("views=1,3", "view_strength=0.5,2"))
    one, other = (space.seeded(TrialConfig(views=1, view_strength=strength), 0) for strength in (0.5, 2.0))
    assert one == other and one.view_strength is None
    assert space.seeded(TrialConfig(views=3), 0).view_strength == 1


def test_a_strength_that_all_views_have_is_the_run_s():
    """--view-strength with --views: nothing is chosen, and the default starts from it."""
    options = replace(OPTIONS, data=replace(OPTIONS.data, views=2), configuration=TrialConfig(view_strength=2.0))
    space, _ = bound(search_spaces.load("temperature"), options)
    assert space.choices == ((None, None, None, 2.0),)
    assert space.origin(space.choices[0]) == ("test_byobnet", 32, 2, 2.0)


def test_images_are_decoded_once_for_each_size_and_kind_of_views(tmp_path: Path):
    """Backbones share them; each choice has its backbone and as many pixels as its size says."""
    pairs = write(tmp_path, TurntableSpec(train_identities=8, val_identities=4, test_identities=4, image_size_px=32))
    options = replace(OPTIONS, data=DataOptions(str(pairs), 32, cache=str(tmp_path / "cache")))
    space, backbones = bound(also("backbone=test_byobnet,test_resnet", "image_size_px=32,48", "views=1,2"), options)
    console = Console(quiet=True)
    own = load(options.data, 32, 0, console)
    made = starts(space, backbones, own, options, console)
    assert list(made) == list(space.choices) and made[space.choices[0]].data is own.data
    assert len({id(start.data) for start in made.values()}) == 4 and len(made) == 8
    for choice, start in made.items():
        name, size_px, views, _ = space.origin(choice)
        assert start.backbone is backbones[choice] and type(start.backbone.net).__name__ == NETS[name]
        assert start.data.pixels.shape[1] == size_px == start.backbone.image_size_px
        assert len(start.data.pixels) == views * own.data.images and start.data.views == views
        assert np.array_equal(start.data.front, own.data.front)


# What is refused


@pytest.mark.parametrize(
    ("choices", "parts"),
    [
        (["backbone=resnet18,resnet_18"], ["tries backbone resnet_18", "there is no backbone 'resnet_18'", "timm"]),
        (["views=0,2"], ["views is 0", "a whole number from 1 to 1000"]),
        (["view_strength=1,4", "views=1,2"], ["view_strength is 4", "above 0 and up to 3"]),
        (["image_size_px=4,32"], ["image_size_px is 4", "from 8 to 4096"]),
        (["backbone=test_byobnet,vit_tiny_patch16_224", "image_size_px=32,40"], ["vit_tiny", "40", "multiples of 16"]),
        (["backbone=1,2"], ["backbone is 1", "a model name of timm"]),
        (["temperature=0.1,0.2"], ["--also temperature: the space temperature gives it already"]),
    ],
)
def test_a_choice_that_cannot_be(choices: list[str], parts: list[str]):
    """Before any trial starts, with what is valid."""
    message = refused(also(*choices))
    assert not [part for part in parts if part not in message], message


@pytest.mark.parametrize("text", ["backbone", "backbone=resnet18", "=1,2", "views=1,1"])
def test_what_also_searches_has_a_name_and_several_values(text: str):
    """Else it is no search."""
    with pytest.raises(InputError, match="valid is NAME=VALUE,VALUE"):
        also(text)


def test_a_range_of_real_numbers_cannot_be_made_before_a_search(tmp_path: Path):
    """Each strength is a set of images of its own."""
    body = 'return {"views": 2, "view_strength": trial.suggest_float("view_strength", 0.5, 2.0)}'
    assert "suggest_categorical('view_strength'" in refused(space_of(tmp_path, body))


def test_what_all_trials_start_from_is_an_option(tmp_path: Path):
    """A constant in a space would leave the run's own start unused."""
    body = 'return {"backbone": "resnet18", "temperature": trial.suggest_float("temperature", 0.1, 1)}'
    assert "give --backbone instead" in refused(space_of(tmp_path, body))


# Weights


def test_weights_are_given_by_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file fits one backbone; paths are understood in any folder afterwards."""
    monkeypatch.chdir(tmp_path)
    each = ModelOptions("resnet18", "resnet18=a.pth,resnet34=none")
    assert (weights_of(each, "resnet18"), weights_of(each, "resnet34")) == ("a.pth", "none")
    assert resolved_weights(each) == f"resnet18={tmp_path}/a.pth,resnet34=none"
    with pytest.raises(InputError, match=r"gives none to the backbone resnet50.*Add resnet50=none"):
        weights_of(each, "resnet50")
    (tmp_path / "run=3.pth").touch()
    assert weights_of(ModelOptions("resnet18", "run=3.pth"), "resnet18") == "run=3.pth"  # no backbone of the name run
    with pytest.raises(InputError, match="is a file, which fits one backbone"):
        weights_of(ModelOptions("resnet18", "/data/run=3/a.pth"), "resnet34")
