"""Where a run's pairs and images are: the embedded set in the cache, or the user's file or folder; and their fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from trainable.checks.data_checks import examine_images
from trainable.data import turntable
from trainable.data.images import Elsewhere, Images
from trainable.data.levels import Scale
from trainable.data.missing import why_missing
from trainable.data.pairs import PairData, PairTable, with_folds
from trainable.data.read_pairs import read_pairs
from trainable.data.sources import no_such_file
from trainable.errors import InputError
from trainable.findings import FAIL, OK, DataError, Finding
from trainable.memory import limit_bytes
from trainable.metrics.thresholds import cross_fitted
from tuner.cli.run_options import EMBEDDED, DataOptions
from tuner.cli.values import cache_folder
from tuner.inputs.pixel_files import PixelFiles

_HALVES = ("pairs, labels or splits", "images")


def resolved(data: str) -> str:
    """The name of the embedded set, or the absolute path: what is understood in any folder."""
    return data if data == EMBEDDED else str(Path(data).expanduser().resolve())


def data_path(options: DataOptions, console: Console) -> Path:
    """The pair table or folder; the embedded set is rendered first if it is not in the cache."""
    if options.data != EMBEDDED:
        return given_path(options.data)
    with console.status("rendering the turntable pairs, once"):
        return turntable.ensure(cache_folder(options.cache))


def given_path(data: str) -> Path:
    """The user's file or folder. Raises InputError if it is not there."""
    path = Path(resolved(data))
    if path.exists():
        return path
    why = why_missing(data, Path())
    if why:  # as it was given: an absolute path no longer shows that it began as file://
        raise InputError(f"there is no {data!r} ({why}); valid is a pair table or a folder. Correct the path.")
    raise no_such_file(path)


_FOR_IMAGES = 0.4
"""Of the memory that may be used, where pixels are no file: once for them here and once more for the copy of them that Ray's
workers share; the rest is for features and trials."""


