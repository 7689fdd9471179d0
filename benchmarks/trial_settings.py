"""On what benchmarks.diagnosis trains: the embedded set, and real sets with trained backbones where they are at hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainable.errors import InputError
from trainable.model.backbones import BackboneSpec

IMAGE_SIZE_PX = 64
EMBEDDED = ("test_byobnet", "test_efficientnet")
"""The backbones of the embedded set, from random weights."""
REAL = ("vehicle_reid", "coil100")
"""The sets below shared/data, each with both of TRAINED."""
TRAINED = {
    "mobilenetv2_035": "mobilenetv2_035_keras.safetensors",
    "mobilenetv2_100": "mobilenetv2_100_coral_ptq.safetensors",
}
"""Backbone -> its weights below shared/weights."""
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Setting:
    """A pair table and a backbone, and the default configuration of their trials."""

    data: str
    source: Path
    """The pair table."""
    backbone: BackboneSpec
    config: tuple[tuple[str, Any], ...] = field(default=())
    """Of the TrialConfig, where a healthy trial has another default here: weights that are trained want smaller steps."""

    @property
    def name(self) -> str:
        """The set and the backbone, in words."""
        return f"{self.data}, {self.backbone.name}"


def embedded(source: Path, backbone: str = EMBEDDED[0]) -> Setting:
    """The embedded set, or one like it."""
    return Setting("embedded", source, BackboneSpec(backbone, image_size_px=IMAGE_SIZE_PX))


def real(shared: Path) -> list[Setting]:
    """Every real set with every trained backbone; InputError, naming what is missing, unless all is below `shared`."""
    found = []
    for data in REAL:
        for backbone, weights in TRAINED.items():
            source, file = shared / "data" / data / "pairs.csv", shared / "weights" / weights
            _check_there(source, file)
            spec = BackboneSpec(backbone, str(file), IMAGE_SIZE_PX, _HALF, _HALF)
            found.append(Setting(data, source, spec, (("learning_rate", 1e-3),)))
    return found


def with_faults(settings: Iterable[Setting]) -> list[Setting]:
    """Those of the settings that faults are done to: each set once, with another backbone each."""
    places = {data: at for at, data in enumerate(REAL)}
    return [s for s in settings if list(TRAINED).index(s.backbone.name) == places[s.data]]


def _check_there(*files: Path) -> None:
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"there is no {' and no '.join(missing)}; valid for --shared is a folder with data/vehicle_reid, data/coil100 "
            "and weights. Correct it, or leave real sets out: --sets embedded."
        )
