"""What a model costs in use: how large it is, and how long an image takes."""

from __future__ import annotations

import time

import torch

from trainable.training.loop import Training

_BATCH = 32
_TIMES = 3


def parameters_of(training: Training) -> int:
    """Of the model as it is used: backbone and head."""
    encoder = training.encoder
    return encoder.backbone.parameter_count + sum(parameter.numel() for parameter in encoder.head.parameters())


@torch.inference_mode()
def image_ms(training: Training) -> float:
    """Milliseconds to embed an image, from its pixels on, in batches of 32 on the trial's device and threads.

    The quickest of three batches: what else the machine does comes on top of it.
    """
    training.encoder.eval()
    images = torch.from_numpy(training.data.pixels[:_BATCH].copy()).to(training.device)
    seconds = []
    for _ in range(1 + _TIMES):  # the first one is slower
        started = time.perf_counter()
        with training.autocast():
            training.encoder(images).cpu()  # waits for a GPU, too
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds[1:]) / len(images)
