"""Look before you train: everything that can be known of data and model, as findings. Nothing is searched or written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from rich.console import Console

from trainable.checks.data_checks import examine_table
from trainable.checks.first_steps import FirstSteps, excerpt, take_first_steps
from trainable.checks.model_checks import cut_name, examine_steps
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData, PairTable, check_batch
from trainable.findings import FAIL, OK, DataError, Finding, worst
from trainable.model.backbone import Backbone, block_count
from trainable.model.backbones import create_backbone
from trainable.model.features import cacheable_cuts, extract
from trainable.process import prepare_process
from tuner.cli.console import make_console
from tuner.cli.doctor_options import DoctorOptions
from tuner.cli.run_options import DataOptions
from tuner.inputs.backbone import backbone_spec, check_blocks
from tuner.inputs.dataset import check_validation, examined, load
from tuner.inputs.space import examine as try_space
from tuner.inputs.space import load_space
from tuner.reporting.findings import as_json, print_findings, print_verdict


@dataclass(frozen=True)
class DataExamination:
    """The findings, and the data itself where it can be trained on."""

    findings: list[Finding]
    data: PairData | None = None


def examine_data(options: DataOptions, config: TrialConfig, image_size_px: int, console: Console) -> DataExamination:
    """All data checks. Raises InputError where there are no pairs to look at."""
    findings: list[Finding] = []
    too_few: list[Finding] = []

    def check_table(table: PairTable, tolerated: list[DataError]) -> None:
        findings.extend(examine_table(table, tolerated))
        for check in (partial(check_batch, table, config.batch_size), partial(check_validation, table)):
            try:
                check()
            except DataError as fault:
                too_few.append(fault.finding)

    try:
        read = load(options, image_size_px, config.seed, console, check_table)
    except DataError as fault:
        return DataExamination([*(before.finding for before in fault.before), *findings, *too_few, fault.finding])
    shown = examined(read, config.batch_size, options, console)
    if read.note:
        shown.insert(1, Finding("levels", OK, read.note))
    replaced = {finding.check for finding in too_few}
    findings += too_few + [finding for finding in shown if finding.check not in replaced]
    return DataExamination(findings, None if too_few else read.data)


def examine_model(options: DoctorOptions, backbone: Backbone, cuts: Sequence[int], data: PairData) -> list[Finding]:
    """All model checks, by a few training steps at each cut; and what a trial there will take."""
    settings = Settings(device=_device(options), threads=options.cpus_per_trial)
    before = torch.get_num_threads()
    prepare_process(settings.threads)
    try:
        part = excerpt(data, options.configuration.batch_size)
        began = time.perf_counter()
        stored = cacheable_cuts(backbone, cuts)
        part = replace(part, features=extract(backbone, part.pixels, stored, settings.device))
        feature_s = (time.perf_counter() - began) / len(part.pixels) * len(data.pixels)
        looks = [
            take_first_steps(replace(options.configuration, trainable_blocks=cut), backbone, part, settings)
            for cut in cuts
        ]
    finally:
        torch.set_num_threads(before)
    blocks = block_count(backbone)
    features = (
        f"features of {len(stored)} of these cuts, once for all trials: {_seconds(feature_s)} of one core; "
        if stored
        else ""
    )
    return [*examine_steps(looks, blocks), _cost(looks, blocks, data, options, features)]


def _cost(looks: list[FirstSteps], blocks: int, data: PairData, options: DoctorOptions, features: str) -> Finding:
    """What one trial will take at each cut."""
    config, val = options.configuration, data.rows("val")
    steps = max(1, len(data.rows("train")) // config.batch_size)
    images = len(np.union1d(data.front[val], data.angle[val]))
    lines = []
    for look in looks:
        trial_s = config.epochs * (steps * look.step_s + images * look.image_s)
        memory = f"{1000 * look.memory_gb:.0f} MB beside the data"
        lines.append(f"{cut_name(look.trainable_blocks, blocks)}: {_seconds(trial_s)}, {memory}")
    cores = f"{options.cpus_per_trial} core{'s' * (options.cpus_per_trial > 1)}"
    where = f"{config.epochs} epochs of {steps} steps on " + (cores if _device(options) == "cpu" else "a GPU")
    lines.append(f"({where}; {features}pixels, once on each node: {data.pixels.nbytes / 1e6:.0f} MB)")
    return Finding("what one trial takes", OK, "\n".join(lines))


def _device(options: DoctorOptions) -> str:
    if options.device != "auto":
        return options.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _verdict(findings: Sequence[Finding]) -> str:
    return worst(finding.verdict for finding in findings)


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def examine(options: DoctorOptions, started: float) -> int:
    """Look, and print what was found; returns the exit code: 1 where something is fatal. started: of perf_counter."""
    console = make_console()
    space = load_space(options.space)
    spec = backbone_spec(options.data, options.model)
    backbone = create_backbone(spec, seed=options.configuration.seed)
    check_blocks(options.configuration.trainable_blocks, block_count(backbone), spec.name)
    bound = try_space(space, options.configuration, block_count(backbone))
    looked = examine_data(options.data, options.configuration, spec.image_size_px, console)
    parts = {"Data": looked.findings}
    if not options.json:
        print_findings(console, "Data", looked.findings)
    if looked.data is not None and _verdict(looked.findings) != FAIL:
        with console.status("taking the first training steps"):
            cuts = _tried(bound.cuts, block_count(backbone))
            parts["Model"] = examine_model(options, backbone, cuts, looked.data)
            if backbone.note:
                parts["Model"].insert(0, Finding("weights", OK, backbone.note))
        if not options.json:
            print_findings(console, "Model", parts["Model"])
    findings = [finding for part in parts.values() for finding in part]
    seconds = time.perf_counter() - started
    if options.json:
        print(as_json(findings, seconds))
    else:
        print_verdict(console, findings, seconds)
    return int(_verdict(findings) == FAIL)


def _tried(cuts: Sequence[int | None], blocks: int) -> list[int]:
    """The shallowest, the middle and the deepest degree of freezing among those that trials can have."""
    known = sorted({blocks if cut is None else cut for cut in cuts})
    return sorted({known[0], known[len(known) // 2], known[-1]})
