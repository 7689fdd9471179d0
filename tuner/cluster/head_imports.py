"""What a worker of our own Ray imports before there is work for it where only heads train, by the name of this module."""

from __future__ import annotations

from tuner.cli.process import quick_imports

with quick_imports():
    import trainable.trial  # noqa: F401 - and with it torch and Ray Tune
