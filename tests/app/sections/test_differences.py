"""Differences of two settings on one query, with values that can be checked by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from app.sections.differences import (
    ComparedValue,
    average_precision,
    kept_patches,
    mark_differences,
    neighbor_values,
    query_values,
    why_not_comparable,
)
from fpc_core.config import ModelConfig, PruneSettings, QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import Card, QueryIdentity, Strip
from fpc_core.explain.overlay import stripes
from fpc_core.results import DropStage, Encoding, Ranking
from fpc_core.workspace import open_workspace
from tests.support import reference_scores

SETTINGS = QuerySettings(neighbors=3, shortlist=10)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def labels(workspace):
    record = workspace.dataset.query[2]
    return MatchRule(workspace.retriever.memory.records, QueryIdentity(record.identity, record.camera), True)


@pytest.fixture(scope="module")
def traces(workspace):
    """Search for the third query at keep rate 1 and at the paper's 0.8."""
    config, record = workspace.retriever.model.config, workspace.dataset.query[2]
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    camera = torch.tensor([record.camera])
    return [workspace.retriever.search(image, SETTINGS.with_keep_rate(rate), camera) for rate in (1.0, 0.8)]


def encoding(*kept, block=3):
    """Return the encoding of an image of 2 x 2 patches, of which one block drops some.

    Args:
        kept: Indices of the patches that survive.
        block: Index of the dropping block.
    """
    entered = torch.arange(4)[None]
    stage = DropStage(block, entered, torch.rand(1, 4), torch.tensor([kept]))
    return Encoding(torch.zeros(1, 1 + len(kept), 3), (stage,), (2, 2), PruneSettings(blocks=(block,)))


def test_patches_kept_on_one_side_only_are_distinguished():
    (here,) = kept_patches(encoding(0, 1), encoding(1, 3))
    (there,) = kept_patches(encoding(1, 3), encoding(0, 1))
    assert here.kept.tolist() == [[True, True], [False, False]]
    assert here.only.tolist() == [[True, False], [False, False]]
    assert there.only.tolist() == [[False, False], [False, True]]


def test_patches_that_cannot_be_compared_are_shown_without_differences():
    (here,) = kept_patches(encoding(0, 1), None)
    assert here.kept.tolist() == [[True, True], [False, False]]
    assert not here.only.any()


def test_patches_are_compared_only_between_equal_grids_and_layers():
    one, same = (encoding(0, 1) for _ in range(2))
    config = ModelConfig(image_size=(32, 32), stride=16)
    assert why_not_comparable((config, config), (one, same)) == ""
    assert "in different layers" in why_not_comparable((config, config), (one, encoding(0, 1, block=4)))
    for other in (replace(config, stride=8), replace(config, image_size=(64, 32)), replace(config, patch_size=8)):
        assert "different patch grids" in why_not_comparable((config, other), (one, same))
    text = why_not_comparable((ModelConfig(), replace(ModelConfig(), stride=16)), (one, same))
    assert "(22 × 11 patches of 16 pixels at stride 11, 16 × 8 patches of 16 pixels at stride 16)" in text


def test_patches_kept_here_only_are_striped_and_dropped_ones_white():
    config = ModelConfig(image_size=(32, 32), stride=16)
    image = np.full((32, 32, 3), 100, np.uint8)
    kept, only = np.array([[True, True], [False, True]]), np.array([[True, False], [False, False]])
    falling, rising = (stripes(image, kept, only, config, "#0000ff", falling=each) for each in (True, False))
    striped = falling[:16, :16].reshape(-1, 3)
    assert {tuple(pixel) for pixel in striped.tolist()} == {(0, 0, 255), (255, 255, 255), (100, 100, 100)}
    assert (falling[:16, 16:] == 100).all()
    assert (falling[16:, :16] > 200).all()
    assert (falling[16:, 16:] == 100).all()
    assert (falling[:16, :16] != rising[:16, :16]).any()


def strip(*ids, tag="", note="2 of 2 right"):
    return Strip("strip", "title", tuple(Card(each, f"g{each}", each, tag=tag) for each in ids), note)


