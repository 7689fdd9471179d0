"""A backbone without its net, and data without pixels: what heads that train on stored features start from."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.synthetic import pair_data
from trainable.config import Settings, TrialConfig
from trainable.data.pairs import PairData, with_folds
from trainable.model import features
from trainable.model.backbone import Backbone, block_count
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training import cost
from trainable.training.folds import training_of
from trainable.training.loop import Training, train
from trainable.training.start import Start

HEADS = TrialConfig(epochs=2, batch_size=16, trainable_blocks=0, layer_decay=0.9)
TIMED = {"epoch_s", "validation_s"}
IN_A_WORKER = """
import pickle, sys
import trainable.trial
from trainable.config import Settings, TrialConfig
from trainable.training.loop import Training
with open(sys.argv[1], "rb") as file:
    training = Training(*pickle.load(file))
print(training.epoch().epoch, *(name for name in ("timm", "torchvision", "torch._dynamo", "sklearn") if name in sys.modules))
"""


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return create_backbone(BackboneSpec("test_resnet", image_size_px=32))


@pytest.fixture(scope="module")
def data(backbone: Backbone) -> PairData:
    plain = pair_data(32)
    return replace(plain, features=features.extract(backbone, plain.pixels, [0]))


@pytest.mark.parametrize("folds", [1, 3])
def test_heads_train_without_the_net_as_with_it(backbone: Backbone, data: PairData, folds: int) -> None:
    """All numbers of all epochs, to the bit, folds as one batch too; its size is the whole model's."""
    data = with_folds(data, folds, seed=0) if folds > 1 else data
    found = []
    for start in (Start(backbone, data), Start(backbone, data).for_heads()):
        training = training_of(HEADS, start.backbone, start.data, Settings(keep_sick=True))
        reports = [training.epoch().numbers() for _ in range(HEADS.epochs)]
        found.append([{name: value for name, value in report.items() if name not in TIMED} for report in reports])
    assert found[0] == found[1]
    rest = start.backbone
    assert start.data.pixels.nbytes == 0 and start.data.images == data.images
    assert block_count(rest) == block_count(backbone)
    whole = sum(parameter.numel() for parameter in Training(HEADS, backbone, data).encoder.parameters())
    assert cost.parameters_of(Training(HEADS, rest, data)) == cost.parameters_of(Training(HEADS, backbone, data)) == whole


def test_a_worker_of_heads_imports_neither_timm_nor_the_compiler(backbone: Backbone, data: PairData, tmp_path: Path) -> None:
    """Nor torchvision, nor scikit-learn: they are half of what it would import, and a fifth of its memory."""
    (tmp_path / "trial").write_bytes(pickle.dumps((HEADS, backbone.without_net(), data, Settings(keep_sick=True))))
    code = [sys.executable, "-c", IN_A_WORKER, str(tmp_path / "trial")]
    assert subprocess.run(code, capture_output=True, text=True, check=True).stdout.split() == ["1"]


def test_a_start_from_pixels_keeps_them_and_the_net(backbone: Backbone, data: PairData) -> None:
    """And without a net no block is trained by mistake."""
    plain = Start(backbone, replace(data, features={}))
    assert plain.for_heads() is plain
    with pytest.raises(ValueError, match="from position 0 to 1"):
        list(train(replace(HEADS, trainable_blocks=1), backbone.without_net(), data))