def check_memory(images: int, image_size_px: int, views: int = 1) -> None:
    """InputError if all views of the decoded images would fill more of the memory than leaves room for Ray's copy of them.

    Only where they are held in memory: pages of a file are the system's to drop, and Ray's workers map the same ones.
    """
    needed_gb = views * images * image_size_px**2 * 3 / 1e9
    limit, whose = limit_bytes()
    valid_gb = _FOR_IMAGES * limit / 1e9
    if needed_gb > valid_gb:
        largest = int((valid_gb * 1e9 / 3 / images / views) ** 0.5)
        each, fewer = (f" in {views} views", ", fewer --views") if views > 1 else ("", "")
        raise InputError(
            f"{images:,} images{each} of {image_size_px} px take {needed_gb:,.1f} GB of memory; valid is up to "
            f"{valid_gb:,.1f} GB, {_FOR_IMAGES:.0%} of {whose} {limit / 1e9:,.1f} GB, as Ray's workers share a copy. Give "
            f"--image-size-px {largest} or less{fewer}, fewer images, or room for a file of them (--cache, --cache-gb)."
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """The pairs of a run, read, and their images, decoded."""

    table: PairTable
    data: PairData
    scales: Mapping[str, Scale]
    """The levels of black and white of each kind of image with more than 8 bits."""
    note: str = ""
    """What was decided about those, to be said once; empty where every image has 8 bits."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal pairs, labels, splits and images: such runs may be compared."""
        return fingerprint_of(self.table, self.data.fingerprint)


TableCheck = Callable[[PairTable, list[DataError]], None]
"""What looks at a table before its images are decoded; it is given the mistakes that were tolerated, too."""


def load(
    options: DataOptions,
    image_size_px: int,
    seed: int,
    console: Console,
    check_table: TableCheck | None = None,
    view_strength: float = 1.0,
    elsewhere: Elsewhere | None = None,
) -> Dataset:
    """The pairs and images that the options name: the one way to them, of the search as of all that comes after it.

    image_size_px: side of the decoded squares; seed: deals identities to splits where the table does not; view_strength: of
    the augmented views; elsewhere: decodes what it can of many images.

    A mistake that a training could run with (labels that contradict each other or the identities, an identity in two
    splits) is tolerated: only `check_table` may refuse it, which is called before any image is decoded. What a forced run
    was given is therefore read again without asking. Raises InputError for all other mistakes, DataError among them.
    """
    tolerated: list[DataError] = []
    try:
        table = read_pairs(data_path(options, console), seed=seed, tolerated=tolerated)
    except DataError as fault:
        fault.before = tuple(tolerated)
        raise
    if check_table is not None:
        check_table(table, tolerated)
    images = _images(table, options, image_size_px, view_strength, console, elsewhere)
    data = PairData.of(table, images.pixels, images.fingerprint, options.views)
    data = replace(data, view_strength=view_strength)
    if options.folds:
        data = with_folds(data, options.folds, seed)
    return Dataset(table, data, images.scales, images.note)


def _images(
    table: PairTable,
    options: DataOptions,
    image_size_px: int,
    view_strength: float,
    console: Console,
    elsewhere: Elsewhere | None,
) -> Images:
    fits = partial(check_memory, len(table.images), image_size_px, options.views)
    return pixel_files(options, console, elsewhere).images(
        table, image_size_px, options.fit, options.views, fits, view_strength
    )


def seen_otherwise(
    dataset: Dataset,
    options: DataOptions,
    image_size_px: int,
    view_strength: float,
    console: Console,
    elsewhere: Elsewhere | None = None,
) -> Dataset:
    """The same pairs, with images of another size, or in as many views, of such a strength, as these options say."""
    images = _images(dataset.table, options, image_size_px, view_strength, console, elsewhere)
    of_images: dict[str, Any] = {"pixels": images.pixels, "fingerprint": images.fingerprint}
    return replace(
        dataset, data=replace(dataset.data, **of_images, views=options.views, view_strength=view_strength, features={})
    )


def load_again(run: Mapping[str, Any], options: DataOptions, console: Console) -> Dataset:
    """What a run was made with, read again from where the options say it is now.

    run: the run's row. options: with as many views as are needed; image size and fit are the run's. Raises InputError if the
    data are gone, or are not those that the run saw.
    """
    try:
        as_then = replace(options, fit=run.get("fit") or "squash", folds=run.get("folds") or 0)
        strength = run.get("view_strength") or 1.0
        found = load(as_then, run["image_size_px"], run["seed"], console, view_strength=strength)
    except InputError as error:
        raise InputError(
            f"the data of the run {run['run']} cannot be read: {error}\n--data says where it is now."
        ) from error
    before = run["data_fingerprint"]
    if before is None:
        console.print("note: the run did not write down what its data were; whether these are the same cannot be told")
    elif found.fingerprint != before:
        halves = zip(found.fingerprint.split("-"), before.split("-"), _HALVES, strict=True)
        changed = " and the ".join(what for now, then, what in halves if now != then)
        raise InputError(
            f"the data in {found.table.source} is not what the run {run['run']} was made with: the {changed} differ "
            f"(fingerprint {found.fingerprint}; valid is {before}). Put it back as it was, or give its place with --data."
        )
    return found


def pixel_files(options: DataOptions, console: Console, elsewhere: Elsewhere | None = None) -> PixelFiles:
    """Where decoded images are kept."""
    return PixelFiles(cache_folder(options.cache) / "pixels", options.cache_gb, console, elsewhere)


def examined(dataset: Dataset, batch_size: int, options: DataOptions, console: Console) -> list[Finding]:
    """What the images tell; of images that were examined before, what was found then."""
    table, data = dataset.table, dataset.data
    depends_on = (dataset.fingerprint, batch_size, data.views)
    return pixel_files(options, console).findings(
        depends_on, lambda: examine_images(table, data.pixels, batch_size, data.views)
    )


def levels_text(scales: Mapping[str, Scale]) -> str | None:
    """Scales as the runs table has them."""
    return json.dumps({kind: list(scale) for kind, scale in scales.items()}) if scales else None


def levels_of(run: Mapping[str, Any]) -> dict[str, list[float]]:
    """The levels of black and white by kind, as a run's row has them; empty where all images had 8 bits.

    >>> levels_of({"levels": '{"whole": [0.0, 4095.0]}'})
    {'whole': [0.0, 4095.0]}
    """
    return dict(json.loads(run.get("levels") or "{}"))


def fingerprint_of(table: PairTable, pixels_fingerprint: str) -> str:
    """Of all that a run is given: the parts that _HALVES names, in this order."""
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
