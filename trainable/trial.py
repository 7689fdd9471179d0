"""PairTrial: a Ray Tune trainable that forwards what training yields. It adds nothing to the mathematics."""

from __future__ import annotations

import socket
import time
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray import tune
from ray.util.metrics import Gauge

from trainable.config import MEASURED, OWN, Choice, Losses, Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.model.backbone import Backbone
from trainable.process import prepare_process
from trainable.training import cost
from trainable.training.checkpoint import STATE_FILE, load_state
from trainable.training.folds import FoldedTraining, training_of
from trainable.training.inputs import Inputs
from trainable.training.loop import test_scores
from trainable.training.ranked_epoch import weights_at
from trainable.training.start import Start, Starts, start_of

REPORT_S = 1.0
"""A report costs about as much as a short epoch: epochs are reported together until so many seconds have passed."""

_BESIDE = ("number", "title", "resume_from")

_GAUGES = ("val_accuracy", "val_auc", *Losses.names())
"""What the Ray dashboard shows of a running trial."""


@dataclass(frozen=True, repr=False)
class Carried:
    """What a report brings beside the numbers of its epoch. Tune puts every report in words for its log; this has few."""

    earlier: Sequence[dict[str, Any]] = ()
    """The numbers of the epochs that were not reported by themselves."""
    arrays: dict[str, np.ndarray] | None = None
    """`scores` and `correct` (n_val,) of the epoch that the trial is ranked by, where they are news."""
    epoch_scores: Mapping[int, np.ndarray] = field(default_factory=dict)
    """(n_val,) validation scores by epoch, where they are kept."""
    history: Sequence[dict[str, Any]] = ()
    """After a restore, the numbers of all epochs before it."""
    costs: Mapping[str, Any] = field(default_factory=dict)
    """`parameters` and `image_ms` of its model."""


