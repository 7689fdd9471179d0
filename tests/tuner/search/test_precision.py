"""What trials compute in, where the user leaves it to the run."""

from __future__ import annotations

import pytest

from tuner.cli.run_options import HardwareOptions
from tuner.cluster.connection import TrialResources
from tuner.search import experiment

CPU, GPU = TrialResources(1, 0.0, 2, "cpu"), TrialResources(1, 0.5, 2, "cuda")


@pytest.mark.parametrize(
    ("asked", "resources", "cuts", "expected"),
    [
        ("auto", CPU, [None], "fp32"),
        ("auto", GPU, [0], "fp32"),
        ("auto", GPU, [0, 1], "what the GPU has"),
        ("auto", GPU, [None], "what the GPU has"),
        ("bf16", GPU, [0], "bf16"),
        ("bf16", CPU, [None], "bf16"),
    ],
)
def test_halves_are_for_blocks_on_a_gpu(asked, resources, cuts, expected, monkeypatch):
    """Where only heads train they gain nothing, and folds would not train as one batch; what is asked for holds."""

    class OnAGpu:
        def options(self, **_):
            return self

        def remote(self):
            return "what the GPU has"

    monkeypatch.setattr(experiment, "gpu_precision", OnAGpu())
    monkeypatch.setattr(experiment.ray, "get", lambda found: found)
    assert experiment.precision(HardwareOptions(precision=asked), resources, cuts) == expected
