"""Options made into a plan: every mistake that can be known before a trial is started or anything written is found here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console

from search_spaces import SearchSpace
from trainable.checks.data_checks import examine_images, examine_table
from trainable.data.pairs import PairData, PairTable, check_batch
from trainable.findings import DataError
from trainable.model.backbones import Backbone, BackboneSpec, block_count, create_backbone
from tuner.cli.run_options import RunOptions
from tuner.cluster.address import check_address
from tuner.inputs.backbone import backbone_spec, check_blocks
from tuner.inputs.bound_space import BoundSpace
from tuner.inputs.dataset import Dataset, accept, check_validation, load
from tuner.inputs.space import examine, load_space
from tuner.results.writer import writable


@dataclass(frozen=True)
class Plan:
    """A run that can start: its name, its options, and everything read and checked."""

    run: str
    options: RunOptions
    bound: BoundSpace
    backbone_spec: BackboneSpec
    backbone: Backbone
    dataset: Dataset
    results_root: str

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
    def space(self) -> SearchSpace:
        """What is asked."""
        return self.bound.space


def prepare(options: RunOptions, console: Console, run: str | None = None) -> Plan:
    """Read and check everything. run: the name of a run that goes on; None gives a new name. Raises InputError."""
    space = load_space(options.space)
    root = writable(options.output.results)
    check_address(options.hardware.address)
    spec = backbone_spec(options.data, options.model)
    backbone = create_backbone(spec, seed=options.configuration.seed)
    check_blocks(options.configuration.trainable_blocks, block_count(backbone), spec.name)
    bound = examine(space, options.configuration, block_count(backbone))
    batch_size, views = options.configuration.batch_size, options.data.views

    def check_table(table: PairTable, tolerated: list[DataError]) -> None:
        check_batch(table, batch_size)
        check_validation(table)
        accept(examine_table(table, tolerated), options.force, console)
        for note in table.notes:
            console.print(f"note: {note}", soft_wrap=True, markup=False)

    read = load(options.data, spec.image_size_px, options.configuration.seed, console, check_table)
    accept(examine_images(read.table, read.data.pixels, batch_size, views), options.force, console)
    return Plan(_new_name(space.name) if run is None else run, options, bound, spec, backbone, read, root)


def _new_name(space: str) -> str:
    return f"{space}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
