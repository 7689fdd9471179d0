"""What a worker of our own Ray imports before there is work for it, by the name of this module."""

from __future__ import annotations

from tuner.cli.process import quick_imports

with quick_imports():
    import trainable.model.backbones
    import trainable.trial  # noqa: F401 - and with it torch and Ray Tune; with the backbones, timm
