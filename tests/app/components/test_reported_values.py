"""Reports of browser components: forged, damaged and late reports are ignored."""

import importlib
import math
import re
import time
from pathlib import Path

import pytest

from app.components._shared import reported_values
from app.components.score_table.content import ScoreRow, ScoreSheet
from app.components.sweep_heatmap.content import Heatmap, KeepRate, Tile
from fpc_core.config import VIT_TINY
from fpc_core.data.occluders import MAX_OCCLUDERS, MAX_POINTS, CutOut, Scene, Stroke
from fpc_core.explain.cards import Card, Strip
from fpc_core.io.dataclass_json import to_plain

STRIP = Strip("s", "", (Card("4", "g4", "1", (), alt="it"),))
MAP = Heatmap((KeepRate("1", "", "", 1.0),), ("0.4",), ((Tile("1|0.4|5", "9", "nine"),),), "", "", "")
SHEET = ScoreSheet("", (), (), (), (ScoreRow((), (), "Table 1|0", False),), "")
DEEP = [1]
for _ in range(50_000):
    DEEP = [DEEP]
FORGED = {
    "nothing": None,
    "a number": 7.5,
    "not a number": math.nan,
    "infinity": math.inf,
    "a boolean": True,
    "a huge number": 10**400,
    "a list": [[1], 2],
    "a mapping": {"x": 1},
    "a long list": [0] * 1_000_000,
    "a deep list": DEEP,
    "a long text": "4" * 10_000_000,
    "markup": "<b>",
    "a lone surrogate": "\ud800",
    "a superscript digit": "²",
    "invalid numbers": {"gamma": math.nan, "alpha": "1", "k": [3], "serial": -1},
    "missing numbers": {"alpha": 0.5},
    "an invalid scene": {"serial": "1", "dragging": 0, "occluders": {"a": 1}},
    "a scene of too many parts": {"serial": 1, "dragging": False, "occluders": [{"points": [[0, 0]] * 400}] * 65_000},
}
LOST_STATES = {"no state": None, "state of another kind": [1], "empty state": {}}


def draw_cards(callback):
    from app.components.cards import cards

    cards([STRIP], {}, key="it", on_pick=callback)


def draw_heat_strip(callback):
    from app.components.heat_strip import heat_strip

    heat_strip(STRIP, VIT_TINY, "view", "part", key="it", on_pick=callback)


def draw_heatmap_table(callback):
    from app.components.sweep_heatmap import heatmap_table

    heatmap_table(MAP, key="it", on_pick=callback)


def draw_ranking(callback):
    from app.components.ranking import ranking

    ranking({}, None, key="it", show=5, junk=False, chosen=None, on_pick=callback)


def draw_score_table(callback):
    from app.components.score_table import score_table

    score_table(SHEET, key="it", on_pick=callback)


def draw_transport(callback):
    from app.components.transport import transport

    transport("view", 0, {}, ("", ""), ("", ""), VIT_TINY, key="it", distance=(0.1, 0.4), pin=None, on_pin=callback)


def draw_lifeline(callback):
    from app.components.lifeline import lifeline

    lifeline({}, "", VIT_TINY, key="it", pin=None, on_pin=callback)


def draw_sliders(callback):
    from app.components.live_sliders import Slider, live_sliders

    shown = [Slider(name, name, "", low, high, 0.1, low, low) for name, low, high in RANGES]
    live_sliders(shown, key="it", on_release=callback)


def draw_occluder(callback):
    from app.components.occluder import occluder

    occluder("", (8, 8), Scene(), 0, {}, CutOut(path="a.png"), key="it", on_scene=callback)


RANGES = (("gamma", 0.3, 1.0), ("alpha", 0.0, 1.0), ("k", 1, 20))
COMPONENTS = {  # Module: function that draws it, event, valid report, argument of the callback.
    "cards": (draw_cards, "picked", "4", "4"),
    "heat_strip": (draw_heat_strip, "picked", "4", "4"),
    "sweep_heatmap": (draw_heatmap_table, "picked", "1|0.4|5", "1|0.4|5"),
    "ranking": (draw_ranking, "picked", "17", "17"),
    "score_table": (draw_score_table, "picked", "Table 1|0", "Table 1|0"),
    "transport": (draw_transport, "pinned", "", None),
    "lifeline": (draw_lifeline, "pinned", "", None),
    "live_sliders": (
        draw_sliders,
        "released",
        {"gamma": 0.5, "alpha": 1, "k": 3, "serial": 2},
        {"gamma": 0.5, "alpha": 1, "k": 3},
    ),
    "occluder": (
        draw_occluder,
        "scene",
        {"serial": 3, "dragging": True, "occluders": []},
        {"serial": 3, "dragging": True, "occluders": []},
    ),
}


