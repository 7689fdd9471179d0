"""The command line as dataclasses: their docstrings are the help. Light on purpose: `--help` imports nothing heavy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any

from trainable.config import METRICS, RANK_BY, Purpose, TrialConfig
from trainable.errors import InputError
from trainable.objectives import Objectives
from tuner.cli.sampler_names import SAMPLERS, may_be_sampler
from tuner.cli.values import NONE_TOLD, check_choice, check_range, overridden, tupled

EMBEDDED = "turntable"
"""What --data calls the set that comes with the program."""
SCHEDULERS = ("asha", "hyperband", "median", "none")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
FEATURE_PRECISIONS = ("fp32", "fp16", "auto")
TRACKERS = ("tensorboard", "mlflow", "wandb", "aim")
FITS = ("squash", "crop", "pad")


@dataclass(frozen=True)
class DataOptions:
    """The pairs of images."""

    data: str = EMBEDDED
    """turntable (the embedded set), or a pair table (.csv, .parquet, .jsonl), or a folder identity/front*.jpg, angle*.jpg."""
    image_size_px: Annotated[int | None, NONE_TOLD] = None
    """Side of the square that images are resized to; none: 64 for turntable, 128 for other data."""
    fit: str = "squash"
    """How an image that is no square becomes one: squash, crop (its centre), or pad (with grey)."""
    folds: int = 0
    """Train each trial on so many identity-disjoint folds of the train and val pairs, and rank it by its scores out of fold:
    for small sets, where a val split of its own decides nothing. 0: the val split."""
    views: int = 1
    """Augmented views of each training image, the plain one included, drawn once; an epoch shows one of them."""
    cache_gb: float = 20.0
    """Size of the features kept on disk, in 10⁹ bytes; beyond it those unused for longest are removed. 0 keeps none."""
    cache: Annotated[str | None, NONE_TOLD] = None
    """Folder for rendered images and features; none: the user's cache folder."""


@dataclass(frozen=True)
class ModelOptions:
    """The backbone that all trials start from."""

    backbone: str = "test_byobnet"
    """Any model name of timm, for example resnet18 or vit_small_patch14_dinov2."""
    weights: str = "none"
    """none (random weights), pretrained (timm's; needs a network or its cache), or a .safetensors or .pth file; where the space
    tries several backbones, NAME=WEIGHTS for each, with commas."""
    input_mean: Annotated[tuple[float, float, float] | None, NONE_TOLD] = None
    """Mean of red, green and blue to normalise with, on the scale of 0 to 1; none: what timm has for the backbone."""
    input_std: Annotated[tuple[float, float, float] | None, NONE_TOLD] = None
    """Their standard deviation, on the same scale; none: what timm has for the backbone."""


@dataclass(frozen=True)
class SearchOptions:
    """How configurations are proposed, ranked and stopped."""

    trials: int = 16
    """Number of configurations to try. The first is always the default one."""
    time_budget_s: Annotated[float | None, NONE_TOLD] = None
    """The search ends after so many seconds, with what was reached by then; none: no limit."""
    also: tuple[str, ...] = ()
    """More to search beside what the space does, each as NAME=VALUE,VALUE: backbone=resnet18,convnext_atto, or
    image_size_px=96,128, views=1,4, or anything else that a configuration has."""
    sampler: str = "tpe"
    """What proposes configurations: tpe or gp (both learn from earlier trials), random, qmc (evenly spread), any other class
    of optuna.samplers by its name, or a sampler of your own as module:Class."""
    sampler_args: tuple[str, ...] = ()
    """Arguments of the sampler's class as name=value, such as n_startup_trials=4 (values in JSON), or one JSON object."""
    start_from: tuple[str, ...] = ()
    """Runs whose best configurations are tried first (a quarter of the trials at most), by their names; auto: all runs of the
    results folder with the same backbone that searched one of these parameters, also on other data."""
    scheduler: str = "asha"
    """Stops weak trials early: asha (after a quarter and three quarters of the epochs the best third goes on), hyperband (so
    in three groups, from a twelfth, a quarter and three quarters on), median (who is behind it stops); none: nobody stops."""
    repeats: int = 0
    """Seeds with which the leading trials (4 at most) and the default are trained again at the end, the same ones for each; the
    best mean over them wins, and intervals count seeds, too. 0: one training each decides; else 2 or more."""
    keep_sick: bool = False
    """Train trials on that a diagnosis calls hopeless; without it they end at once. NaN ends a trial all the same."""
    rank_by: str = "last"
    """The epoch that a trial is ranked by, and whose model it is: last, or best (which promises more than it keeps)."""
    threshold_for: str = "accuracy"
    """What a threshold that is not searched is solved for, on validation pairs, before the test pairs are scored: accuracy,
    eer (equal error rates), far=RATE (as far=1e-3), or cost=FN:FP (what a miss and a false accept cost). Any but accuracy
    replaces a searched one as well."""
    metric: str = field(default="val_auc", metadata={"help": f"What ranks the trials: {', '.join(METRICS)}."})
    objectives: str = ""
    """A metric and costs that are to be low, as val_auc,seconds (of training), val_auc,parameters (of the model) or
    val_auc,image_ms (milliseconds to embed an image): the search looks for trials that no other beats in all of them, and stops
    none early. The first is what ranks them, in place of --metric. Empty: --metric alone."""
    limits: tuple[str, ...] = ()
    """What a winner may cost at most, in quotes: "image_ms<=5", "parameters<=3e6", "seconds<=60"."""


