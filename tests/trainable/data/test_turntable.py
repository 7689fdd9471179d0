"""The embedded data set: what it promises about its objects, its pairs, its pixels and its cache."""

from __future__ import annotations

import csv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from trainable.data import turntable, turntable_renderer
from trainable.data.turntable import TurntableSpec
from trainable.errors import InputError

TINY = TurntableSpec(
    train_identities=8, val_identities=4, test_identities=4, positives_per_identity=2, image_size_px=32
)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels_of(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted((folder / "images").iterdir())}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return turntable.write(tmp_path_factory.mktemp("turntable"), TINY)


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank images, for what does not depend on what they show."""
    monkeypatch.setattr(turntable, "render", lambda *_: np.zeros((32, 32, 3), np.uint8))


def test_table_has_the_columns_of_a_users_own_table(tiny: Path) -> None:
    """pairs.csv names relative image paths, the label, both identities and the split, in this order."""
    assert tuple(rows_of(tiny)[0]) == ("front", "angle", "pair_label", "front_identity", "angle_identity", "split")
    assert not any(Path(row[side]).is_absolute() for row in rows_of(tiny) for side in ("front", "angle"))


def test_every_image_is_there_and_of_the_right_size(tiny: Path) -> None:
    """Each path in the table is an RGB image of the asked size, and no other file lies in the folder."""
    named = {row[side] for row in rows_of(tiny) for side in ("front", "angle")}
    found = {path.relative_to(tiny.parent).as_posix() for path in tiny.parent.rglob("*.png")}
    assert named == found
    assert {pixels.shape for pixels in pixels_of(tiny.parent).values()} == {(32, 32, 3)}


def test_the_same_spec_renders_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    """Two renders of one spec agree in every pixel and every row."""
    again = turntable.write(tmp_path, TINY)
    assert again.read_bytes() == tiny.read_bytes()
    first, second = pixels_of(tiny.parent), pixels_of(again.parent)
    assert all((first[name] == second[name]).all() for name in first)


def test_another_seed_renders_other_objects(tiny: Path, tmp_path: Path) -> None:
    """The seed changes every image."""
    spec = replace(TINY, seed=1, positives_per_identity=1)
    first, other = pixels_of(tiny.parent), pixels_of(turntable.write(tmp_path, spec).parent)
    assert len(other) == 32 and not any((first[name] == other[name]).all() for name in other)


def test_an_image_does_not_depend_on_what_else_is_rendered(tiny: Path, tmp_path: Path) -> None:
    """More identities or more views leave the images of the first ones as they were."""
    spec = replace(TINY, train_identities=6, positives_per_identity=1)
    fewer, more = pixels_of(turntable.write(tmp_path, spec).parent), pixels_of(tiny.parent)
    assert len(fewer) == 28 and all((more[name] == pixels).all() for name, pixels in fewer.items())


def test_no_identity_is_in_two_splits_and_twins_share_theirs(tiny: Path) -> None:
    """An identity, and the object it is a twin of, is seen in one split only."""
    splits: dict[str, set[str]] = {}
    for row in rows_of(tiny):
        for name in (row["front_identity"], row["angle_identity"]):
            splits.setdefault(name.rstrip("ab"), set()).add(row["split"])
    assert len(splits) == 8
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_labels_are_balanced_and_true(share: float) -> None:
    """Half of each split is positive; a pair is positive exactly if its identities are the same; none is repeated."""
    rows = list(turntable._pairs(replace(TINY, near_twin_share=share)))
    for split, identities in (("train", 8), ("val", 4), ("test", 4)):
        labels = [label for *_, label, _, _, where in rows if where == split]
        assert len(labels) == 4 * identities and sum(labels) == 2 * identities
    assert all(label == (front == angle) for _, _, label, front, angle, _ in rows)
    assert len({row[:2] for row in rows}) == len(rows)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_near_twins_is_as_asked(share: float) -> None:
    """That share of the negatives, to a whole couple, shows the twin; the others show an object of another couple."""
    negatives = [
        row for row in turntable._pairs(replace(TINY, train_identities=64, near_twin_share=share)) if not row[2]
    ]
    train = [row[3][:-1] == row[4][:-1] for row in negatives if row[-1] == "train"]
    assert sum(train) / len(train) == share


def test_one_image_alone_tells_nothing_about_the_label(tiny: Path) -> None:
    """Each image is in one positive and one negative pair, so that a model must compare."""
    uses = Counter((row[side], row["pair_label"]) for row in rows_of(tiny) for side in ("front", "angle"))
    assert set(uses.values()) == {1}
    assert len(uses) == 2 * len({image for image, _ in uses})


@pytest.mark.parametrize("couple", range(12))
def test_twins_differ_in_one_part(couple: int) -> None:
    """Of the three to five parts of a couple all but one agree in kind and colour, and one does not."""
    even, odd = (
        Counter((p.kind, tuple(p.colour)) for p in turntable_renderer.random_object(0, 2 * couple + k)) for k in (0, 1)
    )
    assert 3 <= even.total() <= 5
    assert (even - odd).total() == (odd - even).total() == 1


def test_a_sphere_covers_its_disc() -> None:
    """A sphere of radius r covers pi r² of the image, and is brighter on the side of the light."""
    shot = turntable_renderer.random_shot(turntable_renderer.stream(0, turntable_renderer.SHOTS), 0)
    shot = replace(shot, scale=1.0, shift=np.zeros(2), light=np.array([0.0, 1.0, 0.0]))
    sphere = turntable_renderer.Part("ellipsoid", np.zeros(3), np.full(3, 0.5), np.eye(3), np.ones(3))
    light, cover = turntable_renderer._foreground([sphere], shot, 256)
    assert cover.mean() * 4 == pytest.approx(np.pi * 0.5**2, rel=0.01)
    assert light[40, 64].mean() > 1.5 * light[88, 64].mean()


@pytest.mark.parametrize("kind", turntable_renderer._SHAPES)
def test_rays_meet_shapes_where_the_definition_says(kind: str) -> None:
    """Every shape's first hit along a ray agrees with stepping along it and asking whether the point is inside."""
    draw = np.random.default_rng(0)
    axes, slabs = turntable_renderer._SHAPES[kind]
    start, step = draw.uniform(-1, 1, (3, 1, 200)).astype(np.float32), np.array([0.48, 0.6, 0.64], np.float32)
    enter, _ = turntable_renderer._meet(kind, start, step)
    ahead = np.linspace(3, -3, 6001)
    points = start[:, 0, :, None] + step[:, None, None] * ahead
    inside = (points[list(axes)] ** 2).sum(0) <= 1
    for slab in slabs:
        inside &= np.abs(np.tensordot(slab, points, 1)) <= 1
    first = np.where(inside.any(1), ahead[inside.argmax(1)], -np.inf)
    assert np.isfinite(first).any()
    sure = inside.sum(1) != 1  # a ray that touches one step only may miss
    np.testing.assert_allclose(enter[0][sure], first[sure], atol=2e-3)


