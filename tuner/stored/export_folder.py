"""The folder that an export writes: which one may be, what its README says, and how it is put in place."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from trainable.errors import InputError
from tuner.analysis.winner import best_rates
from tuner.stored import onnx_model

FORMAT = "two-view matching model 1"
"""What config.json says of itself; the number rises when an older score.py could not load a newer folder."""
FILES = (
    "model.safetensors",
    "config.json",
    "score.py",
    "embed.py",
    "README.md",
    onnx_model.FILE,
    f"{onnx_model.FILE}.data",
)


def target(given: str, force: bool) -> Path:
    """The folder to write; InputError for one that is not local or is a file, and for one with files in it, except that
    an earlier export may be replaced with `force`."""
    if "://" in given:
        raise InputError(
            f"--to is {given!r}; valid is a folder on this machine. Copy it to where it should go afterwards."
        )
    folder = Path(given).expanduser().resolve()
    _check_writable(folder)
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if there and not force:
        some = ", ".join(there[:5]) + (", …" if len(there) > 5 else "")
        raise InputError(
            f"--to {folder} is not empty ({some}); valid is a folder that is, or is not there yet. Give another one, or "
            "--force: it replaces an earlier export's files and leaves all others."
        )
    own = [name for name in there if name in FILES]
    if own and not _is_export(folder):
        raise InputError(
            f"--to {folder} has files that an export would replace and that are not an export's: {', '.join(own)}; valid is "
            "an earlier export, or a folder without such files. Give another one."
        )
    return folder


def _check_writable(folder: Path) -> None:
    """Known before anything is trained."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "may not be written" if nearest.is_dir() else "is a file"
        raise InputError(
            f"--to {folder}: {nearest} {why}; valid is a place where you may make a folder. Give another one."
        )


