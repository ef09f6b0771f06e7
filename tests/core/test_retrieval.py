"""One query, the whole way: stages compose, moves reuse what they did not change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fpc_core.config import ModelConfig, QuerySettings, Solver, TransportSettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.model.decoder import cls_row
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=4, shortlist=12)


@pytest.fixture(scope="module")
def space(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def images(space):
    config = space.retriever.model.config
    records = space.dataset.query[:2]
    return to_tensor([resize_image(space.dataset.read(record), config.image_size) for record in records], config)


@pytest.fixture(scope="module")
def trace(space, images):
    return space.retriever.search(images[:1], SETTINGS, torch.tensor([0]))


def test_search_is_its_stages_one_after_another(space, images, trace):
    retriever = space.retriever
    encoding = retriever.encode(retriever.prepare(images[:1], torch.tensor([0])), SETTINGS.prune)
    match = retriever.match(encoding, SETTINGS)
    again = retriever.finish(encoding, match, SETTINGS)
    assert torch.equal(again.encoding.tokens, trace.encoding.tokens)
    assert (again.match.transport.distance == trace.match.transport.distance).all()
    assert (again.final.indices == trace.final.indices).all()
    assert set(again.timings) < set(trace.timings)


def test_a_keep_rate_move_from_the_kept_state_equals_a_fresh_search(space, images):
    retriever = space.retriever
    state = retriever.prepare(images[:1])
    for keep_rate in (0.5, 1.0):
        settings = SETTINGS.with_keep_rate(keep_rate)
        moved, fresh = retriever.search(state, settings), retriever.search(images[:1], settings)
        assert (moved.final.indices == fresh.final.indices).all()
        np.testing.assert_array_equal(moved.match.transport.distance, fresh.match.transport.distance)


def test_alpha_zero_ranks_by_cosine_and_alpha_one_by_transport(space, trace):
    match = trace.match
    assert (space.retriever.by_distance(match, 0.0).indices == trace.by_cosine.indices).all()
    by_transport = space.retriever.by_distance(match, 1.0)
    np.testing.assert_allclose(by_transport.distance, np.sort(match.transport.distance), rtol=1e-6)


def test_the_decoder_reads_the_k_nearest_by_d_and_the_gallery_is_ranked_whole(space, trace):
    assert (trace.consolidation.neighbors == trace.by_distance.indices[:4]).all()
    assert sorted(trace.final.indices.tolist()) == list(range(len(space.retriever.memory)))
    assert (np.diff(trace.final.distance) >= 0).all()


def test_a_plan_carries_the_distance_it_was_ranked_by(space, trace):
    plan = space.retriever.plan(trace.encoding, trace.match, 3, SETTINGS)
    assert plan.gallery_index == trace.match.shortlist.indices[3]
    assert plan.plan.shape == (67, 128)
    assert (plan.plan * plan.cost).sum() == pytest.approx(float(trace.match.transport.distance[3]), abs=1e-5)
    assert plan.plan.sum() == pytest.approx(1.0, abs=2e-3)
    assert (plan.query_positions == trace.encoding.positions[0].numpy()).all()


def test_entropy_never_makes_transport_cheaper_than_the_exact_plan(space, images, trace):
    exact = replace(SETTINGS, transport=TransportSettings(Solver.EXACT))
    least = space.retriever.search(images[:1], exact, torch.tensor([0])).match.transport.distance
    assert (trace.match.transport.distance >= least - 3e-3).all()


def test_the_paper_variant_gives_the_query_a_share_of_the_attention(space, images):
    shares = {
        variant: space.retriever.search(images[:1], replace(SETTINGS, variant=variant)).consolidation.query_share
        for variant in Variant
    }
    assert shares[Variant.PAPER] > 0
    assert shares[Variant.RELEASED] == 0


def test_the_camera_changes_what_is_found_and_an_unknown_one_uses_the_mean(space, images):
    retriever = space.retriever
    embedding = retriever.model.encoder.camera
    unknown = retriever.prepare(images[:1]).tokens
    known = retriever.prepare(images[:1], torch.tensor([1])).tokens
    assert embedding is not None
    assert not torch.allclose(unknown, known)


def test_two_queries_at_once_are_refused(space, images):
    encoding = space.retriever.encode(space.retriever.prepare(images), SETTINGS.prune)
    with pytest.raises(ValueError, match="one query at a time, not 2"):
        space.retriever.match(encoding, SETTINGS)


def test_a_model_that_does_not_fit_the_memory_is_refused_with_the_remedy(space):
    other = FPC(ModelConfig(stride=16, width=48, heads=4, cameras=4, identities=8))
    with pytest.raises(ValueError, match=r"\(48, 16, 8\); build the memory again"):
        Retriever(other, space.retriever.memory)


def test_all_twelve_blocks_can_be_followed_to_the_global_feature(space, images, trace):
    stages = space.retriever.follow(images[:1], torch.tensor([0]), SETTINGS.prune)
    assert [stage.block for stage in stages] == list(range(12))
    for usual in trace.encoding.stages:
        assert torch.equal(stages[usual.block].kept, usual.kept)
    with torch.inference_mode():
        _, attention = cls_row(space.retriever.model.head.blocks[-1], trace.encoding.tokens)
    torch.testing.assert_close(stages[-1].attention, attention.mean(dim=1)[:, 1:], atol=1e-5, rtol=1e-4)
    assert torch.equal(stages[-1].entered, trace.encoding.positions)
