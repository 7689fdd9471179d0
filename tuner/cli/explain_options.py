"""The command line that explains a log, as a dataclass: its docstrings are the help. Light on purpose, as `run_options` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from trainable.errors import InputError
from tuner.cli.values import NONE_TOLD, check_range


@dataclass(frozen=True)
class ExplainOptions:
    """Explain a training that this system did not make, from its log.

    Reads losses and metrics by step or epoch from a file in any of the usual formats, recognises its columns by their
    names, as far as their numbers agree (and says as what), and prints every symptom with its evidence, how sure it is,
    likely cause and remedy. Exit code 0: nothing fatal, 1: something fatal, 2: a mistake in the input.
    """

    log: Annotated[str, Positional, arg(metavar="FILE")]
    """The log: CSV, TSV, Parquet, JSON or JSONL (Hugging Face's trainer_state.json, Keras' history), TensorBoard's event
    files, a folder of MLflow's metrics, an export of Weights & Biases, or what a script printed; compressed or not."""
    column: UseAppendAction[tuple[str, ...]] = ()
    """Which column is what, as contrastive_loss=loss/con; once for each. What is not given is guessed by its name."""
    temperature: Annotated[float | None, NONE_TOLD] = None
    """Temperature of the contrastive loss, if known; none: the log's own column, if it has one."""
    base_temperature: Annotated[float | None, NONE_TOLD] = None
    """Base temperature of SupContrast's loss, if known; none: 0.07 and 0.1 are tried."""
    batch_size: Annotated[int | None, NONE_TOLD] = None
    """Pairs in a batch, if known; none: the log's own column, if it has one."""
    json: bool = False
    """Print the findings as JSON."""

    def check(self) -> None:
        """Raise InputError for a value that no training can have."""
        check_range("--batch-size", self.batch_size, 2)
        for name, value in (("--temperature", self.temperature), ("--base-temperature", self.base_temperature)):
            if value is not None and value <= 0:
                raise InputError(f"{name} is {value}; valid is a number above 0. Give such a number, or leave it out.")
