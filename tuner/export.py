"""python -m tuner.export: a trained model as a folder that needs nothing of this project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from trainable.config import InputError
from tuner.command_line import parse
from tuner.options import TrialSource


@dataclass(frozen=True)
class ExportOptions:
    """Write the trained model of a trial, backbone and head, to a folder that needs nothing of this project.

    In it: model.safetensors, config.json (model, preprocessing, threshold, where it comes from), README.md, and score.py,
    which loads the model with timm and torch and scores two image files. Weights that a run did not keep are trained
    again. Before anything is put in place the folder's model scores the validation pairs: it must give the search's scores.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """The run's name."""
    to: str
    """Folder to write, on this machine."""
    trial: Annotated[int | None, Positional, arg(metavar="[TRIAL]")] = None
    """The trial's number in its run; none: the run's winner."""
    onnx: bool = False
    """Also write model.onnx, for any number of images at a time; needs the packages onnx and onnxscript."""
    force: bool = False
    """Write into a folder that has files already: those of an earlier export are replaced, others stay."""
    unchecked: bool = False
    """Do not read the run's data, and so do not score its validation pairs; for weights that were kept only."""
    source: TrialSource = field(default_factory=TrialSource)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 not the search's scores, 2 a mistake in the input."""
    try:
        options = parse(ExportOptions, arguments, prog="python -m tuner.export")
        options.source.check()
        from tuner.exporting import export  # here, so that --help and a mistyped option answer at once

        return export(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
