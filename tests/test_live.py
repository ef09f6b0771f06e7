"""What the live views are sent: exact distances, who is who, and a key that names all but the dials."""

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from app.live import match_data, people_data, view_key
from app.strips import Subject
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Variant
from fpc_core.data.datasets import ImageRecord
from fpc_core.results import DropStage, Encoding, Match, Shortlist, Transport


def encoding():
    """2 x 2 patches; patch 3 falls in the first dropping block, patch 0 in the second."""
    first = DropStage(3, torch.tensor([[0, 1, 2, 3]]), torch.rand(1, 4), torch.tensor([[2, 0, 1]]))
    second = DropStage(6, torch.tensor([[2, 0, 1]]), torch.rand(1, 3), torch.tensor([[1, 2]]))
    return Encoding(torch.zeros(1, 3, 8), (first, second), (2, 2), PruneSettings(blocks=(3, 6)))


def match(d_cos, d_emd):
    d_cos, d_emd = np.float32(d_cos), np.float32(d_emd)
    count = len(d_cos)
    weights = np.full((count, 2), 0.5, np.float32)
    transport = Transport(d_emd, np.ones(count, int), np.zeros(count), weights, weights, weights, weights)
    return Match(Shortlist(np.arange(10, 10 + count), d_cos), transport)


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_distances_travel_bit_for_bit():
    found = match([0.1, 0.2, 1 / 3], [0.3, 0.1, 2 / 3])
    sent = match_data(encoding(), found, top=10)
    np.testing.assert_array_equal(floats(sent["dCos"]), found.shortlist.d_cos)
    np.testing.assert_array_equal(floats(sent["dEmd"]), found.transport.distance)
    assert sent["indices"] == [10, 11, 12]


def test_the_swaps_sent_are_those_of_the_first_ranks():
    found = match([0.1, 0.2, 0.8], [0.3, 0.1, 0.7])
    (alpha, first, second), *others = match_data(encoding(), found, top=1)["swaps"]
    assert abs(alpha - 1 / 3) < 1e-6
    assert (first, second, others) == (0, 1, [])


def test_every_patch_says_how_many_dropping_blocks_it_outlived():
    sent = match_data(encoding(), match([0.1], [0.2]), top=1)
    assert sent["survived"] == [1, 2, 2, 0]


def test_people_are_marked_as_the_evaluation_sees_them():
    records = [
        ImageRecord(Path("a.jpg"), 7, 0, "gallery"),
        ImageRecord(Path("b.jpg"), 7, 1, "gallery"),
        ImageRecord(Path("c.jpg"), 8, 1, "gallery"),
    ]
    people = people_data([2, 1, 0], records, Subject(7, 0), uses_cameras=True)
    assert [people[row]["tone"] for row in "012"] == ["junk", "match", "other"]
    assert people["1"] == {
        "image": "g1", "tone": "match", "mark": "✓", "line": "id 7 · cam 2",
        "about": "same identity, identity 7, camera 2",
    }  # fmt: skip


def test_the_key_names_the_query_and_every_setting_but_the_dials():
    usual = QuerySettings()
    key = view_key("digest", usual)
    assert view_key("digest", replace(usual, alpha=0.9, neighbors=3).with_keep_rate(0.5)) == key
    assert view_key("another", usual) != key
    assert view_key("digest", replace(usual, variant=Variant.PAPER)) != key
    assert view_key("digest", replace(usual, prune=PruneSettings(strategy=DropStrategy.RANDOM))) != key
