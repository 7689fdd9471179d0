"""An exported model as ONNX: pixels in, embeddings out, any number of images at a time."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from trainable.errors import InputError

FILE = "model.onnx"
_NEEDED = ("onnx", "onnxscript")
_LARGEST_FILE = 1.9e9  # bytes of weights; the format's own limit is 2 GiB, beyond it they lie in a file beside


def check_installed() -> None:
    """InputError, saying how to get them, unless the packages are there that torch writes ONNX with."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--onnx: the package{'s' * (len(missing) > 1)} {' and '.join(missing)} cannot be imported; valid is an "
            "environment that has both. Install them with: pip install -c constraints.txt -e '.[onnx]'"
        )


def write(encoder: nn.Module, image_size_px: int, folder: Path) -> None:
    """Write FILE: `pixels` (B, S, S, 3) uint8 RGB to `embedding` (B, E) float32 of length 1."""
    pixels = torch.zeros(
        2, image_size_px, image_size_px, 3, dtype=torch.uint8
    )  # 2: a batch of one would be taken as fixed
    large = sum(p.numel() * p.element_size() for p in encoder.parameters()) > _LARGEST_FILE
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own workings; what it wrote is tested
        torch.onnx.export(
            encoder,
            (pixels,),
            str(folder / FILE),
            input_names=["pixels"],
            output_names=["embedding"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
            external_data=large,
            verbose=False,
        )
