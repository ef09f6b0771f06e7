"""The data of the transport component: exact arrays, and contributions that sum to D_EMD."""

import base64
import json

import numpy as np
import pytest
import torch

from app.components._shared.patch_grid import geometry
from app.components.transport import pair_data
from fpc_core.config import ModelConfig, QuerySettings, Solver, TransportSettings
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.workspace import open_workspace


def unpacked(text, shape):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


@pytest.fixture(scope="module", params=list(Solver))
def sent(request, small_places):
    """Return for each solver a search, the transport plan of the third shortlisted image, and the data sent for it."""
    workspace = open_workspace(small_places, "cpu")
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(workspace.dataset.query[0]), config.image_size)], config)
    settings = QuerySettings(transport=TransportSettings(request.param), neighbors=3, shortlist=12)
    trace = workspace.retriever.search(image, settings, torch.tensor([0]))
    plan = workspace.retriever.plan(trace.encoding, trace.match, 2, settings)
    return trace, plan, pair_data(plan, trace.match.transport, 2)


def test_contributions_sum_to_the_distance_shown(sent):
    trace, _, pair = sent
    shape = (len(pair["kept"]), 128)
    contributions = unpacked(pair["plan"], shape).astype(float) * unpacked(pair["cost"], shape)
    assert pair["dEmd"] == float(trace.match.transport.distance[2])
    assert contributions.sum() == pytest.approx(pair["dEmd"], abs=5e-6)  # The page shows four decimals.


def test_plan_rows_match_the_kept_patches_and_their_weights(sent):
    trace, plan, pair = sent
    assert pair["kept"] == trace.encoding.positions[0].tolist() == plan.query_positions.tolist()
    weights = unpacked(pair["queryMarginal"], len(pair["kept"]))
    np.testing.assert_array_equal(weights, trace.match.transport.query_marginal[2])
    np.testing.assert_array_equal(unpacked(pair["galleryMarginal"], 128), trace.match.transport.gallery_marginal[2])
    if trace.settings.transport.solver is not Solver.RELEASED:  # Its plan fulfils the marginals only roughly.
        np.testing.assert_allclose(unpacked(pair["plan"], plan.plan.shape).sum(axis=1), weights, atol=1e-6)


def test_a_pair_is_plain_json(sent):
    assert json.loads(json.dumps(sent[2])) == sent[2]


def test_a_position_outside_the_shortlist_is_refused(sent):
    trace, plan, _ = sent
    with pytest.raises(ValueError, match="position 12 is outside the shortlist of 12"):
        pair_data(plan, trace.match.transport, 12)


def test_packed_values_are_bit_exact_in_any_layout():
    values = np.array([[1e-30, np.pi], [-0.0, np.inf]], np.float32)
    np.testing.assert_array_equal(unpacked(encode_float32(values.T), (2, 2)), values.T)
    assert np.isnan(unpacked(encode_float32(np.array([np.nan])), 1))[0]


def test_overlapping_patches_have_their_own_grid():
    assert geometry(ModelConfig(stride=11)) == {
        "rows": 22,
        "columns": 11,
        "stride": 11,
        "patch": 16,
        "width": 128,
        "height": 256,
        "pruned": "hatch",
    }
