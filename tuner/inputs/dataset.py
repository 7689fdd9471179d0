"""Where a run's pairs and images are: the embedded set in the cache, or the user's file or folder; and their fingerprint."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from rich.console import Console

from trainable.data import turntable
from trainable.data.augmentation import with_views
from trainable.data.images import decode
from trainable.data.pairs import PairData, PairTable
from trainable.errors import InputError
from trainable.findings import FAIL, OK, DataError, Finding
from trainable.metrics.thresholds import cross_fitted
from tuner.cli.console import file_progress
from tuner.cli.run_options import DataOptions

EMBEDDED = "turntable"
_APP = "twoview-tuner"


def resolved(data: str) -> str:
    """The name of the embedded set, or the absolute path: what is understood in any folder."""
    return data if data == EMBEDDED else str(Path(data).expanduser().resolve())


def data_path(options: DataOptions, console: Console) -> Path:
    """The pair table or folder; the embedded set is rendered first if it is not in the cache."""
    if options.data != EMBEDDED:
        return Path(resolved(options.data))
    with console.status("rendering the turntable pairs, once"):
        return turntable.ensure(cache_folder(options.cache))


def cache_folder(chosen: str | None = None) -> Path:
    """Where rendered data is kept: as chosen, or in the user's cache folder."""
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / _APP


def check_memory(images: int, image_size_px: int, views: int = 1) -> None:
    """InputError if all views of the decoded images would fill more than half of this machine's memory."""
    needed_gb = views * images * image_size_px**2 * 3 / 1e9
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if needed_gb > memory_gb / 2:
        largest = int((memory_gb / 2 * 1e9 / 3 / images / views) ** 0.5)
        each, fewer = (f" in {views} views", ", fewer --views") if views > 1 else ("", "")
        raise InputError(
            f"{images:,} images{each} of {image_size_px} px take {needed_gb:,.1f} GB of memory; valid is up to half of this "
            f"machine's {memory_gb:,.1f} GB. Give --image-size-px {largest} or less{fewer}, or fewer images."
        )


def decoded(table: PairTable, image_size_px: int, views: int, console: Console) -> PairData:
    """The table's images read, in so many views, and what a trial needs of the table."""
    with file_progress(console, "reading images") as progress:
        pixels, fingerprint = decode(table, image_size_px, progress=progress)
    if views > 1:
        with file_progress(console, "drawing views") as progress:
            pixels = with_views(pixels, views, fingerprint, progress=progress)
    return PairData.of(table, pixels, fingerprint, views)


def fingerprint_of(table: PairTable, pixels_fingerprint: str) -> str:
    """Equal for equal pairs, labels, splits and images: such runs may be compared."""
    return f"{table.fingerprint()[:16]}-{pixels_fingerprint[:16]}"


def accept(findings: list[Finding], force: bool, console: Console) -> None:
    """Print what is no good; InputError where something is fatal, unless it is forced."""
    fatal = [finding for finding in findings if finding.verdict == FAIL]
    if fatal and not force:
        listed = "\n".join(map(str, fatal))
        raise InputError(f"{listed}\nNothing can come of such pairs; --force runs all the same.")
    for finding in findings:
        if finding.verdict != OK:
            word = "forced" if finding.verdict == FAIL else "warning"
            console.print(f"{word}: {finding.check}: {finding}", soft_wrap=True, markup=False)


def check_validation(table: PairTable) -> None:
    """InputError unless the val split is large enough for what every epoch does with it: solve thresholds on the pairs
    that have no identity in common with the ones that they are scored on."""
    rows = table.rows("val")
    identities = table.front_identity[rows], table.angle_identity[rows]
    try:
        cross_fitted(np.zeros(len(rows)), table.pair_label[rows], *identities)  # that it can depends on no score
    except ValueError as error:
        raise DataError(
            "enough for validation",
            f"{table.source}: the val split has {len(rows)} pairs of {len(np.union1d(*identities))} identities, too "
            "few to score each pair at a threshold solved without its identities",
            "valid is at least 4 identities, and "
            "so many pairs that without the identities of any one of them both labels are left. Add val pairs of other "
            "identities.",
        ) from error