def test_cards_of_one_side_only_are_marked_and_counted():
    here = mark_differences(strip("1", "2", "3"), strip("3", "1", "4"))
    assert [card.tag for card in here.cards] == ["", "only here", ""]
    assert here.note == "2 of 2 right · 1 not in the other list"
    decoder = mark_differences(strip("2", tag="K"), strip("4"))
    assert decoder.cards[0].tag == "K · only here"


def test_the_same_images_in_any_order_count_as_the_same():
    assert mark_differences(strip("1", "2", note=""), strip("2", "1")).note == "same images as the other side"


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [(3.0, 5.0, "+2"), (5.0, 3.0, "−2"), (4.0, 4.3, "="), (None, None, "–"), (None, 1.0, "only one"), (2.4, 2.6, "+1")],
)
def test_a_difference_is_computed_from_the_rounded_values(one, other, difference):
    assert ComparedValue("rank", one, other, "{:.0f}".format).difference == difference


def test_a_row_of_the_table_has_formatted_values():
    figure = ComparedValue("D", 0.14442, 0.14561, "{:.4f}".format)
    assert figure.row() == {"": "D", "A": "0.1444", "B": "0.1456", "B − A": "+0.0012"}
    assert ComparedValue("rank", None, 2.0, "{:.0f}".format).row() == {
        "": "rank",
        "A": "–",
        "B": "2",
        "B − A": "only one",
    }


def test_the_first_true_match_leaves_junk_out():
    records = [
        ImageRecord(f"{row}", identity, camera, "gallery")
        for row, (identity, camera) in enumerate([(1, 0), (2, 1), (1, 1), (1, 2)])
    ]
    labels = MatchRule(records, QueryIdentity(1, 0), True)
    ranking = Ranking(np.array([0, 1, 3, 2]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert labels.first_match(ranking) == 2  # Row 0 is junk, from the query's own camera, and row 1 is another person.
    assert average_precision(labels, ranking) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert MatchRule(records, QueryIdentity(1, 0), False).first_match(ranking) == 1
    assert average_precision(MatchRule(records, QueryIdentity(), True), ranking) is None
    assert average_precision(MatchRule(records, QueryIdentity(9, 0), True), ranking) is None


def test_the_average_precision_of_a_trace_is_that_of_the_evaluation(workspace, traces, labels):
    for trace in traces:
        expected = reference_scores.scores(workspace.retriever, workspace.dataset, trace.settings).average_precision[2]
        assert average_precision(labels, trace.final) == pytest.approx(expected, abs=1e-12)


def test_values_of_two_traces(workspace, traces, labels):
    rows = {figure.name: figure for figure in query_values(*traces, labels, (workspace.retriever.model.config,) * 2)}
    assert (rows["patches kept"].one, rows["patches kept"].other) == (128, 67)
    assert rows["FLOPs (G)"].other < rows["FLOPs (G)"].one
    attention = [
        rows[name]
        for name in ("attention to [cls] (%)", "attention to the query (%)", "attention to the neighbours (%)")
    ]
    assert sum(figure.other for figure in attention) == pytest.approx(100, abs=1e-3)
    assert rows["rank after consolidation"].one == labels.first_match(traces[0].final)


def test_values_of_a_neighbour_follow_equation_10_or_are_missing(traces, labels):
    row = int(traces[0].consolidation.neighbors[0])
    found = {figure.name: figure for figure in neighbor_values(*traces, labels, row)}
    assert found["D"].one == pytest.approx(0.6 * found["D_cos"].one + 0.4 * found["D_EMD"].one, abs=1e-6)
    assert found["decoder attention (%)"].one == pytest.approx(100 * traces[0].consolidation.neighbor_shares[0])
    beyond = next(row for row in range(32) if all(row not in trace.match.shortlist.indices for trace in traces))
    missing = {figure.name: figure for figure in neighbor_values(*traces, labels, beyond)}
    assert missing["D"].one is None
    assert missing["decoder attention (%)"].difference == "–"
    assert missing["rank after consolidation"].one is not None or labels.records[beyond].camera == 0
