"""A stored trial's model written as a folder, checked by the scores that it gives, and put in place whole."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape
from safetensors.torch import save_file

from trainable.config import Purpose, TrialConfig
from trainable.data.decoder import how
from trainable.data.pairs import PairData
from trainable.errors import InputError
from trainable.metrics import calibration, thresholds
from trainable.model.backbone import Backbone
from trainable.model.backbones import model_arguments
from trainable.model.encoder import PairEncoder
from trainable.training.loop import new_encoder
from tuner.analysis import winner as winner_numbers
from tuner.analysis.expectation import expectation
from tuner.cli.console import make_console
from tuner.cli.stored_options import ExportOptions
from tuner.inputs.dataset import levels_of
from tuner.results import provenance
from tuner.stored import embed as exported_embed
from tuner.stored import export_folder, hub, onnx_model
from tuner.stored import score as exported_score
from tuner.stored import trial as stored_trial
from tuner.stored.trial import StoredTrial

EXACT = 1e-5
"""Largest difference between the search's scores and the exported model's, where both computed in fp32 on a CPU."""
ROUNDED = 0.05
"""The same where the search computed in half precision, from halved features, or on a GPU."""
_BATCH = 256


def export(options: ExportOptions) -> int:
    """Write the folder; returns the exit code. Raises InputError before anything is written."""
    console = make_console()
    target = export_folder.target(options.to, options.force)
    if options.onnx:
        onnx_model.check_installed()
    if options.push_to_hub is not None:
        hub.check_name(options.push_to_hub)
    trial = stored_trial.find(options.source, options.run, options.trial)
    scores = trial.scores()
    if not len(scores):
        why = trial.row["error"] or "no epoch was ranked"
        raise InputError(
            f"{trial.title} is {trial.row['state']} and has no best epoch to export: {why}. Name another one."
        )
    purpose = Purpose.of(options.threshold_for or trial.run["threshold_for"] or "accuracy")
    purpose.check(int((scores.pair_label == 0).sum()))
    _say(
        console, "exporting", f"{trial.title}, {trial.row['state']}, as it was after epoch {trial.row['ranked_epoch']}"
    )
    backbone = stored_trial.create(trial)
    kept = stored_trial.kept_weights(trial)
    if kept is None and options.unchecked:
        raise InputError(
            f"--unchecked: the weights of {trial.title} were not kept and must be trained again, which needs the run's data. "
            "Leave --unchecked out."
        )
    if kept is None:
        stored_trial.check_device(trial)
    data = None if options.unchecked else stored_trial.read_data(trial, options.source, console, plain=kept is not None)
    encoder = _encoder(trial, backbone, kept, data, console)
    config = _config(trial, backbone, _threshold(trial, scores, purpose, data))
    config["probability"] = _probability(scores, data)
    if data is not None and data.folds is not None:  # the model is no fold's: trained on all, it is its own measure
        scores = scores.assign(score=_scores_under(encoder.eval(), data, scores.pair.to_numpy()))
    with tempfile.TemporaryDirectory(prefix="export-") as place:
        folder = Path(place)
        _write_model(folder, encoder, config)
        if data is not None:
            difference = _difference(folder, data, scores, console)
            if not difference <= tolerance(trial):
                _complain(console, trial, backbone, difference, kept is not None)
                return 1
            config["check"] = {"validation_pairs": len(scores), "largest_score_difference": difference}
            _write_config(folder, config)
        if options.onnx:
            with console.status("writing ONNX"):
                onnx_model.write(exported_score.load(folder)[0], config["preprocessing"]["image_size_px"], folder)
        (folder / "README.md").write_text(export_folder.readme(config, options.onnx), encoding="utf-8")
        names = sorted(file.name for file in folder.iterdir())
        export_folder.put(folder, target)
    _say(console, "written", f"{target}: {', '.join(names)}")
    _say(console, "try", f"python {shlex.quote(str(target / 'score.py'))} FRONT ANGLE")
    if options.push_to_hub is not None:
        with console.status("sending the folder to the Hub"):
            address = hub.push(target, names, options.push_to_hub)
        _say(console, "sent", address)
    return 0


def _encoder(
    trial: StoredTrial,
    backbone: Backbone,
    kept: dict[str, torch.Tensor] | None,
    data: PairData | None,
    console: Console,
) -> PairEncoder:
    if kept is not None:
        _say(console, "weights", "kept by the run")
        encoder = new_encoder(backbone, trial.config)
        encoder.load_trainable_state(kept)
        return encoder
    how_far = f"{trial.row['ranked_epoch']} of {trial.row['max_epochs']} epochs"
    _say(console, "weights", f"not kept by the run; training again, {how_far}")
    if data is None:
        raise ValueError("a model is trained again on the run's data")
    return stored_trial.retrained(trial, backbone, data).encoder.to("cpu")


def tolerance(trial: StoredTrial) -> float:
    """Largest difference of scores that is no sign of another model."""
    computed_alike = trial.settings.precision == "fp32" and trial.run["device"] == "cpu" and not trial.fp16_features
    return EXACT if computed_alike else ROUNDED


@torch.inference_mode()
def validation_scores(folder: Path, data: PairData, pairs: np.ndarray) -> np.ndarray:
    """(n,) cosines of these pairs of the table under the exported model, read back from its folder."""
    return _scores_under(exported_score.load(folder)[0], data, pairs)


@torch.inference_mode()
def _scores_under(encoder: torch.nn.Module, data: PairData, pairs: np.ndarray) -> np.ndarray:
    images, place = np.unique(np.concatenate([data.front[pairs], data.angle[pairs]]), return_inverse=True)
    chunks = (data.pixels[images[start : start + _BATCH]] for start in range(0, len(images), _BATCH))
    embeddings = torch.cat([encoder(torch.tensor(chunk)) for chunk in chunks])
    front, angle = torch.from_numpy(place).chunk(2)
    return (embeddings[front] * embeddings[angle]).sum(dim=1).numpy()


def _threshold(trial: StoredTrial, scores: pd.DataFrame, purpose: Purpose, data: PairData | None) -> dict[str, Any]:
    """What config.json says of the threshold to use the model at: as the verdict on test pairs chooses it."""
    own, searched = trial.row["threshold"], trial.row["threshold_source"] == "searched"
    fixed = trial.row["threshold_source"] == "fixed"
    values, labels, rows = scores.score.to_numpy(), scores.pair_label.to_numpy(), scores.pair.to_numpy()
    used = winner_numbers.threshold_for(own, fixed, values, labels, purpose)
    identities = None if data is None else (data.front_identity[rows], data.angle_identity[rows])
    solved = thresholds.solve_for(purpose, values, labels, identities)
    is_solved = used == solved.value
    return {
        "threshold": used,
        "threshold_source": "searched" if searched and purpose.kind == "accuracy" else "solved on validation pairs",
        "threshold_for": str(purpose),
        "threshold_interval": [solved.low, solved.high] if is_solved else None,
        "rates": winner_numbers.rates(used, values, labels),
    }


def _probability(scores: pd.DataFrame, data: PairData | None) -> dict[str, Any]:
    """The curve from cosine to probability; and its error, cross-fitted, where identities are known."""
    values, labels, rows = scores.score.to_numpy(), scores.pair_label.to_numpy(), scores.pair.to_numpy()
    curve = calibration.fit(values, labels)
    found = {"slope": curve.slope, "intercept": curve.intercept, "positive_share": float((labels == 1).mean())}
    if data is None:
        return found | {"calibration_error": None, "brier_score": None}
    fitted = calibration.cross_fitted(values, labels, data.front_identity[rows], data.angle_identity[rows])
    known = np.isfinite(fitted)
    if not known.any():
        return found | {"calibration_error": None, "brier_score": None}
    trust = calibration.reliability(fitted[known], labels[known])
    return found | {"calibration_error": trust.error, "brier_score": trust.brier}


def _difference(folder: Path, data: PairData, scores: pd.DataFrame, console: Console) -> float:
    """The largest between the search's scores and those of the exported model."""
    with console.status("scoring the validation pairs"):
        found = validation_scores(folder, data, scores.pair.to_numpy())
    difference = float(np.abs(found - scores.score.to_numpy()).max())
    text = f"{len(scores):,} validation pairs: scores differ from the search's by {difference:.1e} at most"
    _say(console, "checked", text)
    return difference


