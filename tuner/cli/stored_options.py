"""The options of the verbs that look at one trial: which one, and where its results and what it was trained on are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from tuner.cli.run_options import DEVICES
from tuner.cli.values import NONE_TOLD, check_choice


@dataclass(frozen=True)
class TrialSource:
    """Where the trial's results are, and what it was trained on is now."""

    results: str = "results"
    """Folder or URI of the result tables."""
    data: Annotated[str | None, NONE_TOLD] = None
    """Where the run's pairs are now; none: where the run found them."""
    weights: Annotated[str | None, NONE_TOLD] = None
    """Where the backbone's weights file is now; none: what the run was told."""
    cache: Annotated[str | None, NONE_TOLD] = None
    """Folder for rendered images; none: the user's cache folder."""
    device: Annotated[str | None, NONE_TOLD] = None
    """cpu or cuda; none: what the trial trained on."""

    def check(self) -> None:
        """Raise InputError for a device that there is not."""
        if self.device is not None:
            check_choice("--device", self.device, DEVICES[1:])


@dataclass(frozen=True)
class ExportOptions:
    """Write the trained model of a trial, backbone and head, to a folder that needs nothing of this project.

    In it: model.safetensors, config.json (model, preprocessing, threshold, where it comes from), README.md, and score.py,
    which loads the model with timm and torch and scores two image files. Weights that a run did not keep are trained
    again. Before anything is put in place the folder's model scores the validation pairs: it must give the search's scores.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """The run: its name or the start of it, a space (its latest run), or latest."""
    to: str
    """Folder to write, on this machine."""
    trial: Annotated[int | None, Positional, arg(metavar="[TRIAL]")] = None
    """The trial's number in its run; none: the run's winner."""
    threshold_for: Annotated[str | None, NONE_TOLD] = None
    """What the threshold is solved for, on validation pairs: accuracy, eer, far=RATE, or cost=FN:FP; none: as in the run."""
    onnx: bool = False
    """Also write model.onnx, for any number of images at a time; needs the packages onnx and onnxscript."""
    push_to_hub: str | None = None
    """Also send the folder to the Hugging Face Hub, to this repository: OWNER/NAME. One that is not there is made, private."""
    force: bool = False
    """Write into a folder that has files already: those of an earlier export are replaced, others stay."""
    unchecked: bool = False
    """Do not read the run's data, and so do not score its validation pairs; for weights that were kept only."""
    source: TrialSource = field(default_factory=TrialSource)


@dataclass(frozen=True)
class ReproduceOptions:
    """Reproduce a trial of a run: train it again, from its row alone and without Ray, and compare every number with the tables.

    On the CPU in fp32, with the same versions, the numbers are the same to the bit. The exit code is 0 if all are equal,
    1 if one differs, 2 for a mistake in what was given. Nothing is written.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """The run: its name or the start of it, a space (its latest run), or latest."""
    trial: Annotated[int, Positional, arg(metavar="TRIAL")]
    """The trial's number in its run."""
    source: TrialSource = field(default_factory=TrialSource)
