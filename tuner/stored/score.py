"""Are these two images the same thing?   python score.py FRONT ANGLE

Plain timm, torch and Pillow. model.safetensors and config.json lie beside this file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent


class Encoder(nn.Module):
    """(B, S, S, 3) uint8 RGB pixels to (B, E) embeddings of length 1, whose dot product is the cosine."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        features, hidden, size = (config["head"][name] for name in ("feature_size", "hidden_size", "embedding_size"))
        self.backbone = timm.create_model(config["backbone"], pretrained=False, **config["backbone_arguments"])
        mlp = [nn.Linear(features, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, size)] if hidden else []
        self.head = nn.Sequential(*mlp) if hidden else nn.Linear(features, size)
        for name in ("mean", "std"):
            values = 255 * torch.tensor(config["preprocessing"][name]).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise, embed, project."""
        images = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return nn.functional.normalize(self.head(self.backbone(images)), dim=1, eps=1e-6)


def load(folder: str | Path = HERE) -> tuple[Encoder, dict[str, Any]]:
    """The model, and config.json as a dictionary."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    encoder = Encoder(config).eval()
    encoder.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return encoder, config


def read(path: str | Path, preprocessing: dict[str, Any]) -> np.ndarray:
    """(S, S, 3) uint8 RGB pixels of an image file, exactly as in training. preprocessing: config["preprocessing"]."""
    size = preprocessing["image_size_px"]
    with Image.open(path) as image:
        image.draft(None, (2 * size, 2 * size))  # a much larger JPEG is decoded smaller
        image.load()
        return np.asarray(square(rgb(upright(image), preprocessing["levels"]), size, preprocessing["fit"]))


def square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """The whole image squashed, its centre cropped, or the whole image padded with grey, as the model was trained."""
    if fit == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    if fit == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.BICUBIC, color=(128, 128, 128))
    return image.resize((size, size), Image.Resampling.BICUBIC)


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says, if that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the orientation; the pixels are sound
        return image


def rgb(image: Image.Image, levels: dict[str, list[float]]) -> Image.Image:
    """In 8 bits: transparent parts white; images of more bits between the levels that were black and white in training.

    Where training had no such images, whole numbers are taken as 0 to 65535 and floats as 0 to 1 or 0 to 255.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        usual = [0, 65535] if image.mode.startswith("I") else [0, 1 if np.nanmax(values) <= 1 else 255]
        low, high = levels.get("float" if image.mode == "F" else "whole", usual)
        scaled = np.nan_to_num((values - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)
        if isinstance(image.info.get("transparency"), int):
            scaled[values == image.info["transparency"]] = 255
        image = Image.fromarray(scaled)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@torch.inference_mode()
def score(front: str | Path, angle: str | Path) -> tuple[float, float]:
    """The cosine of two image files, and the threshold from which on they are the same thing."""
    encoder, config = load()
    pixels = np.stack([read(path, config["preprocessing"]) for path in (front, angle)])
    one, other = encoder(torch.from_numpy(pixels))
    return float(one @ other), config["threshold"]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python score.py FRONT ANGLE")
    try:
        cosine, threshold = score(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"error: {error}; valid are two image files that can be read")
    print(f"cosine {cosine:.6f}  {'same' if cosine >= threshold else 'different'} (threshold {threshold:.6f})")
