"""Look before you train: everything that can be known of data and model, as findings. Nothing is searched or written."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console

from trainable.config import TrialConfig
from trainable.data_checks import examine_images, examine_table
from trainable.findings import FAIL, DataError, Finding, worst
from trainable.pairs import PairData, check_batch, read_pairs
from tuner.data_source import check_memory, data_path, decoded
from tuner.display import make_console
from tuner.doctor_options import DoctorOptions
from tuner.findings_table import as_json, print_findings, print_verdict
from tuner.options import DataOptions
from tuner.prepare import backbone_spec, check_validation, load_space


@dataclass(frozen=True)
class DataExamination:
    """The findings, and the data itself where it can be trained on."""

    findings: list[Finding]
    data: PairData | None = None


def examine_data(options: DataOptions, config: TrialConfig, image_size_px: int, console: Console) -> DataExamination:
    """All data checks. Raises InputError where there are no pairs to look at."""
    tolerated: list[DataError] = []
    try:
        table = read_pairs(data_path(options, console), seed=config.seed, tolerated=tolerated)
    except DataError as fault:
        return DataExamination([*(before.finding for before in tolerated), fault.finding])
    findings, too_few = examine_table(table, tolerated), []
    for check in (lambda: check_batch(table, config.batch_size), lambda: check_validation(table)):
        try:
            check()
        except DataError as fault:
            too_few.append(fault.finding)
    check_memory(len(table.images), image_size_px, options.views)
    try:
        data = decoded(table, image_size_px, options.views, console)
    except DataError as fault:
        return DataExamination([*findings, *too_few, fault.finding])
    shown = examine_images(table, data.pixels, config.batch_size, options.views)
    replaced = {finding.check for finding in too_few}
    findings += too_few + [finding for finding in shown if finding.check not in replaced]
    return DataExamination(findings, None if too_few else data)


def examine(options: DoctorOptions, started: float) -> int:
    """Look, and print what was found; returns the exit code: 1 where something is fatal. started: of perf_counter."""
    console = make_console()
    load_space(options.space)
    spec = backbone_spec(options.data, options.model)
    looked = examine_data(options.data, options.configuration, spec.image_size_px, console)
    findings = looked.findings
    seconds = time.perf_counter() - started
    if options.json:
        print(as_json(findings, seconds))
    else:
        print_findings(console, "Data", looked.findings)
        print_verdict(console, findings, seconds)
    return int(worst(findings) == FAIL)
