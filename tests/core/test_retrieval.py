"""A search equals its stages in order, and changed settings reuse the results that they do not affect."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fpc_core.config import ModelConfig, QuerySettings, Solver, TransportSettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_label import QueryIdentity
from fpc_core.explain.cards import ranked_strip
from fpc_core.matching.ranking import GalleryRanking
from fpc_core.model.decoder import cls_row
from fpc_core.model.fpc import FPC
from fpc_core.results import Ranking
from fpc_core.retrieval import Retriever
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=4, shortlist=12)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def images(workspace):
    config = workspace.retriever.model.config
    records = workspace.dataset.query[:2]
    return to_tensor([resize_image(workspace.dataset.read(record), config.image_size) for record in records], config)


@pytest.fixture(scope="module")
def trace(workspace, images):
    return workspace.retriever.search(images[:1], SETTINGS, torch.tensor([0]))


def test_a_search_equals_its_stages_in_order(workspace, images, trace):
    retriever = workspace.retriever
    encoding = retriever.encode(retriever.prepare(images[:1], torch.tensor([0])), SETTINGS.prune)
    match = retriever.match(encoding, SETTINGS)
    again = retriever.finish(encoding, match, SETTINGS)
    assert torch.equal(again.encoding.tokens, trace.encoding.tokens)
    assert (again.match.transport.distance == trace.match.transport.distance).all()
    assert (again.final.indices == trace.final.indices).all()
    assert set(again.timings) < set(trace.timings)


def test_a_keep_rate_change_equals_a_fresh_search(workspace, images):
    retriever = workspace.retriever
    state = retriever.prepare(images[:1])
    for keep_rate in (0.5, 1.0):
        settings = SETTINGS.with_keep_rate(keep_rate)
        moved, fresh = retriever.search(state, settings), retriever.search(images[:1], settings)
        assert (moved.final.indices == fresh.final.indices).all()
        np.testing.assert_array_equal(moved.match.transport.distance, fresh.match.transport.distance)


def test_alpha_zero_ranks_by_cosine_and_alpha_one_by_transport(workspace, trace):
    match = trace.match
    assert (workspace.retriever.by_distance(match, 0.0).indices == trace.by_cosine.indices).all()
    by_transport = workspace.retriever.by_distance(match, 1.0)
    np.testing.assert_allclose(by_transport.distance, np.sort(match.transport.distance), rtol=1e-6)


def test_the_decoder_reads_the_k_nearest_by_d(workspace, trace):
    assert (trace.consolidation.neighbors == trace.by_distance.indices[:4]).all()
    assert sorted(trace.final.indices.tolist()) == list(range(len(workspace.retriever.memory)))
    assert (np.diff(trace.final.distance) >= 0).all()


def test_a_search_and_its_strip_do_not_sort_the_whole_gallery(workspace, images):
    trace = workspace.retriever.search(images[:1], SETTINGS)
    ranking = GalleryRanking(np.tile(trace.final._by_row, 50))
    assert "_sorted" not in trace.final.__dict__
    records = workspace.retriever.memory.records * 50
    options = {"symbol": "final", "parts": {}, "uses_cameras": True, "show": 10}
    strip = ranked_strip("final", "", ranking, records, QueryIdentity(1, 0), **options)
    assert len(strip.cards) == 10
    assert "_sorted" not in ranking.__dict__
    whole = Ranking(ranking.indices, ranking.distance)
    assert strip == ranked_strip("final", "", whole, records, QueryIdentity(1, 0), **options)


def test_a_plan_has_the_distance_it_was_ranked_by(workspace, trace):
    plan = workspace.retriever.plan(trace.encoding, trace.match, 3, SETTINGS)
    assert plan.gallery_index == trace.match.shortlist.indices[3]
    assert plan.plan.shape == (67, 128)
    assert (plan.plan * plan.cost).sum() == pytest.approx(float(trace.match.transport.distance[3]), abs=1e-5)
    assert plan.plan.sum() == pytest.approx(1.0, abs=2e-3)
    assert (plan.query_positions == trace.encoding.positions[0].numpy()).all()


def test_entropy_never_makes_transport_cheaper_than_the_exact_plan(workspace, images, trace):
    exact = replace(SETTINGS, transport=TransportSettings(Solver.EXACT))
    least = workspace.retriever.search(images[:1], exact, torch.tensor([0])).match.transport.distance
    assert (trace.match.transport.distance >= least - 3e-3).all()


def test_the_paper_variant_gives_the_query_a_share_of_the_attention(workspace, images):
    shares = {
        variant: workspace.retriever.search(images[:1], replace(SETTINGS, variant=variant)).consolidation.query_share
        for variant in Variant
    }
    assert shares[Variant.PAPER] > 0
    assert shares[Variant.RELEASED] == 0


def test_an_unknown_camera_uses_the_mean_embedding(workspace, images):
    retriever = workspace.retriever
    embedding = retriever.model.encoder.camera
    unknown = retriever.prepare(images[:1]).tokens
    known = retriever.prepare(images[:1], torch.tensor([1])).tokens
    assert embedding is not None
    assert not torch.allclose(unknown, known)


def test_a_batch_of_two_queries_is_refused(workspace, images):
    encoding = workspace.retriever.encode(workspace.retriever.prepare(images), SETTINGS.prune)
    with pytest.raises(ValueError, match="encoding must be of one query, got 2"):
        workspace.retriever.match(encoding, SETTINGS)


def test_a_model_that_does_not_fit_the_memory_is_refused(workspace):
    other = FPC(ModelConfig(stride=16, width=48, heads=4, cameras=4, identities=8))
    with pytest.raises(ValueError, match=r"\(48, 16, 8\); build it again with these weights"):
        Retriever(other, workspace.retriever.memory)


def test_all_twelve_blocks_can_be_traced_to_the_global_feature(workspace, images, trace):
    stages = workspace.retriever.trace_blocks(images[:1], torch.tensor([0]), SETTINGS.prune)
    assert [stage.block for stage in stages] == list(range(12))
    for expected in trace.encoding.stages:
        assert torch.equal(stages[expected.block].kept, expected.kept)
    with torch.inference_mode():
        _, attention = cls_row(workspace.retriever.model.head.blocks[-1], trace.encoding.tokens)
    torch.testing.assert_close(stages[-1].attention, attention.mean(dim=1)[:, 1:], atol=1e-5, rtol=1e-4)
    assert torch.equal(stages[-1].entered, trace.encoding.positions)
