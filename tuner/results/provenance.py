"""What numbers depend on beside configuration, seed and data: versions of libraries, and of this code."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = ("torch", "timm", "ray", "optuna", "numpy", "pandas", "pyarrow", "scikit-learn")


def versions() -> dict[str, str]:
    """Of Python and of each library that numbers depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def code() -> tuple[str | None, bool | None]:
    """Commit of this code and whether it was changed; nothing where it is not a git checkout."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
