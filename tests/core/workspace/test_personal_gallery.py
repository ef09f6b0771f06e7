"""A visitor's own gallery is encoded like one on disk, searched separately, and has no labels."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from fpc_core.config import QuerySettings
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.datasets import NO_CAMERA, ImageRecord
from fpc_core.data.images import to_tensor
from fpc_core.data.match_label import MatchLabel, QueryIdentity, match_label
from fpc_core.explain.cards import identity_label, ranked_strip
from fpc_core.gallery.builder import build_memory
from fpc_core.lessons.context import lesson_context
from fpc_core.report.lesson import HEIGHT, render_lesson
from fpc_core.retrieval import Retriever
from fpc_core.workspace import encode_images, open_workspace, with_gallery
from tests.support.small_workspace import paint


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def images():
    return [np.asarray(paint(identity, camera)) for identity, camera in ((1, 1), (2, 2), (1, 3))]


def gallery(workspace, images, names=("a.png", "b.png", "c.png")):
    return with_gallery(workspace, names[: len(images)], images, encode_images(workspace, images))


def search(workspace, image, **settings):
    path = workspace.own_path(image)
    size = workspace.shortlist_for(path)
    config = workspace.retriever.model.config
    chosen = QuerySettings(shortlist=size, neighbors=min(10, size), **settings)
    return workspace.retriever_for(path).search(to_tensor([image], config), chosen)


def test_images_are_encoded_as_the_builder_does(workspace, images, tmp_path):
    records = []
    for name, (identity, camera) in (("a.png", (1, 1)), ("b.png", (2, 2)), ("c.png", (1, 3))):
        paint(identity, camera).save(tmp_path / name)
        records.append(ImageRecord(Path(name), identity, NO_CAMERA, "gallery"))
    built = build_memory(workspace.retriever.model, records, tmp_path, tmp_path / "memory")
    own = gallery(workspace, images).retriever.memory
    np.testing.assert_array_equal(own.cls, built.cls)
    np.testing.assert_array_equal(own.features, built.features)
    torch.testing.assert_close(own.patches([2, 0]), built.patches([2, 0]), atol=0, rtol=0)
    assert own.tokens.dtype == np.float16


def test_a_search_equals_that_of_a_retriever_on_the_same_tokens(workspace, images):
    own = gallery(workspace, images)
    query = np.asarray(paint(5, 1))
    trace = search(own, query)
    settings = QuerySettings(shortlist=3, neighbors=3)
    expected = Retriever(workspace.retriever.model, own.retriever.memory).search(
        to_tensor([query], workspace.retriever.model.config), settings
    )
    for name in ("by_cosine", "by_distance", "final"):
        assert getattr(trace, name).indices.tolist() == getattr(expected, name).indices.tolist()
        assert sorted(getattr(trace, name).indices.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_galleries_are_ranked_and_the_query_is_excluded(workspace, images, count):
    own = gallery(workspace, images[:count])
    trace = search(own, images[0])
    expected = {0} if count == 1 else set(range(1, count))
    for ranking in (trace.by_cosine, trace.by_distance, trace.final):
        assert set(ranking.indices.tolist()) == expected
    assert set(trace.consolidation.neighbors.tolist()) == expected
    assert own.shortlist_for(own.own_path(images[0])) == len(expected)
    assert own.shortlist_for(None) == count


def test_no_hit_is_right_or_wrong_and_is_named_after_its_file(workspace, images):
    own = gallery(workspace, images)
    query = workspace.dataset.query[0]
    subject = own.subject_of(query)
    assert (subject.identity, subject.camera) == (None, query.camera)
    records = own.retriever.memory.records
    assert {match_label(record, subject, own.dataset.excludes_own_camera) for record in records} == {MatchLabel.NEUTRAL}
    assert [identity_label(record) for record in records] == ["a.png", "b.png", "c.png"]
    trace = search(own, images[0])
    strip = ranked_strip(
        "final", "", trace.final, records, subject, symbol="final", parts={}, uses_cameras=False, show=10
    )
    assert {card.lines[-1] for card in strip.cards} == {"b.png", "c.png"}
    assert strip.note == ""


def test_images_come_from_memory_and_queries_from_the_dataset(workspace, images):
    own = gallery(workspace, images)
    for record, image in zip(own.retriever.memory.records, images, strict=True):
        np.testing.assert_array_equal(own.image(record), image)
    query = workspace.dataset.query[0]
    np.testing.assert_array_equal(own.image(query), workspace.image(query))


def test_keys_depend_on_images_and_names(workspace, images):
    keys = {
        workspace.key,
        gallery(workspace, images).key,
        gallery(workspace, images[:2]).key,
        gallery(workspace, images[:2], ("a.png", "other.png")).key,
    }
    assert len(keys) == 4
    assert gallery(workspace, images).key == gallery(workspace, images).key
    assert gallery(workspace, images).weights_fingerprint == workspace.weights_fingerprint


def test_an_empty_gallery_and_equal_images_are_refused(workspace, images):
    for some in ([], [images[0], images[0]]):
        with pytest.raises(ValueError, match="at least one image and no duplicates"):
            with_gallery(workspace, ["x"] * len(some), some, encode_images(workspace, some))


def test_the_lesson_file_shows_the_own_gallery(workspace, images):
    own = gallery(workspace, images)
    context = lesson_context(own.retriever, search(own, images[0]), QueryIdentity(), False)
    page = render_lesson(own, images[0], "me.png", context, datetime(2026, 1, 1, tzinfo=UTC))
    assert "Small world (synthetic), 3 images in an own gallery" in page
    assert data_uri(images[context.hit], height=HEIGHT) in page
