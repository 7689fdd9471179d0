"""Retrieval as re-identification reports it, against the loop reference; ties against the model, cost bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import reference
from trainable.metrics import retrieval
from trainable.metrics.retrieval import Gallery


@st.composite
def splits(draw: st.DrawFn) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Embeddings of images, some equal, and pairs of them; an image has one identity and may be in both roles."""
    images = draw(st.integers(2, 9))
    identity = draw(st.lists(st.integers(0, 3), min_size=images, max_size=images))
    pool = np.random.default_rng(draw(st.integers(0, 100))).normal(size=(draw(st.integers(1, images)), 4))
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    embeddings = pool[draw(st.lists(st.integers(0, len(pool) - 1), min_size=images, max_size=images))]
    ends = st.tuples(st.integers(0, images - 1), st.integers(0, images - 1))
    pairs = draw(st.lists(ends, min_size=1, max_size=14))
    return embeddings.astype(np.float32), [(f, a, identity[f], identity[a]) for f, a in pairs]


def gallery_of(pairs: list[tuple[int, int, int, int]]) -> tuple[Gallery, np.ndarray]:
    """The gallery, and the distinct images whose embeddings it takes."""
    front, angle, *identities = (np.array(column) for column in zip(*pairs, strict=True))
    images = np.unique(np.concatenate([front, angle]))
    return Gallery(images, front, angle, (identities[0], identities[1])), images


@settings(max_examples=150, deadline=None)
@given(splits())
def test_recall_and_map_are_those_of_the_loop_reference(split) -> None:
    """With several matches, ties, images in both roles, and fronts that have no match and are no query."""
    embeddings, pairs = split
    gallery, images = gallery_of(pairs)
    ranks = reference.match_ranks(embeddings, pairs, retrieval.TIED)
    found = gallery.measures(embeddings[images])
    assert gallery.queries == len(ranks) == found["val_queries"]
    assert gallery.queries + gallery.without_match == len({pair[0] for pair in pairs})
    if not ranks:
        assert found["val_map"] is None and found["val_cmc"] == [] and found["val_recall_at_1"] is None
        return
    assert found["val_map"] == pytest.approx(reference.mean_average_precision(ranks))
    assert found["val_cmc"] == pytest.approx([reference.recall_at(ranks, k) for k in range(1, gallery.size + 1)])
    for k in retrieval.RANKS:
        expected = reference.recall_at(ranks, k) if gallery.size > k else None
        assert found[f"val_recall_at_{k}"] == (None if expected is None else pytest.approx(expected))


def things(count: int, views: int = 1) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """The images of so many things, one front and so many angles each, and their pairs."""
    pairs = [(thing, count + thing * views + view, thing, thing) for thing in range(count) for view in range(views)]
    return np.arange(count * (1 + views)), pairs


def test_a_constant_encoder_finds_nothing() -> None:
    """All is tied, and the match comes last: not first, as the order of the rows would have it, nor by luck of rounding."""
    images, pairs = things(60)
    constant = np.tile(np.random.default_rng(0).normal(size=64).astype(np.float32), (len(images), 1))
    constant /= np.linalg.norm(constant, axis=1, keepdims=True)
    found = gallery_of(pairs)[0].measures(constant)
    assert found["val_recall_at_1"] == found["val_recall_at_10"] == 0
    assert found["val_map"] == pytest.approx(1 / 60)


def test_a_perfect_encoder_finds_all_of_several_matches() -> None:
    """Recall and mAP are 1, and the curve is flat."""
    images, pairs = things(30, views=3)
    of_thing = np.eye(30, dtype=np.float32)
    embeddings = np.concatenate([of_thing, of_thing.repeat(3, axis=0)])
    found = gallery_of(pairs)[0].measures(embeddings[images])
    assert found["val_map"] == found["val_recall_at_1"] == 1 and found["val_cmc"] == [1] * retrieval.CURVE


def test_very_many_images_are_sampled_and_the_gallery_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same queries every time, as many as the work allows, and each with the rank that it has among all."""
    images, pairs = things(200)
    embeddings = np.random.default_rng(1).normal(size=(len(images), 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    whole = gallery_of(pairs)[0].ranks(embeddings)[:, 0].tolist()
    monkeypatch.setattr(retrieval, "MOST_WORK", 50 * 200)
    sampled, again = gallery_of(pairs)[0], gallery_of(pairs)[0]
    found = sampled.ranks(embeddings)
    assert len(found) == 50 == sampled.measures(embeddings)["val_queries"] and sampled.queries == 200
    assert sampled.size == 200 and (found == again.ranks(embeddings)).all()
    chosen = sampled._query_rows
    assert found[:, 0].tolist() == [whole[row] for row in chosen]
