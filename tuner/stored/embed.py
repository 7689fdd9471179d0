"""Embed images, and find the nearest of them.   python embed.py FOLDER --to embeddings.parquet
python embed.py IMAGE --near embeddings.parquet

Plain timm, torch, Pillow and pandas. score.py, model.safetensors and config.json lie beside this file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tuner.stored.score import Model, model

KINDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def embed_folder(used: Model, folder: Path, to: Path, batch: int = 64) -> int:
    """Write a row an image below the folder: `path`, relative to it, and `embedding`; returns how many."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in KINDS)
    if not files:
        raise SystemExit(f"error: there is no image below {folder}; valid is a folder with {', '.join(KINDS)} files.")
    embeddings = used.embed(files, batch, progress=True)
    paths = [file.relative_to(folder).as_posix() for file in files]
    pd.DataFrame({"path": paths, "embedding": list(embeddings)}).to_parquet(to, index=False)
    return len(files)


def nearest(used: Model, image: str | Path, gallery: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """The rows of an embedded gallery that are nearest to an image, with their `score`, the best first."""
    scores = np.stack(list(gallery["embedding"])) @ used.embed([image])[0]
    found = gallery.drop(columns="embedding").assign(score=scores, same=scores >= used.threshold)
    return found.sort_values("score", ascending=False, kind="stable").head(count).reset_index(drop=True)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="embed.py", description="Embed a folder of images, or find an image's nearest."
    )
    parser.add_argument("source", type=Path, help="a folder of images with --to, an image with --near")
    parser.add_argument("--to", type=Path, help="where the embeddings go: a .parquet file")
    parser.add_argument("--near", type=Path, help="a .parquet file that --to wrote: the gallery")
    parser.add_argument("--count", type=int, default=10, help="how many of the nearest to print")
    parser.add_argument("--batch", type=int, default=64, help="images at a time")
    parser.add_argument("--onnx", action="store_true", help="run model.onnx in onnxruntime")
    given = parser.parse_args(arguments)
    if (given.to is None) == (given.near is None) or min(given.count, given.batch) < 1:
        parser.error("valid is one of --to FILE and --near FILE; and a --count and a --batch from 1")
    if (given.to or given.near).suffix != ".parquet":
        parser.error(f"{given.to or given.near} is no .parquet file; valid is one: embeddings are lists of numbers")
    try:
        used = model(given.onnx)
        if given.to is not None:
            print(f"{embed_folder(used, given.source, given.to, given.batch):,} images embedded: {given.to}")
        else:
            print(nearest(used, given.source, pd.read_parquet(given.near), given.count).to_string(index=False))
    except OSError as error:
        sys.exit(f"error: {error}; valid are files that can be read")


if __name__ == "__main__":
    main()
