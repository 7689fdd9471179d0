"""Options made into a plan: every mistake that can be known before a trial is started or anything written is found here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from rich.console import Console

from search_spaces import SearchSpace
from trainable.checks.data_checks import examine_table
from trainable.config import Purpose
from trainable.data.images import Elsewhere
from trainable.data.pairs import PairData, PairTable, check_batch
from trainable.findings import DataError
from trainable.model.backbone import Backbone, block_count
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.objectives import Objectives
from trainable.training.start import Starts
from tuner.analysis.starting_points import Search, StartingPoint, starting_points
from tuner.cli.run_options import RunOptions
from tuner.cluster.address import check_address
from tuner.inputs.backbone import backbone_spec, check_blocks
from tuner.inputs.bound_space import BoundSpace
from tuner.inputs.dataset import Dataset, accept, check_validation, examined, load
from tuner.inputs.space import load_space
from tuner.inputs.starts import bind, starts
from tuner.results.writer import writable
from tuner.search.samplers import check_sampler
from tuner.search.watching.trackers import check_installed


@dataclass(frozen=True)
class Plan:
    """A run that can start: its name, its options, and everything read and checked."""

    run: str
    options: RunOptions
    bound: BoundSpace
    backbone_spec: BackboneSpec
    starts: Starts
    """By what configurations say of it, what trials start from: the run's own, and what else its space chooses."""
    dataset: Dataset
    results_root: str
    start_from: list[StartingPoint]
    """What earlier runs offer to a new one, the best first."""

    @property
    def backbone(self) -> Backbone:
        """The run's own: that of the default configuration."""
        return self.starts[self.bound.choices[0]].backbone

    @property
    def table(self) -> PairTable:
        """The pairs."""
        return self.dataset.table

    @property
    def data(self) -> PairData:
        """What trials need of the pairs and their images."""
        return self.dataset.data

    @property
    def data_fingerprint(self) -> str:
        """Equal for equal pairs, labels, splits and images: such runs may be compared."""
        return self.dataset.fingerprint

    @property
    def metric(self) -> str:
        """What the trials are ranked by: what was asked for; accuracy, where that cannot tell the trials apart."""
        return self.bound.ranked_by(self.options.search.metric)

    @property
    def objectives(self) -> Objectives:
        """What the search weighs beside that, and the limits of a winner."""
        return replace(self.options.objectives, metric=self.metric)

    @property
    def space(self) -> SearchSpace:
        """What is asked."""
        return self.bound.space


def prepare(
    options: RunOptions, console: Console, run: str | None = None, elsewhere: Elsewhere | None = None
) -> Plan:
    """Read and check everything. run: the name of a run that goes on; None gives a new name. Raises InputError.

    elsewhere: decodes what it can of many images.
    """
    options = options.settled()
    space = load_space(options.space, options.search.also)
    root = writable(options.output.results)
    check_address(options.hardware.address)
    check_installed(options.output.log_to)
    spec = backbone_spec(options.data, options.model)
    backbone = create_backbone(spec, seed=options.configuration.seed)
    if backbone.note:
        console.print(f"note: {backbone.note}", soft_wrap=True, markup=False)
    check_blocks(options.configuration.trainable_blocks, block_count(backbone), spec.name)
    bound, backbones = bind(space, options, backbone)
    check_sampler(options.search.sampler, options.search.sampler_args, bound, options.objectives.directions())
    batch_size = options.configuration.batch_size

    def check_table(table: PairTable, tolerated: list[DataError]) -> None:
        check_batch(table, batch_size)
        if not options.data.folds:  # which `load` checks itself: they are made of train and val pairs
            check_validation(table)
        accept(examine_table(table, tolerated), options.force, console)
        for note in table.notes:
            console.print(f"note: {note}", soft_wrap=True, markup=False)

    strength = options.configuration.view_strength or 1.0
    read = load(options.data, spec.image_size_px, options.configuration.seed, console, check_table, strength, elsewhere)
    labels = read.data.pair_label[read.data.rows("val")]
    Purpose.of(options.search.threshold_for).check(int((labels == 0).sum()))
    if read.note:
        console.print(f"note: {read.note}", soft_wrap=True, markup=False)
    accept(examined(read, batch_size, options.data, console), options.force, console)
    name = _new_name(space.name) if run is None else run
    made = starts(bound, backbones, read, options, console, elsewhere)
    plan = Plan(name, options, bound, spec, made, read, root, [])
    return plan if run is not None else replace(plan, start_from=_start_from(plan, console))


def _start_from(plan: Plan, console: Console) -> list[StartingPoint]:
    """What earlier runs offer to this one, said in a line."""
    asked = plan.options.search.start_from
    search = Search(plan.space.name, plan.bound.searched, plan.backbone_spec.name, plan.data_fingerprint)
    points = starting_points(plan.results_root, asked, search)
    if asked:
        names = sorted({point.origin.rpartition("/")[0] for point in points})
        what = f"the best configurations of {', '.join(names)}" if names else "nothing: no run there is comparable"
        console.print(f"starting from {what}", soft_wrap=True, markup=False)
    return points


def _new_name(space: str) -> str:
    return f"{space}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