def _is_export(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "config.json").read_text(encoding="utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def put(made: Path, folder: Path) -> None:
    """Move the finished files of `made` into the folder, each whole; those that an earlier export had beyond them go."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as near:  # on the same disk: a move is a rename
        names = sorted(file.name for file in made.iterdir())
        for name in names:
            shutil.copyfile(made / name, Path(near) / name)
        for name in names:
            (Path(near) / name).replace(folder / name)
    for name in set(FILES) - set(names):
        (folder / name).unlink(missing_ok=True)


def readme(config: dict[str, Any], onnx: bool) -> str:
    """What a person who is handed the folder needs to know."""
    source, pre, head = config["from"], config["preprocessing"], config["head"]
    libraries = " and ".join(f"{name} {config['written_with'][name]}" for name in ("torch", "timm"))
    rows = [
        "| `model.safetensors` | all weights: `backbone.*` of timm's model, `head.*` |",
        "| `config.json` | how to build the model and prepare images, the threshold, and where it comes from |",
        "| `score.py` | scores two image files, or a table of pairs; `Model` and `read()` are for your own code |",
        "| `embed.py` | embeds a folder of images, and finds the nearest to an image among them |",
    ]
    if onnx:
        rows += [f"| `{onnx_model.FILE}` | the same model: `pixels` (B, S, S, 3) uint8 RGB to `embedding` (B, E) |"]
    return f"""---
{_card(config)}---

# Do two images show the same thing?

A {config["backbone"]} and a projection head: an image becomes {head["embedding_size"]} numbers of length 1, and two
images show the same thing if the cosine of theirs is {config["threshold"]:.4f} or more, a threshold
{config["threshold_source"]}.

    pip install torch timm pillow safetensors pandas pyarrow
    python score.py front.jpg angle.jpg
    python score.py pairs.csv --to scores.parquet        # columns front and angle: paths, relative to the table
    python embed.py FOLDER --to embeddings.parquet
    python embed.py image.jpg --near embeddings.parquet  # the nearest of them
{_ONNX_LINE if onnx else ""}
Written with {libraries}.

| file | what |
|---|---|
{chr(10).join(rows)}

The same by hand, for images whose pixels are plain RGB:

```python
{in_a_dozen_lines(config)}
```

Images are turned upright by their EXIF data, put on white where transparent, and {_FITTED[pre["fit"]]} of
{pre["image_size_px"]} px, bicubic with antialiasing; `read()` in `score.py` is exact about it. Scores are computed in fp32.
{_levels(pre["levels"])}
**Prepare images this way and no other.** timm's own evaluation transform (`timm.data.create_transform`) resizes the shorter
side and cuts the centre out, often at another size and mean: the model sees other pictures than in training, and scores
them worse.

From trial {source["trial"]} of the run {source["run"]}, after epoch {source["epoch"]}.

{chr(10).join(f"- {line}" for line in _evidence(config))}
"""


_ONNX_LINE = (
    "    python score.py front.jpg angle.jpg --onnx           # without torch's weights: pip install onnxruntime\n"
)


def _card(config: dict[str, Any]) -> str:
    """The metadata that the Hugging Face Hub reads at the top of a README, in YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    source, name = config["from"], f"{config['from']['run']} trial {config['from']['trial']}"
    measured = [("validation", "accuracy", "Accuracy", config["validation"]["val_accuracy"])]
    measured += [("validation", "roc_auc", "ROC AUC", config["validation"]["val_auc"])]
    if config["test"] is not None:
        measured += [("test", "accuracy", "Accuracy", config["test"]["accuracy"])]
        measured += [("test", "roc_auc", "ROC AUC", config["test"]["auc"])]
    results = [
        EvalResult(
            task_type="image-feature-extraction",
            task_name="do two images show the same thing",
            dataset_type=source["data"],
            dataset_name=source["data"],
            dataset_split=split,
            metric_type=kind,
            metric_name=title,
            metric_value=value,
        )
        for split, kind, title, value in measured
        if value is not None
    ]
    card = ModelCardData(
        library_name="timm",
        pipeline_tag="image-feature-extraction",
        tags=["image-matching", "verification", "re-identification", "contrastive-learning"],
        metrics=["accuracy", "roc_auc"],
        model_name=name,
        eval_results=results or None,
    )
    text: str = card.to_yaml()
    return text.rstrip() + "\n"


_FITTED = {
    "squash": "squashed, whatever their sides, to a square",
    "crop": "cropped to the largest square about their centre, resized to one",
    "pad": "padded with grey (128) to a square, resized to one",
}
_BY_HAND = {
    "squash": ".resize(({side}, {side}), Image.Resampling.BICUBIC)",
    "crop": "; image = ImageOps.fit(image, ({side}, {side}), Image.Resampling.BICUBIC)",
    "pad": "; image = ImageOps.pad(image, ({side}, {side}), Image.Resampling.BICUBIC, color=(128, 128, 128))",
}


def _levels(levels: dict[str, list[float]]) -> str:
    """What is black and white in images with more than 8 bits; empty where training had none."""
    names = {"whole": "whole numbers", "float": "floats"}
    said = [f"{low:g} is black and {high:g} is white in {names[kind]}" for kind, (low, high) in levels.items()]
    return f"Images with more than 8 bits: {', '.join(said)}, as in the images of the search.\n" if said else ""


def in_a_dozen_lines(config: dict[str, Any]) -> str:
    """Plain timm and torch that load the model and print the cosine of two image files."""
    pre, head, arguments = config["preprocessing"], config["head"], config["backbone_arguments"]
    features, hidden, size = head["feature_size"], head["hidden_size"], head["embedding_size"]
    layers = f"nn.Linear({features}, {size})"
    if hidden:
        first = f"nn.Linear({features}, {hidden}), nn.LayerNorm({hidden}), nn.GELU()"
        layers = f"nn.Sequential({first}, nn.Linear({hidden}, {size}))"
    given = "".join(f", {name}={value!r}" for name, value in arguments.items())
    side = pre["image_size_px"]
    return f"""import sys, numpy as np, timm, torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import nn
model = nn.ModuleDict({{"backbone": timm.create_model("{config["backbone"]}"{given}), "head": {layers}}}).eval()
model.load_state_dict(load_file("model.safetensors"))
mean, std = torch.tensor({pre["mean"]}), torch.tensor({pre["std"]})
def embed(path):
    image = Image.open(path)
    image.draft(None, ({2 * side}, {2 * side}))
    image = ImageOps.exif_transpose(image).convert("RGB"){_BY_HAND[pre["fit"]].format(side=side)}
    pixels = ((torch.tensor(np.asarray(image)) / 255 - mean) / std).permute(2, 0, 1)
    return nn.functional.normalize(model["head"](model["backbone"](pixels[None])))[0]
with torch.inference_mode():
    print(float(embed(sys.argv[1]) @ embed(sys.argv[2])))"""


def _evidence(config: dict[str, Any]) -> list[str]:
    """How good the model is, and whether it is the one that was searched."""
    rates, interval = config["rates"], config["threshold_interval"]
    sure = "" if interval is None else f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
    lines = [
        f"Threshold {config['threshold']:.4f} for {config['threshold_for']}{sure}: on validation pairs it accepts "
        f"{rates['true_accept_rate']:.3f} of the positive ones and {rates['false_accept_rate']:.3f} of the negative ones.",
        *([f"At the best threshold for each, on the same pairs: {others}."] if (others := best_rates(rates)) else []),
        f"Accuracy on validation pairs: {_with_interval(config['validation'], 'val_accuracy')}.",
        f"AUC on validation pairs: {_with_interval(config['validation'], 'val_auc')}.",
    ]
    lines += config.get("expected", [])
    if config["test"] is not None:
        lines.append(f"On test pairs that no trial saw: {_with_interval(config['test'], 'accuracy')}.")
    trust = config["probability"]
    off = trust["calibration_error"]
    lines.append(
        f"Probabilities are those of a logistic curve over the cosine, fitted where {100 * trust['positive_share']:.0f} % of "
        "the pairs were positive"
        + (
            f"; cross-fitted they are off by {off:.3f} on average (expected calibration error)."
            if off is not None
            else "."
        )
    )
    checked = config.get("check")
    if checked is None:
        return [*lines, "Not checked when it was written: the search's data were not read."]
    return [
        *lines,
        f"Checked when it was written: on {checked['validation_pairs']:,} validation pairs its scores differ from the "
        f"search's by {checked['largest_score_difference']:.1e} at most.",
    ]


def _with_interval(found: dict[str, float | None], name: str) -> str:
    value, low, high = found[name], found[f"{name}_low"], found[f"{name}_high"]
    interval = "" if low is None else f" (95 % interval {low:.3f} to {high:.3f})"
    return "unknown" if value is None else f"{value:.3f}{interval}"
