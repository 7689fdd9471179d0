"""Options made into a plan: every mistake that can be known before a trial is started or anything written is found here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import search_spaces
from search_spaces import SearchSpace, SpaceError
from trainable.backbones import Backbone, BackboneSpec, block_count, create_backbone
from trainable.config import InputError, TrialConfig
from trainable.data_checks import examine_images, examine_table
from trainable.findings import FAIL, OK, DataError, Finding
from trainable.pairs import PairData, PairTable, check_batch, read_pairs
from trainable.verification import cross_fitted
from tuner import results
from tuner.cluster import check_address
from tuner.data_source import EMBEDDED, check_memory, data_path, decoded, fingerprint_of
from tuner.options import DataOptions, ModelOptions, RunOptions
from tuner.suggested import Suggested


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
    root = results.writable(options.output.results)
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


def accept(findings: list[Finding], force: bool, console: Console) -> None:
    """Print what is no good; InputError where something is fatal, unless it is forced."""
    fatal = [finding for finding in findings if finding.verdict == FAIL]
    if fatal and not force:
        listed = "\n".join(map(str, fatal))
        raise InputError(f"{listed}\nNothing can come of such pairs; --force runs all the same.")
    for finding in findings:
        if finding.verdict != OK:
            word = "forced" if finding.verdict == FAIL else "warning"
            console.print(f"{word}: {finding.check}: {finding}", soft_wrap=True, markup=False)


def check_validation(table: PairTable) -> None:
    """InputError unless the val split is large enough for what every epoch does with it: solve thresholds on the pairs
    that have no identity in common with the ones that they are scored on."""
    rows = table.rows("val")
    identities = table.front_identity[rows], table.angle_identity[rows]
    try:
        cross_fitted(np.zeros(len(rows)), table.pair_label[rows], *identities)  # that it can depends on no score
    except ValueError as error:
        raise DataError(
            "enough for validation",
            f"{table.source}: the val split has {len(rows)} pairs of {len(np.union1d(*identities))} identities, too "
            "few to score each pair at a threshold solved without its identities",
            "valid is at least 4 identities, and "
            "so many pairs that without the identities of any one of them both labels are left. Add val pairs of other "
            "identities.",
        ) from error


def load_space(name: str) -> SearchSpace:
    """The space of this name or path; InputError if there is none."""
    try:
        return search_spaces.load(name)
    except SpaceError as error:
        raise InputError(str(error)) from error


def check_blocks(trainable_blocks: int | None, blocks: int, backbone: str) -> None:
    """InputError if --trainable-blocks is more than the backbone has."""
    if trainable_blocks is not None and trainable_blocks > blocks:
        raise InputError(
            f"--trainable-blocks is {trainable_blocks}, but the backbone {backbone} has {blocks} blocks; "
            f"valid is 0 (the head only) to {blocks}, or none for all. Give such a number."
        )


def examine(space: SearchSpace, fixed: TrialConfig, blocks: int) -> Suggested:
    """Try the space: every configuration it gives, also at the ends of its ranges, must be one that can be trained."""
    try:
        probe = space.probe(blocks)
    except SpaceError as error:
        raise InputError(str(error)) from error
    given = [*probe.configurations, *(corner.configuration for corner in probe.corners)]
    for configuration in given:
        _check(space, fixed, configuration, blocks)
    searched = tuple(
        name for name in TrialConfig.names() if len({repr(g[name]) if name in g else None for g in given}) > 1
    )
    if not searched:
        raise InputError(
            f"the space {space.name} gives the same configuration every time: {given[0]}. "
            f"Let suggest in {space.path} vary at least one of: {', '.join(TrialConfig.names())}."
        )
    return Suggested(space, fixed, blocks, searched, probe.distributions)


def _check(space: SearchSpace, fixed: TrialConfig, configuration: dict[str, Any], blocks: int) -> None:
    for name in ("seed", "epochs", "batch_size"):
        if name in configuration:
            why = "it belongs to the run" if name != "batch_size" else "chance of the loss is ln(batch_size)"
            raise InputError(
                f"the space {space.name} sets {name}, which must be the same for all trials ({why}). "
                f"Take it out of {space.path} and give --{name.replace('_', '-')} instead."
            )
    try:
        config = TrialConfig.of({name: getattr(fixed, name) for name in TrialConfig.names()} | configuration)
    except InputError as error:
        raise InputError(f"the space {space.name}: {error}") from error
    if config.trainable_blocks is not None and config.trainable_blocks > blocks:
        raise InputError(
            f"the space {space.name}: trainable_blocks is {config.trainable_blocks}, but the backbone has {blocks} "
            f"blocks; valid is 0 to {blocks}. A space's suggest(trial, blocks) is told the number."
        )


def backbone_spec(data: DataOptions, model: ModelOptions) -> BackboneSpec:
    """The backbone that the options name."""
    size = data.image_size_px or (64 if data.data == EMBEDDED else 128)
    weights = model.weights
    if weights not in ("none", "pretrained"):
        weights = str(Path(weights).expanduser().resolve())
    return BackboneSpec(model.backbone, weights, size, model.input_mean, model.input_std)


def _new_name(space: str) -> str:
    return f"{space}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
