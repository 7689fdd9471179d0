"""What trials can start from: of every choice that the space gives, the backbone and the images, checked before any trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console

from search_spaces import SearchSpace
from trainable.config import Choice
from trainable.data.images import Elsewhere
from trainable.errors import InputError
from trainable.model.backbone import Backbone, block_count
from trainable.model.backbones import create_backbone
from trainable.training.start import Start, words
from tuner.cli.run_options import RunOptions
from tuner.inputs.backbone import backbone_spec, check_blocks
from tuner.inputs.bound_space import BoundSpace, Origin
from tuner.inputs.dataset import Dataset, seen_otherwise
from tuner.inputs.space import examine


def bind(space: SearchSpace, options: RunOptions, own: Backbone) -> tuple[BoundSpace, dict[Choice, Backbone]]:
    """The space, tried with these options, and the backbone of every choice that it gives.

    own: the run's backbone. Where there are several, the space is told the smallest number of blocks. Raises InputError for
    a backbone or an image size that cannot be.
    """
    spec, fixed = backbone_spec(options.data, options.model), options.configuration
    said = Origin(spec.name, spec.image_size_px, options.data.views, fixed.view_strength or 1.0)._asdict()
    bound = examine(space, fixed, block_count(own), said)
    made = {(spec.name, spec.image_size_px): own}
    backbones = {}
    for choice in bound.choices:
        which = bound.origin(choice)[:2]
        if which not in made:
            try:
                other = backbone_spec(options.data, options.model, *which)
                made[which] = create_backbone(other, seed=fixed.seed)
            except InputError as error:
                raise InputError(f"the space {space.name} tries {words(choice)}: {error}") from error
        backbones[choice] = made[which]
    counts = {name: block_count(backbone) for (name, _), backbone in made.items()}
    for name, count in counts.items():
        check_blocks(fixed.trainable_blocks, count, name)
    smallest = min(counts.values())
    if smallest != bound.blocks:
        bound = examine(space, fixed, smallest, said)
    return replace(bound, blocks_of=counts), backbones


def starts(
    bound: BoundSpace,
    backbones: Mapping[Choice, Backbone],
    dataset: Dataset,
    options: RunOptions,
    console: Console,
    elsewhere: Elsewhere | None = None,
) -> dict[Choice, Start]:
    """What each choice of the space starts from, images of each size decoded once; the run's own first.

    elsewhere: decodes what it can of many images.
    """
    own = bound.origin(bound.choices[0])
    seen = {own[1:]: dataset}
    found = {}
    for choice in bound.choices:
        _, size_px, views, strength = origin = bound.origin(choice)
        if origin[1:] not in seen:
            asked = replace(options.data, views=views)
            seen[origin[1:]] = seen_otherwise(dataset, asked, size_px, strength or 1.0, console, elsewhere)
        found[choice] = Start(backbones[choice], seen[origin[1:]].data)
    return found