@dataclass(frozen=True)
class HardwareOptions:
    """What the trials run on."""

    address: Annotated[str | None, NONE_TOLD] = None
    """Ray cluster to join: host:port, or auto (the one found here); none: Ray is started here."""
    cpus_per_trial: int = 1
    """CPU cores that each trial gets, and as many threads."""
    gpus_per_trial: Annotated[float | None, NONE_TOLD] = None
    """GPUs that each trial gets; a fraction shares one between trials; none: 1 where the cluster has GPUs, else 0."""
    feature_memory_gb: Annotated[float | None, NONE_TOLD] = None
    """Memory of each node for stored features of frozen blocks, in 10⁹ bytes; none: half of Ray's object store."""
    feature_precision: str = "fp32"
    """Of stored features: fp32, fp16 (half the memory), or auto (fp16 only where fp32 would not fit the memory)."""
    device: str = "auto"
    """What a trial trains on: cpu, cuda, or auto (cuda where a trial has a GPU, else cpu)."""
    precision: str = "auto"
    """Of the encoder: fp32, bf16, fp16, or auto (on a GPU halves where blocks train, else fp32). Losses are always fp32."""
    dashboard_port: Annotated[int | None, NONE_TOLD] = None
    """Port of the Ray dashboard when Ray is started here; none: 8265, or the next one that is free."""
    no_dashboard: bool = False
    """Start Ray here without its dashboard, which takes a second, and a tenth of a GB, to start."""


@dataclass(frozen=True)
class ResultOptions:
    """Where results go, and what happens after a failure or an interruption."""

    results: str = "results"
    """Folder for the result tables, or a URI of pyarrow's file systems, such as s3://bucket/folder or gs://bucket/folder."""
    resume: str | None = None
    """Run to go on with (its name, the start of it, its space, or latest), with its options;
    finished trials are kept, a larger --trials adds more."""
    max_failures: int = 1
    """How often a trial that fails is started again from its last checkpoint before it is given up."""
    log_to: tuple[str, ...] = ()
    """Experiment trackers that are told of every trial and epoch, too: tensorboard, mlflow, wandb, aim."""
    live: bool = False
    """Keep the run's page, reports/RUN.html below the results, fresh while it goes on; in a browser it loads itself again."""
    checkpoint_s: float = 10.0
    """A trial is saved at its end, and before at most every so many seconds; 0: after every epoch."""


