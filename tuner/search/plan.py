"""Options made into a plan: every mistake that can be known before a trial is started or anything written is found here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console

from search_spaces import SearchSpace
from trainable.checks.data_checks import examine_images, examine_table
from trainable.data.pairs import PairData, PairTable, check_batch
from trainable.data.read_pairs import read_pairs
from trainable.findings import DataError
from trainable.model.backbones import Backbone, BackboneSpec, block_count, create_backbone
from tuner.cli.run_options import RunOptions
from tuner.cluster.address import check_address
from tuner.inputs.backbone import backbone_spec, check_blocks
from tuner.inputs.bound_space import Suggested
from tuner.inputs.dataset import accept, check_memory, check_validation, data_path, decoded, fingerprint_of
from tuner.inputs.space import examine, load_space
from tuner.results.writer import writable


@dataclass(frozen=True)
class Plan:
    """A run that can start: its name, its options, and everything read and checked."""

    run: str
    options: RunOptions
    suggested: Suggested
    backbone_spec: BackboneSpec
    backbone: Backbone
    table: PairTable
    data: PairData
    results_root: str

    @property
    def data_fingerprint(self) -> str:
        """Equal for equal pairs, labels, splits and images: such runs may be compared."""
        return fingerprint_of(self.table, self.data.fingerprint)

    @property
    def space(self) -> SearchSpace:
        """What is asked."""
        return self.suggested.space


def prepare(options: RunOptions, console: Console, run: str | None = None) -> Plan:
    """Read and check everything. run: the name of a run that goes on; None gives a new name. Raises InputError."""
    space = load_space(options.space)
    root = writable(options.output.results)
    check_address(options.hardware.address)
    spec = backbone_spec(options.data, options.model)
    backbone = create_backbone(spec, seed=options.configuration.seed)
    check_blocks(options.configuration.trainable_blocks, block_count(backbone), spec.name)
    suggested = examine(space, options.configuration, block_count(backbone))
    tolerated: list[DataError] = []
    table = read_pairs(data_path(options.data, console), seed=options.configuration.seed, tolerated=tolerated)
    check_batch(table, options.configuration.batch_size)
    check_validation(table)
    views = options.data.views
    accept(examine_table(table, tolerated), options.force, console)
    check_memory(len(table.images), spec.image_size_px, views)
    for note in table.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    data = decoded(table, spec.image_size_px, views, console)
    accept(examine_images(table, data.pixels, options.configuration.batch_size, views), options.force, console)
    return Plan(_new_name(space.name) if run is None else run, options, suggested, spec, backbone, table, data, root)


def _new_name(space: str) -> str:
    return f"{space}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