def _write_model(folder: Path, encoder: PairEncoder, config: dict[str, Any]) -> None:
    # Clones: the file format takes no two tensors that share memory, nor any in channels-last order.
    tensors = {
        name.replace("backbone.net.", "backbone.", 1): tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for script in (exported_score, exported_embed):
        source = Path(str(script.__file__))
        # Beside each other in the folder, they import nothing of this project.
        text = source.read_text(encoding="utf-8").replace(f"from {exported_score.__name__} import", "from score import")
        (folder / source.name).write_text(text, encoding="utf-8")
    _write_config(folder, config)


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _config(trial: StoredTrial, backbone: Backbone, threshold: dict[str, Any]) -> dict[str, Any]:
    """What config.json says."""
    run, row, config = trial.run, trial.row, trial.config
    fit = run["fit"] or "squash"
    metrics = [f"{name}{end}" for name in ("val_accuracy", "val_auc") for end in ("", "_low", "_high")] + ["val_eer"]
    return {
        "format": export_folder.FORMAT,
        "backbone": trial.spec.name,
        "backbone_arguments": model_arguments(trial.spec),
        "head": {
            "feature_size": backbone.feature_size,
            "hidden_size": config.hidden_size,
            "embedding_size": config.embedding_size,
        },
        "preprocessing": {
            "image_size_px": trial.spec.image_size_px,
            "mean": list(backbone.mean),
            "std": list(backbone.std),
            "how": f"{how(fit)}; then value / 255, less mean, over std, channel by channel",
            "exif_orientation": "applied",
            "transparency": "white",
            "fit": fit,
            "levels": levels_of(run),
            "interpolation": "bicubic with antialiasing (Pillow's resize)",
            "jpeg_draft": "a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves twice image_size_px or more",
        },
        **threshold,
        "trained_as": {name: getattr(config, name) for name in TrialConfig.names()},
        "validation": {name: row[name] for name in metrics},
        "test": _test(trial),
        "expected": expectation(run, row),
        "from": {
            "run": trial.name,
            "trial": trial.number,
            "epoch": row["ranked_epoch"],
            "replay_of": row["replay_of"],
            "data": Path(run["data"]).name,  # no path of this machine: the folder may be handed on
            "data_fingerprint": run["data_fingerprint"],
            "weights_before": Path(run["weights"]).name,
            "git_commit": run["git_commit"],
            "versions": run["versions"],
        },
        "written_with": provenance.versions(),
    }


def _test(trial: StoredTrial) -> dict[str, float] | None:
    """What the run found on test pairs, which only its winner met."""
    if trial.number != trial.run["winner_trial"]:
        return None
    names = {"accuracy": "", "accuracy_low": "_low", "accuracy_high": "_high"}
    found = {name: trial.run[f"test_accuracy_winner{end}"] for name, end in names.items()}
    return found | {"auc": trial.run["test_auc_winner"]}


def _complain(console: Console, trial: StoredTrial, backbone: Backbone, difference: float, kept: bool) -> None:
    """Why nothing is written: the model is not the one that the search scored."""
    console.print(
        f"\n[red]Nothing was written: this is not the model that the search scored.[/red] Its scores of the validation pairs "
        f"differ by up to {difference:.2g}, and {tolerance(trial):g} is what rounding explains.",
        soft_wrap=True,
    )
    found = stored_trial.circumstances(trial, backbone)
    if found:
        console.print("What is not as it was when the trial was trained:")
    for line in found:
        console.print(f"  {escape(line)}", soft_wrap=True)
    if not kept:
        console.print(f"python -m tuner.replay {trial.name} {trial.number} shows from which epoch on.", soft_wrap=True)


def _say(console: Console, name: str, text: str) -> None:
    console.print(f"[bold]{name:10}[/bold] {escape(text)}", soft_wrap=True)
