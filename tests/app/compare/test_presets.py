"""Presets of the Compare page."""

from dataclasses import replace

from app.compare.presets import PRESETS, preset_of
from fpc_core.config import QuerySettings, Variant


def test_a_preset_is_recognised_by_its_settings():
    for name, (one, other) in PRESETS.items():
        assert preset_of(replace(one, shortlist=32), replace(other, shortlist=32)) == name
    assert preset_of(QuerySettings(), QuerySettings()) is None
    assert PRESETS["paper | released"][0].variant is Variant.PAPER
