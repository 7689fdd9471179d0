"""Are these two images the same thing?   python score.py FRONT ANGLE, or: python score.py pairs.csv --to scores.parquet

Plain timm, torch and Pillow; pandas for tables, onnxruntime with --onnx. model.safetensors and config.json lie beside it.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from functools import cache
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


class Model:
    """The model of a folder, loaded once: image files to embeddings, pairs to cosines and probabilities.

    onnx: run model.onnx in onnxruntime, in place of model.safetensors in torch.
    """

    def __init__(self, folder: str | Path = HERE, onnx: bool = False) -> None:
        self.session: Any = None
        if onnx:
            from onnxruntime import InferenceSession

            self.config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
            self.session = InferenceSession(str(Path(folder) / "model.onnx"), providers=["CPUExecutionProvider"])
        else:
            self.encoder, self.config = load(folder)
        self.threshold: float = self.config["threshold"]
        """The cosine from which on two images show the same thing."""

    @torch.inference_mode()
    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """(B, E) float32 embeddings of (B, S, S, 3) uint8 pixels, as `read` gives them."""
        if self.session is not None:
            embeddings: np.ndarray = self.session.run(None, {"pixels": pixels})[0]
            return embeddings
        embedded: Tensor = self.encoder(torch.from_numpy(pixels))
        return embedded.numpy()

    def embed(self, paths: Iterable[str | Path], batch: int = 64, progress: bool = False) -> np.ndarray:
        """(n, E) float32 embeddings of image files, so many at a time."""
        paths, found = list(paths), []
        for start in range(0, len(paths), batch):
            pixels = np.stack([read(path, self.config["preprocessing"]) for path in paths[start : start + batch]])
            found.append(self.of_pixels(pixels))
            if progress:
                done = min(start + batch, len(paths))
                print(
                    f"\r{done:,} of {len(paths):,} images", end="\n" * (done == len(paths)), file=sys.stderr, flush=True
                )
        return np.concatenate(found) if found else np.empty((0, self.config["head"]["embedding_size"]), np.float32)

    def probability(self, cosines: np.ndarray) -> np.ndarray:
        """(n,) probabilities that pairs of these cosines show the same thing, where both are as frequent as in validation."""
        curve = self.config["probability"]
        found: np.ndarray = 1 / (1 + np.exp(-(curve["slope"] * np.asarray(cosines, np.float64) + curve["intercept"])))
        return found

    def score_pairs(
        self, fronts: Sequence[str | Path], angles: Sequence[str | Path], batch: int = 64, progress: bool = False
    ) -> np.ndarray:
        """(n,) float32 cosines of n pairs of image files; an image that is in many pairs is embedded once."""
        place = {path: row for row, path in enumerate(dict.fromkeys([*fronts, *angles]))}
        embeddings = self.embed(place, batch, progress)
        front, angle = (embeddings[[place[path] for path in paths]] for paths in (fronts, angles))
        cosines: np.ndarray = (front * angle).sum(axis=1)
        return cosines


@cache
def model(onnx: bool = False) -> Model:
    """The model beside this file; the second call costs nothing."""
    return Model(HERE, onnx)


def score(front: str | Path, angle: str | Path) -> tuple[float, float]:
    """The cosine of two image files, and the threshold from which on they are the same thing."""
    return float(model().score_pairs([front], [angle])[0]), model().threshold


def score_table(used: Model, table: Path, to: Path, batch: int = 64) -> int:
    """Write the table's rows with `score`, `probability` and `same`; returns how many. Paths are relative to the table.

    table: .csv or .parquet with columns front and angle. SystemExit, saying what is valid, for another one.
    """
    import pandas as pd

    kinds: dict[str, tuple[Any, str]] = {".csv": (pd.read_csv, "to_csv"), ".parquet": (pd.read_parquet, "to_parquet")}
    for file in (table, to):
        if file.suffix not in kinds:
            raise SystemExit(
                f"error: {file} is neither .csv nor .parquet; valid is one of these. Rename or convert it."
            )
    rows: Any = kinds[table.suffix][0](table)
    missing = [name for name in ("front", "angle") if name not in rows]
    if missing:
        raise SystemExit(
            f"error: {table} has the columns {', '.join(map(str, rows))}; valid is a table with front and angle, paths of "
            f"images. Add {' and '.join(missing)}."
        )
    fronts, angles = ([table.parent / str(path) for path in rows[name]] for name in ("front", "angle"))
    rows["score"] = used.score_pairs(fronts, angles, batch, progress=True)
    rows["probability"] = used.probability(rows["score"].to_numpy())
    rows["same"] = rows["score"] >= used.threshold
    getattr(rows, kinds[to.suffix][1])(to, index=False)
    return len(rows)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="score.py", description="Are two images the same thing?")
    parser.add_argument("front", help="an image; or a .csv or .parquet table with columns front and angle")
    parser.add_argument("angle", nargs="?", help="the other image")
    parser.add_argument("--to", type=Path, help="where the table's scores go: .csv or .parquet")
    parser.add_argument("--batch", type=int, default=64, help="images at a time")
    parser.add_argument("--onnx", action="store_true", help="run model.onnx in onnxruntime")
    given = parser.parse_args(arguments)
    if (given.angle is None) == (given.to is None) or given.batch < 1:
        parser.error("valid are two images, or a table with --to FILE; and a --batch from 1")
    try:
        used = model(given.onnx)
        if given.to is not None:
            count = score_table(used, Path(given.front), given.to, given.batch)
            print(f"{count:,} pairs scored: {given.to}")
            return
        cosine = float(used.score_pairs([given.front], [given.angle])[0])
    except OSError as error:
        sys.exit(f"error: {error}; valid are image files that can be read")
    verdict = "same" if cosine >= used.threshold else "different"
    probability = float(used.probability(np.array([cosine]))[0])
    print(f"cosine {cosine:.6f}  {verdict} (threshold {used.threshold:.6f})  probability {probability:.3f}")


if __name__ == "__main__":
    main()
