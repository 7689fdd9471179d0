"""Frozen prefix -> arrays, computed once: the activations at a cut are a constant of the search.

A cut is named by its `trainable_blocks`: 0 is the pooled features of a frozen backbone, k what the last k blocks
train on. Pixels are the cut of a fully trained backbone. Everything here is bit-identical to running the prefix
in every step: the encoder runs frozen parts in batches of a fixed size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from trainable.config import TrialConfig
from trainable.model.backbone import Backbone, block_count, there
from trainable.model.encoder import PairEncoder, projection_head
from trainable.process import prepare_process

_CHUNK = 256
_SAMPLE = 64  # images that show whether halves do harm

HALF_ERROR = 1e-3
"""Largest relative rounding error of stored halves: twice what float16 makes of numbers in its range."""

HALF_BLUR = 5e-4
"""Largest rounding beside the differences between images: twice what float16 makes of numbers around 0, 2.5e-4."""


def whole_prefix(backbone: Backbone) -> PairEncoder:
    """An encoder whose backbone is all frozen, from which every cut can be read off. Freezes the backbone in place."""
    return PairEncoder(backbone, projection_head(backbone.feature_size, TrialConfig(hidden_size=0)), 0).eval()


def cacheable_cuts(backbone: Backbone, wanted: Iterable[int | None]) -> list[int]:
    """Of these values of trainable_blocks, those whose prefix does work worth storing, shallow prefixes first."""
    encoder, count = whole_prefix(backbone), block_count(backbone)
    cuts = {count if cut is None else int(cut) for cut in wanted}
    return sorted((cut for cut in cuts if encoder.can_start_at(cut)), reverse=True)


def sizes_gb(backbone: Backbone, cuts: Iterable[int], images: int) -> dict[int, float]:
    """Memory, in 10⁹ bytes, of the float32 activations of so many images at each cut."""
    one = np.zeros((1, backbone.image_size_px, backbone.image_size_px, 3), dtype=np.uint8)
    return {cut: array.nbytes * images / 1e9 for cut, array in extract(backbone, one, cuts).items()}


def choose(
    sizes: dict[int, float], budget_gb: float, halves: Collection[int] = (), wherever_possible: bool = False
) -> dict[int, str]:
    """The cuts to store within the budget, each with fp32 or fp16: the deepest prefixes first, as they save most.

    sizes: in fp32. halves: the cuts that may be stored in fp16, which lets more cuts fit; those of them that fit in
    fp32 all the same are stored in it, unless fp16 is wanted `wherever_possible`.
    """
    chosen: dict[int, str] = {}
    used = 0.0
    for cut in sorted(sizes):
        size = sizes[cut] / 2 if cut in halves else sizes[cut]
        if used + size <= budget_gb:
            chosen[cut] = "fp16" if cut in halves else "fp32"
            used += size
    for cut, stored in chosen.items():
        if stored == "fp16" and not wherever_possible and used + sizes[cut] / 2 <= budget_gb:
            chosen[cut] = "fp32"
            used += sizes[cut] / 2
    return chosen


def harmless_halves(backbone: Backbone, pixels: np.ndarray, cuts: Iterable[int]) -> set[int]:
    """Those of the cuts at which float16's rounding is small beside the differences between images, on some of them.

    An untrained or collapsed backbone makes numbers that differ little from image to image: rounding relative to their
    size, as float16 does, then changes metrics.
    """
    some = np.linspace(0, len(pixels) - 1, min(_SAMPLE, len(pixels))).astype(int)
    return {cut for cut, found in extract(backbone, pixels[some], cuts).items() if _blur(found) <= HALF_BLUR}


def _blur(activations: np.ndarray) -> float:
    """Rounding of (m, ...) activations to float16 over their differences between images, both root mean squares."""
    with np.errstate(over="ignore"):
        rounding = activations.astype(np.float16).astype(np.float32) - activations
    differences = activations - activations.mean(axis=0)
    return float(np.linalg.norm(rounding) / max(np.linalg.norm(differences), np.finfo(np.float32).tiny))


def halved(activations: np.ndarray) -> np.ndarray | None:
    """float16 of float32 activations (m, ...); None if one's rounding error is above HALF_ERROR of its own length."""
    with np.errstate(over="ignore"):
        half = activations.astype(np.float16)
    # Numbers beyond float16's range become infinite, and those far below 1 lose digits: both show here.
    axes = tuple(range(1, activations.ndim))
    error = np.sqrt(np.square(half.astype(np.float32) - activations).sum(axes))
    length = np.sqrt(np.square(activations).sum(axes))
    return half if (error <= HALF_ERROR * length).all() else None


def stored_as(arrays: Mapping[int, np.ndarray]) -> str | None:
    """In words: the precision that features are stored in; None where there are none."""
    half = [str(cut) for cut in sorted(arrays) if arrays[cut].dtype == np.float16]
    if not half or len(half) == len(arrays):
        return None if not arrays else "fp16" if half else "fp32"
    return f"fp32, for trainable_blocks {', '.join(half)} fp16"


def start_of(trainable_blocks: int, stored: Iterable[int]) -> int | None:
    """The stored cut to start from: the trial's own, else the nearest shallower one; None: start from pixels."""
    return min((cut for cut in stored if cut >= trainable_blocks), default=None)


def extract(backbone: Backbone, pixels: np.ndarray, cuts: Iterable[int], device: str = "cpu") -> dict[int, np.ndarray]:
    """float32 activations of images at each cut, in one pass: (m, F) at 0, else (m, N, C) tokens or (m, H, W, C) maps.

    pixels: (m, S, S, 3) uint8. cuts: as `cacheable_cuts` gives them.
    """
    cuts = list(cuts)
    encoder = whole_prefix(there(backbone, device))
    found: dict[int, list[np.ndarray]] = {cut: [] for cut in cuts}
    for start in range(0, len(pixels), _CHUNK):
        chunk = torch.tensor(np.ascontiguousarray(pixels[start : start + _CHUNK]), device=device)
        for cut, activation in encoder.activations(chunk, cuts).items():
            found[cut].append(activation.float().cpu().numpy())
    return {cut: np.concatenate(parts) for cut, parts in found.items()}


def extract_range(
    backbone: Backbone, pixels: np.ndarray, images: slice, stored: dict[int, str], device: str, threads: int
) -> dict[int, np.ndarray | None]:
    """`extract` for some of the images, as the work of one process: it sets the process's number of threads.

    stored: the precision of each cut, as `choose` gives it. None in place of activations that fp16 cannot hold.
    """
    prepare_process(threads)
    found = extract(backbone, pixels[images], stored, device)
    return {cut: halved(array) if stored[cut] == "fp16" else array for cut, array in found.items()}


def fingerprint(backbone: Backbone) -> str:
    """Hash of all of a backbone that its activations depend on: tensors, architecture, image size, normalisation."""
    known: Any = backbone.net.default_cfg  # timm writes it into every model
    digest = hashlib.sha256(f"{known.get('architecture')} {backbone.net}".encode())
    tensors = {**backbone.state_dict(), "mean": backbone.mean_255, "inverse_std": backbone.inverse_std_255}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return f"{digest.hexdigest()}-{backbone.image_size_px}"
