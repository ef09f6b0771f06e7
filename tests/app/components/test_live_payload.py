"""The data of the live views: exact distances, match labels, and a key that ignores the live sliders."""

import base64
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.components.live_payload import grid_data, match_data, people_data, view_key
from app.sections.prefetch import keep_rate_grid, keep_rate_pairs
from app.server.search import Query, search
from app.session.view import keep_rates
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Variant
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.images import resize_image
from fpc_core.explain.cards import QueryIdentity
from fpc_core.results import DropStage, Encoding, Match, Shortlist, Transport
from fpc_core.workspace import open_workspace


def encoding():
    """Return an encoding of 2 x 2 patches: block 3 drops patch 3, and block 6 drops patch 0."""
    first = DropStage(3, torch.tensor([[0, 1, 2, 3]]), torch.rand(1, 4), torch.tensor([[2, 0, 1]]))
    second = DropStage(6, torch.tensor([[2, 0, 1]]), torch.rand(1, 3), torch.tensor([[1, 2]]))
    return Encoding(torch.zeros(1, 3, 8), (first, second), (2, 2), PruneSettings(blocks=(3, 6)))


def match(d_cos, d_emd):
    d_cos, d_emd = np.float32(d_cos), np.float32(d_emd)
    count = len(d_cos)
    weights = np.full((count, 2), 0.5, np.float32)
    transport = Transport(d_emd, np.ones(count, int), np.zeros(count), weights, weights, weights, weights)
    return Match(Shortlist(np.arange(10, 10 + count), d_cos), transport)


SUBJECT = QueryIdentity(identity=99, camera=0)


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


RECORDS = [ImageRecord(Path(f"{row}.jpg"), row, 0, "gallery") for row in range(20)]


def sent(found, show, subject=SUBJECT):
    people = people_data(found.shortlist.indices.tolist(), RECORDS, subject, uses_cameras=True)
    return match_data(encoding(), found, people, show)


def test_distances_are_sent_bit_for_bit():
    found = match([0.1, 0.2, 1 / 3], [0.3, 0.1, 2 / 3])
    data = sent(found, show=10)
    np.testing.assert_array_equal(floats(data["dCos"]), found.shortlist.d_cos)
    np.testing.assert_array_equal(floats(data["dEmd"]), found.transport.distance)
    assert data["indices"] == [10, 11, 12]


def test_the_swaps_and_rows_sent_are_those_of_the_first_ranks():
    data = sent(match([0.1, 0.2, 0.8], [0.3, 0.1, 0.7]), show=1)
    (alpha, first, second), *others = data["swaps"]
    assert abs(alpha - 1 / 3) < 1e-6
    assert (first, second, others) == (0, 1, [])
    assert data["in_sight"] == [10, 11]


def test_a_junk_image_takes_no_rank_from_the_images_shown():
    found = match([0.1, 0.2, 0.8], [0.1, 0.2, 0.7])
    assert sent(found, show=1)["in_sight"] == [10]
    assert sent(found, show=1, subject=QueryIdentity(identity=10, camera=0))["in_sight"] == [10, 11]


def test_every_patch_counts_the_dropping_blocks_it_survived():
    assert sent(match([0.1], [0.2]), show=1)["survived"] == [1, 2, 2, 0]


def test_the_grid_has_all_rows_shortlisted_at_any_keep_rate():
    low, high = match([0.1, 0.2], [0.3, 0.1]), match([0.1, 0.2, 0.3], [0.3, 0.1, 0.2])
    grid = grid_data("key", {0.3: (encoding(), low), 1.0: (encoding(), high)}, RECORDS, SUBJECT, True, show=1)
    assert [rate for rate, _ in grid["matches"]] == [0.3, 1.0]
    assert set(grid["people"]) == {"10", "11", "12"}


def test_people_are_marked_by_the_match_rule_of_the_evaluation():
    records = [
        ImageRecord(Path("a.jpg"), 7, 0, "gallery"),
        ImageRecord(Path("b.jpg"), 7, 1, "gallery"),
        ImageRecord(Path("c.jpg"), 8, 1, "gallery"),
    ]
    people = people_data([2, 1, 0], records, QueryIdentity(7, 0), uses_cameras=True)
    assert [people[row]["tone"] for row in "012"] == ["junk", "match", "other"]
    assert people["1"] == {
        "image": "g1",
        "tone": "match",
        "mark": "✓",
        "line": "id 7 · cam 2",
        "about": "same person, person 7, camera 2",
    }


def test_the_key_depends_on_query_and_all_settings_but_live_sliders():
    usual = QuerySettings()
    key = view_key("digest", usual)
    assert view_key("digest", replace(usual, alpha=0.9, neighbors=3).with_keep_rate(0.5)) == key
    assert view_key("another", usual) != key
    assert view_key("digest", replace(usual, variant=Variant.PAPER)) != key
    assert view_key("digest", replace(usual, prune=PruneSettings(strategy=DropStrategy.RANDOM))) != key


@pytest.fixture(scope="module")
def search_inputs(small_places):
    workspace = open_workspace(small_places, "cpu")
    record = workspace.dataset.query[0]
    image = resize_image(workspace.dataset.read(record), workspace.retriever.model.config.image_size)
    query = Query("first", image, QueryIdentity(record.identity, record.camera), workspace.key)
    return workspace, query, QuerySettings(neighbors=3, shortlist=12)


def finished(job):
    for _ in range(6000):
        if job.finished:
            return job.result
        threading.Event().wait(0.01)
    raise TimeoutError


def test_the_grid_equals_a_search_at_every_keep_rate(search_inputs):
    workspace, query, settings = search_inputs
    grid = finished(keep_rate_grid(workspace, query, settings, "visitor", 5))
    assert [rate for rate, _ in grid["matches"]] == list(keep_rates())
    for rate, match in grid["matches"]:
        trace = search(workspace, query, settings.with_keep_rate(rate)).trace
        assert match["indices"] == trace.match.shortlist.indices.tolist()
        np.testing.assert_array_equal(floats(match["dEmd"]), trace.match.transport.distance)
    assert {f"g{row}" for _, match in grid["matches"] for row in match["in_sight"]} == set(grid["images"])


def test_pairs_have_the_plan_at_every_keep_rate_that_shortlists_the_image(search_inputs):
    workspace, query, settings = search_inputs
    found = {rate: search(workspace, query, settings.with_keep_rate(rate)).trace for rate in keep_rates()}
    row = int(found[0.8].match.shortlist.indices[0])
    pairs = dict(finished(keep_rate_pairs(workspace, query, settings, "visitor", row))["pairs"])
    assert set(pairs) == {rate for rate, trace in found.items() if row in trace.match.shortlist.indices}
    for rate, pair in pairs.items():
        assert pair["row"] == row
        assert pair["kept"] == found[rate].encoding.positions[0].tolist()
        emd = float((floats(pair["plan"]) * floats(pair["cost"])).sum())
        # The plan fulfils the marginals only within the solver's tolerance.
        assert emd == pytest.approx(pair["dEmd"], abs=2e-3)
