"""The command line as dataclasses: their docstrings are the help. Light on purpose: `--help` imports nothing heavy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from trainable.config import InputError, TrialConfig

SAMPLERS = ("tpe", "gp", "random", "qmc")
SCHEDULERS = ("asha", "none")


@dataclass(frozen=True)
class DataOptions:
    """What to match."""

    data: str = "turntable"
    """`turntable`, the embedded set, or a pair table (.csv, .parquet), or a folder identity/front*.jpg, identity/angle*.jpg."""
    image_size_px: int | None = None
    """Side of the square that images are resized to; absent: 64 for turntable, 128 otherwise."""
    cache_gb: float = 20.0
    """Features on disk beyond so many 10⁹ bytes are removed, longest unused first; 0 keeps none."""
    cache: str | None = None
    """Folder for rendered data and features; absent: the user's cache folder."""


@dataclass(frozen=True)
class ModelOptions:
    """Which backbone the trials share."""

    backbone: str = "test_byobnet"
    """Any timm model name."""
    weights: str = "none"
    """`none` (random), `pretrained` (timm's, needs a network or a filled cache), or a .safetensors or .pth file."""
    input_mean: tuple[float, float, float] | None = None
    """Mean that inputs are normalised with, per channel in [0, 1]; absent: what timm says of the backbone."""
    input_std: tuple[float, float, float] | None = None
    """Standard deviation that inputs are normalised with; absent: what timm says of the backbone."""


@dataclass(frozen=True)
class SearchOptions:
    """How to search."""

    trials: int = 16
    """Configurations to try, the default one included."""
    time_budget_s: float | None = None
    """Stop starting and training trials after so many seconds; what was reached by then counts."""
    sampler: str = "tpe"
    """Optuna's sampler: tpe, gp, random or qmc."""
    scheduler: str = "asha"
    """asha stops weak trials early; none trains every trial to the end."""
    metric: str = "val_accuracy"
    """What trials are ranked by: val_accuracy, val_balanced_accuracy, val_auc, val_average_precision, val_eer or val_d_prime."""


@dataclass(frozen=True)
class HardwareOptions:
    """Where to run."""

    address: str | None = None
    """Address of a running Ray cluster (host:port, ray://host:port or auto); absent: Ray is started on this machine."""
    cpus_per_trial: int = 1
    """CPU cores, and threads, of a trial."""
    gpus_per_trial: float | None = None
    """GPUs of a trial, fractions allowed; absent: 1 where the cluster has GPUs, else 0."""
    feature_memory_gb: float | None = None
    """Memory of a node, in 10⁹ bytes, for shared features of frozen blocks; absent: half of Ray's object store. Cuts that do not
    fit start from the next shallower one."""
    device: str = "auto"
    """cpu or cuda; auto: cuda where a trial has a GPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the encoder under autocast; auto: bf16 on GPUs that have it, fp16 on others, fp32 on CPUs. Losses are always fp32."""
    dashboard_port: int | None = None
    """Port of the Ray dashboard when Ray is started here; absent: 8265, or the next one that is free."""


@dataclass(frozen=True)
class ResultOptions:
    """What is kept, and going on."""

    results: str = "results"
    """Local folder, or a URI that pyarrow's file systems understand (s3://bucket/folder, gs://…)."""
    resume: str | None = None
    """Go on with this run: finished trials are kept, unfinished ones go on at their last checkpoint; --trials may be larger."""
    max_failures: int = 1
    """How often a trial that fails is taken up again from its checkpoint before it counts as failed."""


@dataclass(frozen=True)
class RunOptions:
    """Search the hyperparameters of a two-view matching model.

    Renders or reads pairs of images, trains many configurations on Ray, compares the winner with the default
    configuration on test pairs, and writes Parquet tables. Try: python -m tuner.run --space temperature
    """

    space: str = "temperature"
    """Which question: a name from --list-spaces, or the path of your own .py file with `suggest(trial)`."""
    list_spaces: bool = False
    """List the spaces with their questions, and end."""
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    configuration: TrialConfig = field(default_factory=TrialConfig)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)
    output: ResultOptions = field(default_factory=ResultOptions)

    def check(self) -> None:
        """Raise InputError for a value that no run can have; costs nothing and needs no other option."""
        choices = [
            ("--sampler", self.search.sampler, SAMPLERS),
            ("--scheduler", self.search.scheduler, SCHEDULERS),
        ]
        for name, value, valid in choices:
            if value not in valid:
                raise InputError(f"{name} is {value!r}; valid are: {', '.join(valid)}. Choose one of them.")
        minima = [
            ("--trials", self.search.trials, 1),
            ("--cpus-per-trial", self.hardware.cpus_per_trial, 1),
            ("--max-failures", self.output.max_failures, 0),
            ("--gpus-per-trial", self.hardware.gpus_per_trial, 0),
            ("--feature-memory-gb", self.hardware.feature_memory_gb, 0),
            ("--cache-gb", self.data.cache_gb, 0),
            ("--image-size-px", self.data.image_size_px, 8),
        ]
        for name, value, minimum in minima:
            if value is not None and value < minimum:
                raise InputError(f"{name} is {value}; valid is a number from {minimum}. Give such a number.")
        budget = self.search.time_budget_s
        if budget is not None and budget <= 0:
            raise InputError(f"--time-budget-s is {budget}; valid is a number of seconds above 0. Give one, or leave it out.")

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> RunOptions:
        """What `as_dict` gave."""
        return _rebuilt(cls, saved)

    def resumed_with(self, given: RunOptions) -> RunOptions:
        """These saved options, with everything in `given` that is not a default in place of the saved value."""
        return _overridden(self, given, RunOptions())


_GROUPS = {
    "data": DataOptions,
    "model": ModelOptions,
    "search": SearchOptions,
    "configuration": TrialConfig,
    "hardware": HardwareOptions,
    "output": ResultOptions,
}


def _rebuilt(cls: type, saved: dict[str, Any]) -> RunOptions:
    groups = {name: group(**{k: _tupled(v) for k, v in saved[name].items()}) for name, group in _GROUPS.items()}
    return cls(**{k: v for k, v in saved.items() if k not in _GROUPS} | groups)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _overridden(saved: Any, given: Any, default: Any) -> Any:
    changes = {}
    for item in dataclasses.fields(saved):
        old, new, plain = (getattr(source, item.name) for source in (saved, given, default))
        changes[item.name] = _overridden(old, new, plain) if dataclasses.is_dataclass(old) else (old if new == plain else new)
    return dataclasses.replace(saved, **changes)
