"""The scene of the Lab page: changes from the editor, a link or a recipe."""

import base64
import json
import time
import tracemalloc
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.session import lab_scene
from fpc_core.data.occluders import Rectangle, Scene, Stroke
from fpc_core.io.dataclass_json import RecipeError, to_plain

ROOT = Path(__file__).resolve().parents[3]
GREY, RED = Scene((Rectangle(),)), Scene((Rectangle(colour="#ff0000"),))
LONG = Scene(
    tuple(Stroke(tuple((each % 97 / 97, each % 89 / 89) for each in range(start, start + 400))) for start in range(4))
)


@pytest.fixture(autouse=True)
def visitor(monkeypatch):
    """Replace session state and URL by empty dicts, and return the query parameters."""
    monkeypatch.setattr(lab_scene.st, "session_state", {})
    monkeypatch.setattr(lab_scene.st, "query_params", {})
    return lab_scene.st.query_params


def report_scene(scene, serial, dragging=False):
    lab_scene.on_editor_event({"serial": serial, "dragging": dragging, "occluders": to_plain(scene)["occluders"]})


def test_a_dragged_scene_is_shown_and_the_released_one_stays():
    report_scene(GREY, 1)
    assert lab_scene.pop_released()
    assert not lab_scene.pop_released()
    report_scene(RED, 1, dragging=True)
    now = lab_scene.current_scene()
    assert (now.shown, now.scene, now.serial) == (RED, GREY, 1)
    assert not lab_scene.pop_released()
    report_scene(RED, 2)
    now = lab_scene.current_scene()
    assert (now.shown, now.scene, now.serial, now.dragged_scene) == (RED, RED, 2, None)
    assert lab_scene.pop_released()


def test_a_replaced_scene_has_a_higher_serial_than_the_browsers():
    report_scene(GREY, 7)
    lab_scene.replace_scene(RED)
    assert (lab_scene.current_scene().scene, lab_scene.current_scene().serial) == (RED, 8)


def test_an_invalid_scene_is_refused_and_the_last_one_stays():
    report_scene(GREY, 1)
    with pytest.raises(RecipeError, match=r"occluders\.0\.kind"):
        lab_scene.on_editor_event({"serial": 2, "dragging": False, "occluders": [{"kind": "cloud"}]})
    assert lab_scene.current_scene().scene == GREY


def test_the_link_restores_the_scene_at_the_next_visit(visitor):
    report_scene(RED, 1)
    lab_scene.st.session_state.clear()
    assert lab_scene.load_link() == ""
    assert lab_scene.current_scene().scene == RED


def test_a_scene_of_this_visit_overrides_the_link_and_is_written_to_it(visitor):
    report_scene(RED, 1)
    visitor.clear()  # A visit to another page also removes the parameter.
    assert lab_scene.load_link() == ""
    assert lab_scene.from_link(visitor["scene"]) == RED


def test_an_empty_or_a_long_scene_is_not_in_the_link(visitor):
    report_scene(GREY, 1)
    report_scene(Scene(), 2)
    assert "scene" not in visitor
    assert not lab_scene.fits_link(LONG)
    report_scene(LONG, 3)
    assert "scene" not in visitor


@given(st.lists(st.builds(Rectangle, x=st.floats(-2, 3), rotation=st.floats(-360, 360)), max_size=3))
def test_a_scene_survives_its_link(occluders):
    scene = Scene(tuple(occluders))
    assert lab_scene.from_link(lab_scene.to_link(scene)) == scene


def packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(data)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<b>", "damaged"),
        ("abcd", "damaged"),
        ("é", "damaged"),
        (lab_scene.to_link(GREY)[:-12], "damaged|incomplete"),
        (packed(b"\xff\xfe"), "damaged"),
        (packed(b"[]"), "JSON object with format 1"),
        (packed(b" " * (1 << 21)), "incomplete or too large"),
    ],
)
def test_an_unusable_link_is_reported_and_the_scene_is_empty(visitor, text, message):
    with pytest.raises(RecipeError, match=message):
        lab_scene.from_link(text)
    visitor["scene"] = text
    assert lab_scene.load_link().startswith("The link's scene cannot be used: ")
    assert lab_scene.current_scene().scene == Scene()


POLES = [{"kind": "pole"}] * 65_000


@pytest.mark.parametrize("count", [65_000, 10_000, 31])
def test_a_link_of_too_many_occluders_is_refused_before_one_is_made(monkeypatch, count):
    made = []
    monkeypatch.setattr("fpc_core.data.occluders.Pole.__post_init__", made.append)
    text = packed(json.dumps({"format": 1, "occluders": POLES[:count]}, separators=(",", ":")).encode())
    with pytest.raises(RecipeError, match=r"at most 30|too large"):
        lab_scene.from_link(text)
    assert made == []


def test_a_compression_bomb_takes_no_longer_than_a_normal_link():
    """Compare the slowest refused links with the longest accepted one."""

    def seconds(text):
        start = time.perf_counter()
        for _ in range(20):
            with suppress(RecipeError):
                lab_scene.from_link(text)
        return (time.perf_counter() - start) / 20

    stroke = {"kind": "stroke", "points": [[0.25, 0.5]] * 400}
    longest = packed(json.dumps({"format": 1, "occluders": [stroke] * 30}, separators=(",", ":")).encode())
    assert len(lab_scene.from_link(longest).occluders) == 30
    bombs = [
        packed(json.dumps({"format": 1, "occluders": POLES}).encode()),
        packed(b'{"format":1,"occluders":[' + b"[" * 200_000),
        packed(b'{"format":1,"occluders":[' + b"{}," * 80_000 + b"{}]}"),
        packed(b"9" * 250_000),
        "A" * 10_000_000,
    ]
    for bomb in bombs:
        assert seconds(bomb) < 3 * seconds(longest) + 0.05


def test_a_refused_link_takes_little_ram():
    bomb = packed(b'{"format":1,"occluders":[' + b'{"kind":"pole"},' * 4_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(RecipeError):
            lab_scene.from_link(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * lab_scene.MAX_UNPACKED
    finally:
        tracemalloc.stop()


def test_the_page_queue_is_left_while_a_link_is_read(visitor, monkeypatch):
    """Other visitors can use the slot while a link is unpacked and its scene is created."""
    order = []

    @contextmanager
    def release_while():
        order.append("release")
        yield
        order.append("acquire")

    monkeypatch.setattr(lab_scene.PAGE_QUEUE, "release_while", release_while)
    monkeypatch.setattr(lab_scene, "from_link", lambda text: order.append("read") or Scene())
    visitor["scene"] = "it"
    lab_scene.load_link()
    assert order == ["release", "read", "acquire"]


def test_every_recipe_of_a_visitor_is_read_outside_of_the_page_queue():
    """The line before every call that parses a visitor's text releases the slot."""
    calls = 0
    for path in sorted((ROOT / "app").rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for at, line in enumerate(lines):
            if "Recipe.from_json(" in line or "= from_link(" in line:
                calls += 1
                assert "with PAGE_QUEUE.release_while()" in lines[at - 1], f"{path}:{at + 1}"
    assert calls >= 3


def test_the_longest_scene_fits_in_a_link_or_is_left_out():
    stroke = Stroke(tuple((round(each / 7 % 1, 9), round(each / 3 % 1, 9)) for each in range(400)))
    assert not lab_scene.fits_link(Scene((stroke,) * 30))
    assert lab_scene.from_link(lab_scene.to_link(Scene((stroke,)))) == Scene((stroke,))
