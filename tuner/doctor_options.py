"""The doctor's command line as a dataclass: its docstrings are the help. Light on purpose, as `tuner.options` is."""

from __future__ import annotations

from dataclasses import dataclass, field

import tyro

from trainable.config import InputError, TrialConfig
from tuner.options import DEVICES, DataOptions, ModelOptions, check_choice, check_range


@dataclass(frozen=True)
class DoctorOptions:
    """Look at data and model before anything is trained; or, with --log FILE, at the log of a training of your own.

    Prints a verdict a line (ok, warn, fail) with what was found and what to do. Exit code 0: nothing fatal, 1: something
    fatal, 2: a mistake in the input. The options of --log FILE are those that --log --help shows.
    """

    space: str = "joint"
    """The space whose degrees of freezing are tried, the shallowest and the deepest cut among them."""
    json: bool = False
    """Print the findings as JSON."""
    cpus_per_trial: int = 1
    """CPU cores that a trial is to get; time and memory are told for as many."""
    device: str = "auto"
    """What a trial is to train on: cpu, cuda, or auto (cuda where there is a GPU here)."""
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    configuration: TrialConfig = field(default_factory=TrialConfig)
    """What the few training steps are made with."""

    def check(self) -> None:
        """Raise InputError for a value that no look can have."""
        check_range("--image-size-px", self.data.image_size_px, 8, 4096)
        check_choice("--device", self.device, DEVICES)
        check_range("--cpus-per-trial", self.cpus_per_trial, 1)
        check_range("--views", self.data.views, 1, 1000)


@dataclass(frozen=True)
class LogOptions:
    """Explain a training that this system did not make, from its log.

    Reads losses and metrics by step or epoch from a file in any of the usual formats, recognises its columns by their
    names, as far as their numbers agree (and says as what), and prints every symptom with its evidence, how sure it is,
    likely cause and remedy. Exit code as without --log.
    """

    log: str
    """The log: CSV, TSV, Parquet, JSON or JSONL (Hugging Face's trainer_state.json, Keras' history), TensorBoard's event
    files, a folder of MLflow's metrics, an export of Weights & Biases, or what a script printed; compressed or not."""
    column: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Which column is what, as contrastive_loss=loss/con; once for each. What is not given is guessed by its name."""
    temperature: float | None = None
    """Temperature of the contrastive loss, if known; none: the log's own column, if it has one."""
    base_temperature: float | None = None
    """Base temperature of SupContrast's loss, if known; none: 0.07 and 0.1 are tried."""
    batch_size: int | None = None
    """Pairs in a batch, if known; none: the log's own column, if it has one."""
    json: bool = False
    """Print the findings as JSON."""

    def check(self) -> None:
        """Raise InputError for a value that no training can have."""
        check_range("--batch-size", self.batch_size, 2)
        for name, value in (("--temperature", self.temperature), ("--base-temperature", self.base_temperature)):
            if value is not None and value <= 0:
                raise InputError(f"{name} is {value}; valid is a number above 0. Give such a number, or leave it out.")
