"""The data of the margin component: table, sentence and map, whose numbers add up to the same margin."""

import base64
import json

import numpy as np
import pytest
import torch

from app.components.margin import margin_data
from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain.cards import MatchLabel, comparison_candidates
from fpc_core.explain.margin import margin
from fpc_core.workspace import open_workspace

MATCH, OTHER, JUNK, NEUTRAL = MatchLabel.MATCH, MatchLabel.OTHER, MatchLabel.JUNK, MatchLabel.NEUTRAL


@pytest.fixture(scope="module", params=[0.0, 0.4, 0.55, 1.0])
def sent(request, small_places):
    workspace = open_workspace(small_places, "cpu")
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(workspace.dataset.query[1]), config.image_size)], config)
    settings = QuerySettings(alpha=request.param, neighbors=3, shortlist=12)
    trace = workspace.retriever.search(image, settings, torch.tensor([0]))
    plans = [workspace.retriever.plan(trace.encoding, trace.match, place, settings) for place in (1, 7)]
    won = margin(trace.match, tuple(plans), settings.alpha, config.grid)
    return won, settings.alpha, margin_data(won, ("#1", "#8"), (0.125, None), settings.alpha)


def number(text):
    return round(float(text.replace("−", "-")) * 10_000)


def test_every_row_and_every_column_of_the_table_adds_up_as_printed(sent):
    winner, loser, difference = (list(map(number, row[1:4])) for row in sent[2]["rows"])
    for cosine, transport, total in (winner, loser, difference):
        assert cosine + transport == total
    assert [there - here for here, there in zip(winner, loser, strict=True)] == difference
    assert difference[2] >= 0


def test_the_sentence_names_the_margin_of_the_table(sent):
    _, alpha, data = sent
    assert f"by {data['rows'][2][3]}" in data["story"]
    assert data["story"].startswith("#1 is closer than #8 by ")
    assert data["heads"][1:3] == [f"{1 - alpha:g} × D_cos", f"{alpha:g} × D_EMD"]


def test_the_map_sums_to_the_transport_part(sent):
    won, _, data = sent
    values = np.frombuffer(base64.b64decode(data["patches"]), "<f4").astype(float)
    assert np.nansum(values) == pytest.approx(won.transport, abs=1e-6)


def test_decoder_attention_is_shown_for_its_neighbours(sent):
    assert [row[4] for row in sent[2]["rows"]] == ["12.5%", "not among the K", ""]
    assert json.loads(json.dumps(sent[2])) == {**sent[2], "names": list(sent[2]["names"])}


@pytest.mark.parametrize(
    ("tones", "chosen", "junk", "expected"),
    [
        # A wrong hit is compared with the first true match, even if it has a low rank.
        ([OTHER, OTHER, OTHER, OTHER, MATCH], 10, False, ([11, 12, 14], 14)),
        # A true match is compared with the first wrong hit.
        ([MATCH, MATCH, OTHER, OTHER, OTHER], 10, False, ([11, 12], 12)),
        # If there is no such hit, or if the identities are unknown, the nearest other hit is the default.
        ([MATCH, MATCH, MATCH, MATCH, MATCH], 11, False, ([10, 12], 10)),
        ([NEUTRAL] * 5, 12, False, ([10, 11], 10)),
        # Junk images are candidates only if they are shown.
        ([JUNK, JUNK, JUNK, JUNK, OTHER], 14, False, ([], None)),
        ([JUNK, JUNK, JUNK, JUNK, OTHER], 14, True, ([10, 11], 10)),
        # A wrong hit that is not among the offered candidates is not the default.
        ([MATCH, MATCH, MATCH, MATCH, OTHER], 10, False, ([11, 12], 11)),
    ],
)
def test_the_most_informative_hit_is_the_default(tones, chosen, junk, expected):
    assert comparison_candidates([10, 11, 12, 13, 14], tones, chosen, 2, junk) == expected