def test_colour_and_pixels_alone_do_not_solve_it(tmp_path: Path) -> None:
    """Without training, neither equal pixels nor equal colour histograms tell near-twins from the same object."""
    spec = TurntableSpec(train_identities=4, val_identities=4, test_identities=48, near_twin_share=1.0)
    table = turntable.write(tmp_path, spec)
    rows = [row for row in rows_of(table) if row["split"] == "test"]
    front, angle = (
        np.stack([np.asarray(Image.open(tmp_path / row[side])) for row in rows]) for side in ("front", "angle")
    )
    labels = [int(row["pair_label"]) for row in rows]
    distance = np.square(front.astype(float) - angle).mean((1, 2, 3))
    bins = [
        np.stack([np.bincount(c, minlength=64) for c in (view // 64 @ [16, 4, 1]).reshape(len(rows), -1)])
        for view in (front, angle)
    ]
    overlap = np.minimum(*bins).sum(1)
    assert roc_auc_score(labels, -distance) < 0.75
    assert roc_auc_score(labels, overlap) < 0.75


def test_ensure_renders_once(tmp_path: Path, flat: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call serves the first one's files and renders nothing."""
    first = turntable.ensure(tmp_path, TINY)
    monkeypatch.setattr(turntable, "render", lambda *_: pytest.fail("rendered again"))
    assert turntable.ensure(tmp_path, TINY) == first
    assert [path.name for path in tmp_path.iterdir()] == [first.parent.name]


def test_ensure_keeps_specs_and_versions_apart(tmp_path: Path, flat: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another spec, or another renderer, has another folder."""
    tables = [turntable.ensure(tmp_path, TINY), turntable.ensure(tmp_path, replace(TINY, seed=1))]
    monkeypatch.setattr(turntable, "RENDERER_VERSION", -1)
    assert len({*tables, turntable.ensure(tmp_path, TINY)}) == 3


def test_an_interrupted_render_leaves_nothing_half_done(
    tmp_path: Path, flat: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When rendering stops midway no folder of that name exists, and the next call makes the whole one."""
    render, calls = turntable.render, iter(range(100))

    def interrupted(*arguments: object) -> np.ndarray:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return render(*arguments)

    monkeypatch.setattr(turntable, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        turntable.ensure(tmp_path, TINY)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(turntable, "render", render)
    table = turntable.ensure(tmp_path, TINY)
    assert len(list((table.parent / "images").iterdir())) == 16 * 2 * 2


def test_a_killed_renders_draft_is_no_obstacle(tmp_path: Path, flat: None) -> None:
    """A draft that a killed process left beside the folder is never taken for the data set."""
    draft = tmp_path / ".turntable-left-over"
    draft.mkdir(parents=True)
    assert turntable.ensure(tmp_path, TINY).parent != draft


def test_two_at_once_get_the_same_folder(tmp_path: Path, flat: None) -> None:
    """Callers that render at the same time all get one complete folder, and no draft stays."""
    with ThreadPoolExecutor(3) as pool:
        tables = list(pool.map(lambda _: turntable.ensure(tmp_path, TINY), range(3)))
    assert len(set(tables)) == 1
    assert len(rows_of(tables[0])) == 64
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_without_its_table_is_refused(tmp_path: Path, flat: None) -> None:
    """A cache folder whose pairs.csv is gone is not guessed about: the message says to remove it."""
    turntable.ensure(tmp_path, TINY).unlink()
    with pytest.raises(InputError, match="remove that folder"):
        turntable.ensure(tmp_path, TINY)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Rendering to a path that is a file names the path and asks for another."""
    place = tmp_path / "taken"
    place.write_text("")
    with pytest.raises(InputError, match="is a file"):
        turntable.write(place, TINY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("train_identities", 5), ("val_identities", 2), ("test_identities", 4.0), ("positives_per_identity", 0)],
        *[("near_twin_share", 1.5), ("near_twin_share", float("nan")), ("near_twin_share", "half")],
        *[("image_size_px", 8), ("seed", -1), ("seed", True)],
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: object) -> None:
    """The message names the field, the value got and what is valid."""
    with pytest.raises(InputError, match=f"{name} is .*; valid is"):
        replace(TINY, **{name: value})


def test_several_processes_render_the_same_images(tiny, tmp_path, monkeypatch):
    """Spread over processes, which large sets are, every image is the same to the bit as from one."""
    one = tiny.parent
    monkeypatch.setattr(turntable, "_WORTH_PROCESSES", 1)
    several = turntable.write(tmp_path, TINY).parent
    images = sorted(path.relative_to(one) for path in one.rglob("*.png"))
    assert images
    assert all((one / image).read_bytes() == (several / image).read_bytes() for image in images)
