"""Are these two images the same thing?   python score.py FRONT ANGLE

Plain timm, torch and Pillow. model.safetensors and config.json lie beside this file.
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import nn

HERE = Path(__file__).resolve().parent


class Encoder(nn.Module):
    """(B, S, S, 3) uint8 RGB pixels to (B, E) embeddings of length 1, whose dot product is the cosine."""

    def __init__(self, config):
        super().__init__()
        features, hidden, size = (config["head"][name] for name in ("feature_size", "hidden_size", "embedding_size"))
        self.backbone = timm.create_model(config["backbone"], pretrained=False, **config["backbone_arguments"])
        mlp = [nn.Linear(features, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, size)] if hidden else []
        self.head = nn.Sequential(*mlp) if hidden else nn.Linear(features, size)
        for name in ("mean", "std"):
            values = 255 * torch.tensor(config["preprocessing"][name]).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels):
        """Normalise, embed, project."""
        images = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return nn.functional.normalize(self.head(self.backbone(images)), dim=1, eps=1e-6)


def load(folder=HERE):
    """The model, and config.json as a dictionary."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    encoder = Encoder(config).eval()
    encoder.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return encoder, config


def read(path, size):
    """(size, size, 3) uint8 RGB pixels of an image file, exactly as in training."""
    with Image.open(path) as image:
        image.draft(None, (2 * size, 2 * size))  # a much larger JPEG is decoded smaller
        image.load()
        image = rgb(upright(image))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))  # the whole image, squashed to a square


def upright(image):
    """Turned as its EXIF says, if that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the orientation; the pixels are sound
        return image


def rgb(image):
    """In 8 bits: transparent parts white, 16-bit levels scaled, floats taken as 0 to 1 or 0 to 255."""
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image, dtype=np.float64)
        scale = 1 / 257 if image.mode.startswith("I") else 255.0 if np.nanmax(levels) <= 1 else 1.0
        image = Image.fromarray(np.nan_to_num(levels * scale).round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@torch.inference_mode()
def score(front, angle):
    """The cosine of two image files, and the threshold from which on they are the same thing."""
    encoder, config = load()
    size = config["preprocessing"]["image_size_px"]
    one, other = encoder(torch.from_numpy(np.stack([read(path, size) for path in (front, angle)])))
    return float(one @ other), config["threshold"]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python score.py FRONT ANGLE")
    try:
        cosine, threshold = score(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"error: {error}; valid are two image files that can be read")
    print(f"cosine {cosine:.6f}  {'same' if cosine >= threshold else 'different'} (threshold {threshold:.6f})")