@pytest.fixture
def drawn(monkeypatch):
    """Return an object that draws a component without Streamlit, with its state and the received reports."""

    class Drawn:
        def __init__(self):
            self.state, self.reports, self.sent = {}, [], {}

        def draw(self, name):
            draw, event, _, _ = COMPONENTS[name]
            module = importlib.import_module(f"app.components.{name}")
            monkeypatch.setattr(module, "_mount", lambda **options: self.sent.update(options))
            draw(self.reports.append)
            self.report = self.sent[f"on_{event}_change"]

    result = Drawn()
    monkeypatch.setattr(reported_values.st, "session_state", result.state)
    return result


@pytest.mark.parametrize("name", list(COMPONENTS))
@pytest.mark.parametrize("lost", list(LOST_STATES))
def test_a_report_to_a_page_that_was_left_is_ignored(drawn, name, lost):
    drawn.draw(name)
    if LOST_STATES[lost] is not None:
        drawn.state["it"] = LOST_STATES[lost]
    drawn.report()
    assert drawn.reports == []


@pytest.mark.parametrize("name", list(COMPONENTS))
@pytest.mark.parametrize("forged", list(FORGED))
def test_a_forged_report_is_ignored(drawn, name, forged):
    drawn.state["it"] = {COMPONENTS[name][1]: FORGED[forged]}
    drawn.draw(name)  # The state of the last run exists already.
    drawn.report()
    assert drawn.reports == []


@pytest.mark.parametrize("name", list(COMPONENTS))
def test_a_valid_report_is_converted(drawn, name):
    _, event, valid, expected = COMPONENTS[name]
    drawn.state["it"] = {event: valid}
    drawn.draw(name)
    drawn.report()
    assert drawn.reports == [expected]


def test_a_card_that_was_not_drawn_cannot_be_picked(drawn):
    drawn.state["it"] = {"picked": "5"}
    drawn.draw("cards")
    drawn.report()
    assert drawn.reports == []


@pytest.mark.parametrize("forged", list(FORGED))
def test_a_forged_paint_report_counts_as_number_0(drawn, monkeypatch, forged):
    from app.components import paint_ack

    monkeypatch.setattr(paint_ack, "_mount", lambda **options: drawn.sent.update(options))
    drawn.state["it"] = {"painted": FORGED[forged]}
    paint_ack.paint_ack(3, key="it", on_painted=drawn.reports.append)
    drawn.sent["on_painted_change"]()
    assert drawn.reports == [0]


def test_the_largest_possible_scene_is_accepted(drawn):
    points = tuple((round(each / 1000, 3), 0.123456789) for each in range(MAX_POINTS))
    scene = Scene(tuple(Stroke(points) for _ in range(MAX_OCCLUDERS)))
    drawn.state["it"] = {"scene": {"serial": 1, "dragging": False, "occluders": _listed(to_plain(scene)["occluders"])}}
    drawn.draw("occluder")
    drawn.report()
    assert len(drawn.reports) == 1


def _listed(value):
    """Return lists for tuples, as JSON does."""
    if isinstance(value, dict):
        return {name: _listed(each) for name, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, (list, tuple)) else value


def test_a_large_report_is_rejected_without_a_full_scan():
    small, large = [0] * 50, [[0] * 1000] * 100_000

    def seconds(value, times):
        start = time.perf_counter()
        for _ in range(times):
            reported_values.is_small(value, 100, 100)
        return (time.perf_counter() - start) / times

    assert seconds(large, 100) < 20 * seconds(small, 100) + 1e-3


def test_every_component_reads_its_state_with_received():
    reader = Path(reported_values.__file__)
    unguarded = [
        path.as_posix()
        for path in reader.parents[1].rglob("*.py")
        if path != reader and re.search(r"session_state(?:\[|\.get\()key\b", path.read_text(encoding="utf-8"))
    ]
    assert unguarded == []