@dataclass(frozen=True)
class RunOptions:
    """Search the hyperparameters of a two-view matching model.

    Reads or renders pairs of images, trains many configurations on Ray, compares the winner with the default
    configuration on test pairs, and writes Parquet tables. All options have defaults; start with
    python -m tuner.run --space temperature
    """

    space: str = "temperature"
    """What varies: a name from --list-spaces, or the path of a .py file of your own with a function suggest(trial)."""
    list_spaces: bool = False
    """Print the spaces with the question that each asks, and exit."""
    force: bool = False
    """Go on with pairs that the data checks call fatal, such as an identity in two splits; without it they are refused."""
    config: str | None = None
    """TOML file with options, as --save-config writes it; what stands on the command line counts more."""
    save_config: str | None = None
    """TOML file to write all options to, before the run begins."""
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    configuration: TrialConfig = field(default_factory=TrialConfig)
    """What a space leaves fixed. These values hold for every trial, except where the space suggests others."""
    hardware: HardwareOptions = field(default_factory=HardwareOptions)
    output: ResultOptions = field(default_factory=ResultOptions)

    @property
    def heads_only(self) -> bool:
        """Whether no trial trains any of the backbone, unless the space suggests it."""
        return self.configuration.trainable_blocks == 0

    def check(self) -> None:
        """Raise InputError for a value that no run can have; costs nothing and needs no other option."""
        if not may_be_sampler(self.search.sampler):
            check_choice("--sampler", self.search.sampler, [*SAMPLERS, "a class of optuna.samplers", "module:Class"])
        for name, value, valid in (
            ("--scheduler", self.search.scheduler, SCHEDULERS),
            ("--metric", self.search.metric, METRICS),
            ("--rank-by", self.search.rank_by, RANK_BY),
            ("--device", self.hardware.device, DEVICES),
            ("--precision", self.hardware.precision, PRECISIONS),
            ("--feature-precision", self.hardware.feature_precision, FEATURE_PRECISIONS),
            ("--fit", self.data.fit, FITS),
            *(("--log-to", name, TRACKERS) for name in self.output.log_to),
        ):
            check_choice(name, value, valid)
        Purpose.of(self.search.threshold_for)
        asked = self.objectives
        if self.search.metric not in (asked.metric, SearchOptions.metric):
            raise InputError(
                f"--metric is {self.search.metric} and --objectives begins with {asked.metric}; valid is one metric. Leave out "
                "--metric."
            )
        bounds: tuple[tuple[str, float | None, float, float | None], ...] = (
            ("--trials", self.search.trials, 1, None),
            ("--cpus-per-trial", self.hardware.cpus_per_trial, 1, None),
            ("--gpus-per-trial", self.hardware.gpus_per_trial, 0, None),
            ("--feature-memory-gb", self.hardware.feature_memory_gb, 0, None),
            ("--max-failures", self.output.max_failures, 0, None),
            ("--checkpoint-s", self.output.checkpoint_s, 0, None),
            ("--cache-gb", self.data.cache_gb, 0, None),
            ("--image-size-px", self.data.image_size_px, 8, 4096),
            ("--views", self.data.views, 1, 1000),
            ("--repeats", self.search.repeats, 0, 100),
            ("--folds", self.data.folds, 0, 50),
        )
        for name, number, low, high in bounds:
            check_range(name, number, low, high)
        if self.search.start_from and self.output.resume is not None:
            raise InputError(
                "--start-from and --resume are given; valid is one of them: a run that goes on has what it started from. Leave "
                "out --start-from."
            )
        if self.search.repeats == 1:
            raise InputError(
                "--repeats is 1; valid is 0 or at least 2: one seed does not tell what seeds change. Give either."
            )
        gpus, budget = self.hardware.gpus_per_trial, self.search.time_budget_s
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise InputError(
                f"--gpus-per-trial is {gpus}; valid is a fraction of one GPU, or a whole number of them. Give either."
            )
        if budget is not None and budget <= 0:
            raise InputError(f"--time-budget-s is {budget}; valid is a number above 0. Give one, or leave it out.")

    @property
    def objectives(self) -> Objectives:
        """What is searched for; InputError where the options do not say it rightly."""
        return Objectives.of(self.search.objectives, self.search.limits, self.search.metric)

    def settled(self) -> RunOptions:
        """With what follows from the objectives: the metric, and no early stopping, which compares a single number."""
        asked = self.objectives
        scheduler = "none" if asked.costs else self.search.scheduler
        return dataclasses.replace(
            self, search=dataclasses.replace(self.search, metric=asked.metric, scheduler=scheduler)
        )

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> RunOptions:
        """What `as_dict` gave."""
        return _rebuilt(cls, saved)

    def resumed_with(self, given: RunOptions) -> RunOptions:
        """These saved options, with everything in `given` that is not a default in place of the saved value.

        Raises InputError where that would make trials that cannot be compared with the ones that the run has.
        """
        merged = overridden(self, given, RunOptions())
        before, after = _held(self), _held(merged)
        changed = [name for name in before if before[name] != after[name]]
        if changed:
            spelt = {name: "none" if before[name] is None else before[name] for name in changed}
            had = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in spelt.items())
            raise InputError(
                f"--resume {given.output.resume}: the run was begun with {had}, which holds for all its trials; valid "
                "is to leave that out, or to give the same. For other values start a new run, without --resume."
            )
        # Where the run was found, which may be spelt in another way than when it began.
        return dataclasses.replace(merged, output=dataclasses.replace(merged.output, results=given.output.results))


_GROUPS = {
    "data": DataOptions,
    "model": ModelOptions,
    "search": SearchOptions,
    "configuration": TrialConfig,
    "hardware": HardwareOptions,
    "output": ResultOptions,
}


def _held(options: RunOptions) -> dict[str, Any]:
    """What must be the same for all trials of a run; data and space are compared by what is in them."""
    # What trials start from is said by options of the run, which count more than what a space may put in their place.
    held = dataclasses.asdict(options.configuration) | dataclasses.asdict(options.model)
    data = {
        "image_size_px": options.data.image_size_px,
        "fit": options.data.fit,
        "folds": options.data.folds,
        "views": options.data.views,
    }
    search = {name: getattr(options.search, name) for name in ("metric", "rank_by", "objectives", "limits", "also")}
    return held | search | data


def _rebuilt(cls: type[RunOptions], saved: dict[str, Any]) -> RunOptions:
    saved["search"].setdefault("rank_by", "best")  # the rule of the runs that did not write it down
    groups = {name: group(**{k: tupled(v) for k, v in saved[name].items()}) for name, group in _GROUPS.items()}
    return cls(**{k: v for k, v in saved.items() if k not in _GROUPS} | groups)