class PairTrial(tune.Trainable):
    """One trial on a Ray worker; the actor is reused by the next trial.

    config: parameters of TrialConfig by their names, as a tune.Tuner of your own draws them; or `config` (a TrialConfig). And
    `number`, `title`, and `resume_from` (a folder with a saved state), where there are any.
    """

    def setup(  # type: ignore[override]  # Tune passes what `tune.with_parameters` was given beside the configuration
        self,
        config: dict[str, Any],
        data: PairData,
        backbone: Backbone,
        settings: Settings | None = None,
        run: str = "",
        rungs: Collection[int] = (),
        report_s: float = REPORT_S,
        own: Choice = OWN,
        others: Starts | None = None,
    ) -> None:
        """rungs: the epochs after which the scheduler may stop a trial, which are always reported; report_s: epochs are
        reported together until so many seconds have passed; own: what a configuration says that starts from this data and this
        backbone; others: what else configurations can start from."""
        settings = settings or Settings()
        self._starts, self._settings, self._run = {own: Start(backbone, data), **(others or {})}, settings, run
        self._rungs, self._report_s = rungs, report_s
        prepare_process(settings.threads)
        self._inputs: Inputs | None = None
        self._gauges = {
            name: Gauge(f"tuner_{name}", description=_ascii(MEASURED[name].meaning), tag_keys=("run", "trial"))
            for name in _GAUGES
        }
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._title = config.get("title", "trial")
        configuration = _configuration(config)
        start = start_of(configuration, self._starts)
        if self._inputs is None or self._inputs.data is not start.data:
            self._inputs = Inputs(torch.device(self._settings.device), start.data)
        self._training = training_of(configuration, start.backbone, start.data, self._settings, self._inputs)
        self._costs = self._measured()
        self._restored_now = False
        if config.get("resume_from"):
            self.load_checkpoint(config["resume_from"])

    def _measured(self) -> dict[str, Any]:
        """What the trial's model costs in use."""
        one = self._training.one if isinstance(self._training, FoldedTraining) else self._training
        image_ms = cost.image_ms(one) if self._settings.measure_image else None
        return {"parameters": cost.parameters_of(one), "image_ms": image_ms}

    def step(self) -> dict[str, Any]:
        """One epoch, or several that are short; the report is the last one's, with the others' numbers in it."""
        training, started = self._training, time.monotonic()
        reports = [training.epoch()]
        while not (
            training.finished or training.epochs_done in self._rungs or time.monotonic() - started >= self._report_s
        ):
            reports.append(training.epoch())
        report = reports[-1]
        tags, numbers = {"run": self._run, "trial": self._title}, report.numbers()
        for name, gauge in self._gauges.items():
            gauge.set(numbers[name], tags=tags)
        return numbers | {
            "carried": self._carried(reports[0].epoch, [earlier.numbers() for earlier in reports[:-1]]),
            "best_epoch": training.ranked.best_epoch,
            "ranked_epoch": training.ranked.epoch,
            "node": node_name(),
            "done": training.finished,
            "finished": training.finished,
        }

    def _carried(self, first: int, earlier: list[dict[str, Any]]) -> Carried:
        """first: the first epoch that is not reported yet. After a restore the driver may be another one, which knows none."""
        restored, self._restored_now = self._restored_now, False
        scores = scores_by_epoch(self._training.score_history)
        return Carried(
            earlier,
            self._arrays(1 if restored else first),
            {epoch: s for epoch, s in scores.items() if restored or epoch >= first},
            self._training.history if restored else (),
            self._costs,
        )

    def _arrays(self, first: int) -> dict[str, np.ndarray] | None:
        """The scores of the epoch that the trial is ranked by, where they are news to the driver: of one from `first` on."""
        ranked = self._training.ranked
        if ranked.scores is None or ranked.correct is None or ranked.epoch < first:
            return None
        return {"scores": ranked.scores.numpy(), "correct": ranked.correct.numpy()}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self._training.state() | {"costs": self._costs}, Path(checkpoint_dir) / STATE_FILE)

    def load_checkpoint(self, checkpoint: str | dict[Any, Any] | None) -> None:
        """checkpoint: a folder, as `save_checkpoint` writes one."""
        self._training.restore(load_state(str(checkpoint)))
        self._restored_now = True

    def __repr__(self) -> str:
        """What Ray calls the actor, for good: later trials reuse it, whose tasks have their names."""
        return f"{self._title} and after" if self._run else "PairTrial"


def _configuration(config: Mapping[str, Any]) -> TrialConfig:
    given = config.get("config")
    if isinstance(given, TrialConfig):
        return given
    return TrialConfig.of({name: value for name, value in config.items() if name not in _BESIDE})


def scores_by_epoch(score_history: list[torch.Tensor]) -> dict[int, np.ndarray]:
    """(n_val,) validation scores by epoch, as `Training` keeps them; empty where the threshold is not searched."""
    return {epoch: scores.numpy() for epoch, scores in enumerate(score_history, start=1)}


def _ascii(text: str) -> str:
    """The text in the only letters that Ray's gauges take: a squared sign becomes a 2."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def node_name() -> str:
    """Host and start of the Ray node's id: nodes may share a host."""
    return f"{socket.gethostname()}/{ray.get_runtime_context().get_node_id()[:8]}"


@ray.remote
def gpu_precision() -> str:
    """bf16 if the GPU that this task got computes in it, else fp16."""
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def score_test_pairs(
    config: TrialConfig,
    backbone: Backbone,
    data: PairData,
    settings: Settings,
    state: dict[str, Any] | None,
    epoch: int,
) -> np.ndarray:
    """(n_test,) cosines of the test pairs, from the weights after this epoch.

    state: of a training that the trial shares, with the weights of one epoch, or None; those of any other epoch are
    trained again.
    """
    prepare_process(settings.threads)
    weights = weights_at(state, epoch)
    return test_scores(config, backbone, data, settings, epoch if weights is None else weights)
