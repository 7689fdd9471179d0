"""The doctor's command line as a dataclass: its docstrings are the help. Light on purpose, as `run_options` is."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainable.config import TrialConfig
from tuner.cli.run_options import DEVICES, FITS, DataOptions, ModelOptions
from tuner.cli.values import check_choice, check_range


@dataclass(frozen=True)
class DoctorOptions:
    """Look at data and model before anything is trained.

    Prints a verdict a line (ok, warn, fail) with what was found and what to do. Exit code 0: nothing fatal, 1: something
    fatal, 2: a mistake in the input. The log of a training of your own is looked at by python -m tuner.explain FILE.
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
        check_choice("--fit", self.data.fit, FITS)
        check_range("--cpus-per-trial", self.cpus_per_trial, 1)
        check_range("--views", self.data.views, 1, 1000)
