"""Scenes of occluders: which pixels they paint and leave unchanged, and how recipes store them."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fpc_core.config import QuerySettings
from fpc_core.data.ground_truth import PERSON
from fpc_core.data.occluder_rendering import TILE, coverage, cut_out, paint, tile
from fpc_core.data.occluders import (
    MAX_OCCLUDERS,
    MAX_POINTS,
    CutOut,
    Outline,
    Pole,
    Rectangle,
    Scene,
    SceneRecipe,
    Stroke,
    Texture,
    TexturedRectangle,
    scale_occluders,
)
from fpc_core.io.dataclass_json import RecipeError

SHAPE = (64, 32)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (80, 40, 3)).astype(np.uint8)
PICTURES = {("other.jpg", outline): cut_out(OTHER, outline) for outline in Outline}
RED, BLUE = "#ff0000", "#0000ff"

colours = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)
fractions = st.floats(-2, 3, allow_nan=False)
sizes = st.floats(0.005, 3)


def placed(kind, x=fractions, y=fractions, size=sizes, **own):
    return st.builds(kind, x=x, y=y, width=size, height=size, rotation=st.floats(-360, 360), **own)


def anywhere(**position):
    return st.one_of(
        placed(Rectangle, colour=colours, **position),
        placed(Pole, colour=colours, **position),
        placed(TexturedRectangle, texture=st.sampled_from(Texture), **position),
        placed(CutOut, path=st.just("other.jpg"), outline=st.sampled_from(Outline), mirrored=st.booleans(), **position),
    )


strokes = st.builds(
    Stroke,
    points=st.lists(st.tuples(fractions, fractions), min_size=1, max_size=5).map(tuple),
    width=st.floats(0.005, 1),
    colour=colours,
)
scenes = st.lists(st.one_of(anywhere(), strokes), max_size=4).map(lambda found: Scene(tuple(found)))


@given(scenes, st.floats(0, 1))
def test_a_recipe_survives_a_round_trip_with_the_same_bytes(scene, alpha):
    recipe = SceneRecipe(scene, "query/a.jpg", QuerySettings(alpha=alpha), "ab")
    text = recipe.to_json()
    again = SceneRecipe.from_json(text)
    assert again == recipe
    assert again.to_json() == text
    assert paint(IMAGE, again.scene, PICTURES).tobytes() == paint(IMAGE, scene, PICTURES).tobytes()


@given(anywhere(x=st.sampled_from([-2.0, 3.0]), y=st.sampled_from([-2.0, 3.0]), size=st.floats(0.005, 0.5)))
def test_an_occluder_outside_the_image_changes_no_pixel(occluder):
    scene = Scene((occluder, Stroke(((-1.5, 2.5), (2.5, 2.5)))))
    np.testing.assert_array_equal(paint(IMAGE, scene, PICTURES), IMAGE)
    assert not coverage(scene, SHAPE, PICTURES).any()


@given(scenes)
def test_uncovered_pixels_are_unchanged(scene):
    black, white = np.zeros_like(IMAGE), np.full_like(IMAGE, 255)
    untouched = (paint(black, scene, PICTURES) == 0) & (paint(white, scene, PICTURES) == 255)
    np.testing.assert_array_equal(paint(IMAGE, scene, PICTURES)[untouched], IMAGE[untouched])


def test_an_empty_scene_leaves_the_image_unchanged():
    np.testing.assert_array_equal(paint(IMAGE, Scene()), IMAGE)


def test_a_cut_out_pasted_where_it_was_cut_changes_no_pixel():
    scene = Scene((CutOut(path="self", outline=Outline.BOX),))
    pictures = {("self", Outline.BOX): cut_out(IMAGE, Outline.BOX)}
    np.testing.assert_array_equal(paint(IMAGE, scene, pictures), IMAGE)
    assert coverage(scene, SHAPE, pictures).all()


def test_a_rectangle_on_pixel_edges_covers_exactly_its_pixels():
    scene = Scene((Rectangle(0.5, 0.25, 0.5, 0.25, colour=RED),))
    painted, hidden = paint(IMAGE, scene), np.zeros(SHAPE, bool)
    hidden[8:24, 8:24] = True
    np.testing.assert_array_equal(coverage(scene, SHAPE), hidden)
    assert (painted[hidden] == (255, 0, 0)).all()
    np.testing.assert_array_equal(painted[~hidden], IMAGE[~hidden])


def test_a_quarter_turn_rotates_pixels_not_fractions():
    lying = Rectangle(0.5, 0.5, 0.75, 0.125, colour=RED)  # It covers 24 x 8 pixels.
    upright = Rectangle(0.5, 0.5, 0.25, 0.375, colour=RED)  # It covers 8 x 24 pixels.
    turned = Rectangle(0.5, 0.5, 0.75, 0.125, 90, RED)
    np.testing.assert_array_equal(coverage(Scene((turned,)), SHAPE), coverage(Scene((upright,)), SHAPE))
    assert (coverage(Scene((turned,)), SHAPE) != coverage(Scene((lying,)), SHAPE)).any()


def test_rotation_is_clockwise():
    hidden = coverage(Scene((Rectangle(0.5, 0.5, 0.9, 0.05, 30),)), SHAPE)
    assert hidden[:32, :16].any()  # A clockwise turn raises the left end.
    assert not hidden[:30, 18:].any()


@given(st.floats(0, 360))
def test_a_rotated_rectangle_keeps_its_area(rotation):
    painted = paint(np.zeros((200, 100, 3), np.uint8), Scene((Rectangle(0.5, 0.5, 0.5, 0.2, rotation, "#ffffff"),)))
    assert painted[..., 0].sum() / 255 == pytest.approx(50 * 40, rel=0.01)


def test_the_last_occluder_is_on_top():
    below, above = Rectangle(colour=RED), Rectangle(colour=BLUE)
    assert (paint(IMAGE, Scene((below, above)))[32, 16] == (0, 0, 255)).all()
    assert (paint(IMAGE, Scene((above, below)))[32, 16] == (255, 0, 0)).all()


def test_a_stroke_has_the_width_of_its_brush_and_one_point_is_a_dot():
    line = coverage(Scene((Stroke(((0.1, 0.5), (0.9, 0.5)), 0.25),)), SHAPE)
    assert line[:, 16].sum() == pytest.approx(8, abs=1)
    dot = coverage(Scene((Stroke(((0.5, 0.5),), 0.5),)), SHAPE)
    assert dot.sum() == pytest.approx(math.pi * 8**2, rel=0.1)
    assert dot[32, 16]


def test_a_pole_is_bright_inside_and_dark_at_its_edges():
    row = paint(np.zeros((8, 100, 3), np.uint8), Scene((Pole(0.5, 0.5, 0.5, 1.5, colour="#808080"),)))[4, :, 0]
    assert row[26] < row[40] > row[73]
    assert row[10] == 0


def test_tiles_keep_their_size_when_the_rectangle_grows():
    shape = (64, 128)
    small = paint(np.zeros((*shape, 3), np.uint8), Scene((TexturedRectangle(0.25, 0.5, 0.5, 1),)))
    large = paint(np.zeros((*shape, 3), np.uint8), Scene((TexturedRectangle(0.5, 0.5, 1, 1),)))
    np.testing.assert_array_equal(small[:, :64], large[:, :64])
    np.testing.assert_array_equal(large[:TILE, :TILE], tile(Texture.BRICKS))
    np.testing.assert_array_equal(large[:, :96], large[:, 32:])


def test_a_person_is_cut_out_by_mask_or_else_by_ellipse():
    mask = np.zeros((40, 20), np.uint8)
    mask[10:30, 5:15] = PERSON
    person, ellipse, box = (cut_out(OTHER, outline, mask)[..., 3] for outline in Outline)
    assert (person[24:56, 14:26] == 255).all()
    assert person[0, 0] == person[70, 20] == 0
    assert ellipse[40, 20] == 255
    assert ellipse[0, 0] == 0
    assert (box == 255).all()
    np.testing.assert_array_equal(cut_out(OTHER, Outline.PERSON), cut_out(OTHER, Outline.ELLIPSE))


def test_a_mirrored_cut_out_swaps_left_and_right():
    straight, mirrored = (
        paint(IMAGE, Scene((CutOut(path="other.jpg", outline=Outline.BOX, mirrored=each),)), PICTURES)
        for each in (False, True)
    )
    np.testing.assert_array_equal(straight[:, ::-1], mirrored)


def test_a_missing_cut_out_image_is_named():
    with pytest.raises(ValueError, match=r"cut-out gone\.jpg \(person\) is missing"):
        paint(IMAGE, Scene((CutOut(path="gone.jpg"),)), PICTURES)


# This stroke once became longer than the original because of rounding.
@example(Scene((Stroke(((0.0, -1.3255917426989288), (0.0, 3.0)), 0.3, "#000000"),)))
@given(scenes)
def test_a_scene_grows_from_empty_to_itself(scene):
    assert scale_occluders(scene, 0) == Scene()
    np.testing.assert_array_equal(paint(IMAGE, scale_occluders(scene, 1), PICTURES), paint(IMAGE, scene, PICTURES))


@given(st.floats(0.05, 1))
def test_a_scaled_shape_covers_its_share(share):
    small = scale_occluders(Scene((Rectangle(0.5, 0.5, 0.8, 0.6, 0),)), share).occluders[0]
    assert small.width * small.height == pytest.approx(share * 0.8 * 0.6)
    (line,) = scale_occluders(Scene((Stroke(((0.0, 0.0), (0.3, 0.0), (0.3, 0.7))),)), share).occluders
    length = sum(math.dist(here, there) for here, there in pairwise(line.points))
    assert length == pytest.approx(share)


def test_a_scene_cannot_be_scaled_beyond_its_size():
    with pytest.raises(ValueError, match=r"share must be in 0\.\.1, got 1\.2"):
        scale_occluders(Scene(), 1.2)


@pytest.mark.parametrize(
    ("occluder", "message"),
    [
        ({"kind": "cloud"}, r"scene\.occluders\.0\.kind must be one of rectangle, pole, texture, cut_out, stroke"),
        ([], r"scene\.occluders\.0\.kind must be one of"),
        ({"kind": "rectangle", "x": 9}, r"x must be in -2\.\.3, got 9"),
        ({"kind": "rectangle", "x": math.nan}, "x must be in"),
        ({"kind": "rectangle", "x": 10**400}, r"scene\.occluders\.0\.x must be a number"),
        ({"kind": "rectangle", "x": "left"}, r"scene\.occluders\.0\.x must be a number"),
        ({"kind": "rectangle", "width": 0}, r"width must be in 0\.005\.\.3"),
        ({"kind": "rectangle", "colour": "red"}, "colour must be written as #rrggbb"),
        ({"kind": "rectangle", "opacity": 1}, r"unknown scene\.occluders\.0\.opacity"),
        ({"kind": "texture", "texture": "silk"}, r"scene\.occluders\.0\.texture must be one of bricks"),
        ({"kind": "cut_out"}, "path of a cut-out must have 1 to 500 characters"),
        ({"kind": "stroke"}, r"scene\.occluders\.0: .*points"),
        ({"kind": "stroke", "points": []}, "points must have 1 to 400 items"),
        ({"kind": "stroke", "points": [[0.5]]}, r"scene\.occluders\.0\.points\.0 must be a list of 2 values"),
        ({"kind": "stroke", "points": [[0.5, None]]}, r"points\.0 must be a number"),
        ({"kind": "stroke", "points": [[0, 0]] * (MAX_POINTS + 1)}, "points must have 1 to 400 items"),
    ],
)
def test_an_invalid_recipe_names_the_field(occluder, message):
    text = json.dumps({"format": 1, "scene": {"occluders": [occluder]}})
    with pytest.raises(RecipeError, match=message):
        SceneRecipe.from_json(text)


def test_a_scene_has_a_bounded_number_of_occluders():
    content = {"format": 1, "scene": {"occluders": [{"kind": "rectangle"}] * (MAX_OCCLUDERS + 1)}}
    with pytest.raises(RecipeError, match="at most 30 items, got 31"):
        SceneRecipe.from_json(json.dumps(content))
