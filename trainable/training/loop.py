"""Training as a generator: one EpochReport an epoch. No Ray: a notebook, a test and a Tune trial iterate the same."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData
from trainable.metrics import retrieval, spread, step_probe
from trainable.model import features
from trainable.model.backbone import Backbone
from trainable.model.encoder import PairEncoder, projection_head
from trainable.training.batches import Batches
from trainable.training.epoch_report import EpochReport, diagnosed, measure, unmeasured
from trainable.training.inputs import Inputs
from trainable.training.losses import MEASURED, BatchLoss, Targets, batch_loss, epoch_means, measured
from trainable.training.optimizer import AdamW
from trainable.training.ranked_epoch import RankedEpoch
from trainable.training.schedule import learning_rate_factor
from trainable.training.temperature import LearntTemperature

_EMBED_BATCH = 256


class Training:
    """One trial in progress: `epoch()` trains one epoch and reports it; `state()` and `restore()` carry it elsewhere.

    config: the trial's parameters; backbone: where all trials start from, copied, never changed; data: the pairs;
    settings: ranking and hardware; inputs: the data's, if some are on the device already. Same arguments, same reports,
    to the bit, on the CPU in fp32.
    """

    def __init__(
        self,
        config: TrialConfig,
        backbone: Backbone,
        data: PairData,
        settings: Settings | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self.config = config
        self.settings = settings or Settings()
        self.data = data
        self.device = torch.device(self.settings.device)
        inputs = inputs or Inputs(self.device, data)
        self.encoder = new_encoder(inputs.backbone(backbone), config)
        self.encoder.head.to(self.device)
        self._cut = features.start_of(self.encoder.trainable_blocks, data.features)
        self._inputs = inputs.at(self._cut)
        rates = config.learning_rate, config.backbone_lr_ratio, config.weight_decay, config.layer_decay
        self._temperature = LearntTemperature(config, self.device)
        groups = self.encoder.parameter_groups(*rates) + self._temperature.parameter_groups()
        self.optimizer = AdamW(groups, fused=True)
        self._peak_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "fp16")
        trained: dict[str, Tensor] = {name: p for name, p in self.encoder.named_parameters() if p.requires_grad}
        unmoved = self.encoder.frozen_state() if self._cut != 0 else {}  # stored after all blocks: no frozen part runs
        self._probe = step_probe.StepProbe(trained, unmoved)
        self._trained = list(trained.values())
        self.batches = Batches(data, config.batch_size, self.device)
        rows, self.epochs_done = data.rows("val"), 0
        self._sample, self._gallery = spread.Sample.of(data, rows), retrieval.Gallery.of(data, rows)
        self.sick: str | None = None
        self.ranked = RankedEpoch(self.settings)
        self.history: list[dict[str, Any]] = []
        """The numbers of every epoch's report."""
        self.score_history: list[Tensor] = []
        """Validation scores of every epoch where the threshold is searched: they answer for every other threshold."""

    @property
    def finished(self) -> bool:
        """No further epoch is to come."""
        return self.epochs_done >= self.config.epochs or self.sick is not None

    def epoch(self) -> EpochReport:
        """Train one epoch, then score the validation pairs."""
        started = time.perf_counter()
        epoch = self.epochs_done + 1
        with _seeded(self.config.seed, epoch, self.device):
            means = self._train_epoch(epoch)
        return self.conclude(means, time.perf_counter() - started)

    def conclude(self, means: dict[str, float], train_s: float) -> EpochReport:
        """Score the validation pairs after an epoch's steps, whose losses had these means; train_s: what the steps took."""
        started = time.perf_counter()
        finite = all(map(math.isfinite, means.values()))
        self.sick = None if finite else "not finite: a loss or gradient is NaN or infinite"
        validation = self._validate()
        self.epochs_done += 1
        validation_s = time.perf_counter() - started
        found: dict[str, Any] = {**means, **validation, **self._probe.found}
        report = EpochReport(
            epoch=self.epochs_done,
            **found,
            sick=self.sick,
            epoch_s=train_s + validation_s,
            validation_s=validation_s,
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        report = diagnosed(report, self.history, self.config, self.settings)
        self.sick = report.sick
        self.ranked.offer(report, self._weights)
        self.history.append(report.numbers())
        if self.settings.threshold_is_searched:
            self.score_history.append(torch.tensor(report.scores))
        return report

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """Means of the epoch's losses and of the gradient's norm, over its batches."""
        sums = torch.zeros(len(MEASURED), dtype=torch.float64, device=self.device)
        for of_step in self.steps(epoch):
            sums += of_step
        return epoch_means(sums.tolist(), self.batches.per_epoch)

    def steps(self, epoch: int) -> Iterator[Tensor]:
        """Train one epoch step by step, yielding the MEASURED of each; `epoch` seeds them, and reports their means."""
        self.encoder.train()
        random = np.random.default_rng([self.config.seed, epoch])
        for step, batch in enumerate(self._inputs.ahead(self.batches.of_epoch(random), lambda batch: batch[0])):
            yield self.step(epoch, step, *batch)

    def step(self, epoch: int, step: int, images: Tensor, labels: Tensor, targets: Targets) -> Tensor:
        """Train one step, counted from 0 in its epoch; the MEASURED of its batch, float64. The middle one is looked at."""
        self.set_learning_rates(epoch, step)
        with self._probe if step == self.batches.middle else contextlib.nullcontext():
            return self._train_step(images, labels, targets)

    def _train_step(self, images: Tensor, labels: Tensor, targets: Targets) -> Tensor:
        """One step on (2B,) images; the MEASURED of its batch, float64."""
        front, angle = self._embed(images).chunk(2)
        self._probe.watch(front, angle, labels)
        loss = self._loss(front, angle, targets)
        self.optimizer.zero_grad()
        self._scaler.scale(loss.total).backward()
        self._scaler.unscale_(self.optimizer)
        grad_norm = get_total_norm([p.grad for p in self._trained if p.grad is not None])
        stepped = torch.ones_like(grad_norm)
        if self._scaler.is_enabled():
            # In fp16 the scaler skips a step whose gradient overflows and lowers its scale: no sickness, and no norm.
            stepped = grad_norm.isfinite().to(grad_norm.dtype)
            grad_norm = torch.where(stepped > 0, grad_norm, 0)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self._temperature.stepped()
        return measured(targets, stepped, loss.parts, grad_norm)

    def _loss(self, front: Tensor, angle: Tensor, targets: Targets) -> BatchLoss:
        return batch_loss(front, angle, targets, self.config, self._temperature.logarithm)

    def _embed(self, images: Tensor) -> Tensor:
        """(B, E) embeddings of images by their rows (B,), from stored features where there are any."""
        x = self.gather(images)
        with self.autocast():
            cut = self._cut
            found: Tensor = self.encoder(x) if cut is None else self.encoder.suffix(self.encoder.advance(x, cut))
        return found.float()

    def gather(self, images: Tensor) -> Tensor:
        """(B, ...) of what the trial starts from, pixels or stored features, by rows (B,)."""
        x = self._inputs.gather(images)
        return x.float() if x.dtype == torch.float16 else x  # stored halves; in what to compute is for autocast to say

    @property
    def starts_from_features(self) -> bool:
        """Whether features are stored after all blocks, so that nothing but the head runs."""
        return self._cut == 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """In which the encoder runs, in the precision of the settings."""
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.settings.precision)
        return torch.autocast(self.device.type, dtype=dtype) if dtype else contextlib.nullcontext()

    def set_learning_rates(self, epoch: int, step: int) -> None:
        """Those of a step, into every group: timm's lr_scale is ignored by torch."""
        steps = self.batches.per_epoch
        factor = learning_rate_factor((epoch - 1) * steps + step, steps, self.config)
        for group, peak in zip(self.optimizer.param_groups, self._peak_lrs, strict=True):
            group["lr"] = peak * factor

    def _validate(self) -> dict[str, Any]:
        rows = self.data.rows("val")
        scores, embeddings = self.score(rows)
        labels = np.asarray(self.data.pair_label[rows])
        if not np.isfinite(scores).all():
            self.sick = self.sick or "not finite: an embedding is NaN or infinite"
            return unmeasured(scores)
        identities = self.data.front_identity[rows], self.data.angle_identity[rows]
        shown = (labels, identities, embeddings.cpu().numpy(), self.config.threshold, self.settings, self._gallery)
        measures = measure(scores, *shown)
        return measures | spread.of_embeddings(scores, embeddings, self._sample)

    @torch.inference_mode()
    def score(self, rows: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Cosines (len(rows),) float32 of pairs, and the embeddings (m, E) of their distinct images."""
        self.encoder.eval()
        ends = np.concatenate([self.data.front[rows], self.data.angle[rows]])
        images, place = np.unique(ends, return_inverse=True)
        chunks = self._inputs.ahead(torch.from_numpy(images).split(_EMBED_BATCH), lambda chunk: chunk)
        embeddings = torch.cat([self._embed(chunk) for chunk in chunks])
        front, angle = torch.from_numpy(place).to(self.device).chunk(2)
        scores = (embeddings[front] * embeddings[angle]).sum(dim=1)
        return scores.clamp(-1, 1).cpu().numpy(), embeddings

    def _weights(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of all that training changes in the encoder."""
        return {name: tensor.cpu() for name, tensor in self.encoder.trainable_state().items()}

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on exactly here; tensors on the CPU, small: frozen parts are not in it."""
        return {
            "epochs_done": self.epochs_done,
            # written once where both are the same; and nothing trains on after the last epoch
            "encoder": self.ranked.weights if 0 < self.ranked.epoch == self.epochs_done else self._weights(),
            "optimizer": None if self.finished else copy.deepcopy(self.optimizer.state_dict()),
            "scaler": self._scaler.state_dict(),
            "log_temperature": self._temperature.state(),
            **self.ranked.state(),
            "score_history": list(self.score_history),
            "history": list(self.history),
            "sick": self.sick,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, in this or another process."""
        self.encoder.load_trainable_state(state["encoder"])
        if state["optimizer"] is not None:
            self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # it would train the given tensors
        self._scaler.load_state_dict(state["scaler"])
        self._temperature.restore(state.get("log_temperature"))  # a first release's state has none
        self.epochs_done, self.sick = state["epochs_done"], state["sick"]
        self.ranked.restore(state)
        self.history, self.score_history = list(state["history"]), list(state["score_history"])


def train(
    config: TrialConfig, backbone: Backbone, data: PairData, settings: Settings | None = None
) -> Iterator[EpochReport]:
    """Train one configuration; yields one EpochReport an epoch, the last one `sick` if training could not go on.

    >>> from trainable.data import images, read_pairs, turntable
    >>> from trainable.model import backbones
    >>> spec = turntable.TurntableSpec(train_identities=16, val_identities=8, test_identities=4, image_size_px=32)
    >>> table = read_pairs.read_pairs(turntable.write("turntable", spec))
    >>> data = PairData.of(table, *images.decode(table, 32))
    >>> backbone = backbones.create_backbone(backbones.BackboneSpec("test_byobnet", image_size_px=32))
    >>> reports = list(train(TrialConfig(epochs=2, batch_size=8, trainable_blocks=0), backbone, data))
    >>> [report.epoch for report in reports], 0 <= reports[-1].val_auc <= 1
    ([1, 2], True)
    """
    training = Training(config, backbone, data, settings)
    while not training.finished:
        yield training.epoch()


def trained_to(
    config: TrialConfig, backbone: Backbone, data: PairData, settings: Settings, weights: dict[str, Tensor] | int
) -> Training:
    """The training under these weights, or under those after so many epochs, which are trained again."""
    training = Training(config, backbone, data, settings)
    if isinstance(weights, int):
        while training.epochs_done < weights:
            training.epoch()
    else:
        training.encoder.load_trainable_state(weights)
    return training


def test_scores(
    config: TrialConfig, backbone: Backbone, data: PairData, settings: Settings, weights: dict[str, Tensor] | int
) -> np.ndarray:
    """(n_test,) cosines of the test pairs under the weights, as `trained_to` takes them."""
    return trained_to(config, backbone, data, settings, weights).score(data.rows("test"))[0]


def new_encoder(backbone: Backbone, config: TrialConfig) -> PairEncoder:
    """The trial's own encoder; a backbone of which nothing trains is not copied, and one trial's is another's."""
    own = backbone if config.trainable_blocks == 0 else copy.deepcopy(backbone)
    return PairEncoder(own, projection_head(backbone.feature_size, config), config.trainable_blocks)


@contextlib.contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """torch's global generators seeded for one epoch (stochastic depth draws from them), then put back as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        drawn = int(np.random.default_rng([seed, epoch, 1]).integers(2**62))
        torch.default_generator.manual_seed(drawn)  # torch.manual_seed would also reset accelerators not in use
        if devices:
            torch.cuda.manual_seed(drawn)
        yield
