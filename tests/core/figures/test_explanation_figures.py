"""Figures that explain one result have the numbers of the panels, and invalid recipes are refused."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from fpc_core.config import MapSettings, PruneSettings, QuerySettings, Variant
from fpc_core.explain.heatmaps import encoder_map
from fpc_core.explain.lifelines import SURVIVED, cutoffs, fell_in, life_line
from fpc_core.explain.margin import margin
from fpc_core.explain.overlay import STRONGEST, signed_heat
from fpc_core.figures.queries import load_queries
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.figures.render import draw, latex
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import open_workspace

QUERIES = ("query/0001_c1_f0000002.png", "query/0003_c1_f0000002.png")
SETTINGS = QuerySettings(prune=PruneSettings(0.7), neighbors=4, shortlist=16)
RATES = (1.0, 0.5, 0.7)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


def recipe(kind, **changes):
    return FigureRecipe(kind, QUERIES[:1], **{"settings": SETTINGS, "keep_rates": RATES} | changes)


def rows_of(workspace, figure_recipe):
    return list(csv.DictReader(io.StringIO(draw(figure_recipe, workspace).data)))


def path(workspace, row):
    return workspace.retriever.memory.records[row].path.as_posix()


def test_the_data_of_a_margin_are_its_parts_and_patches(workspace):
    figure_recipe = recipe(FigureKind.MARGIN)
    (query,) = load_queries(figure_recipe, workspace)
    trace = query.trace
    chosen, other = trace.by_distance.indices[[0, 5]].tolist()
    positions = [trace.match.shortlist.position(row) for row in (chosen, other)]
    plans = [workspace.retriever.plan(trace.encoding, trace.match, each, SETTINGS) for each in positions]
    expected = margin(trace.match, tuple(plans), SETTINGS.alpha, workspace.retriever.model.config.grid)
    named = replace(figure_recipe, gallery=path(workspace, other), rival=path(workspace, chosen))
    rows = rows_of(workspace, named)
    assert {(row["winner"], row["loser"]) for row in rows} == {(path(workspace, chosen), path(workspace, other))}
    parts = {row["part"]: float(row["difference"]) for row in rows if row["part"] != "patch"}
    assert parts["total"] == pytest.approx(expected.total, abs=1e-6)
    patches = {int(row["query_patch"]): float(row["difference"]) for row in rows if row["part"] == "patch"}
    assert sorted(patches) == sorted(trace.encoding.positions[0].tolist())
    assert sum(patches.values()) == pytest.approx(parts["transport"], abs=1e-5)


def test_a_margin_without_a_rival_takes_the_most_instructive_hit(workspace):
    (query,) = load_queries(recipe(FigureKind.MARGIN), workspace)
    rows = query.trace.by_distance.indices.tolist()
    tones = {row: query.tone(row) for row in rows}
    first = rows_of(workspace, recipe(FigureKind.MARGIN))[0]
    by_path = {path(workspace, row): row for row in rows}
    pair = [tones[by_path[first[name]]] for name in ("winner", "loser")]
    assert len(set(pair)) == 2  # One shows the person of the query, one another person.


def test_encoder_maps_explain_the_selected_image(workspace):
    figure_recipe = recipe(FigureKind.QUERY_MAPS, selected=path(workspace, 9))
    (query,) = load_queries(figure_recipe, workspace)
    how = MapSettings(figure_recipe.method, index=9, relative=True)
    expected = encoder_map(workspace.retriever, query.state, SETTINGS.prune, how).query_grid.ravel()
    rows = rows_of(workspace, figure_recipe)
    assert {row["map"] for row in rows} == {"encoder"}  # The released decoder does not read the query.
    assert {row["gallery"] for row in rows} == {path(workspace, 9)}
    np.testing.assert_allclose(
        [float(row["value"]) for row in rows], expected[np.isfinite(expected)], rtol=1e-4, atol=1e-12
    )
    paper = replace(figure_recipe, settings=replace(SETTINGS, variant=Variant.PAPER))
    assert {row["map"] for row in rows_of(workspace, paper)} == {"encoder", "decoder"}


def test_a_lifeline_shows_the_attention_and_drops_of_its_patch(workspace):
    (query,) = load_queries(recipe(FigureKind.PATCH_LIFELINE), workspace)
    encoding = query.encode(SETTINGS.prune)
    fell = fell_in(encoding)
    dropped = int(np.flatnonzero(fell == 6)[0])
    rows = rows_of(workspace, recipe(FigureKind.PATCH_LIFELINE, patch=dropped))
    attention = {int(row["block_or_keep_rate"]): float(row["value"]) for row in rows if row["quantity"] == "attention"}
    assert sorted(attention) == list(range(7))
    for life in life_line(encoding, dropped):
        assert attention[life.block] == pytest.approx(life.attention, rel=1e-4)
        assert cutoffs(encoding)[life.block] == life.cutoff
    drops = {row["block_or_keep_rate"]: row["value"] for row in rows if row["quantity"] == "dropped_in_block"}
    assert list(drops) == ["0.5", "0.7", "1"]
    assert (drops["0.7"], drops["1"]) == ("6", "")
    at_half = fell_in(query.encode(PruneSettings(0.5)))[dropped]
    assert drops["0.5"] == ("" if at_half == SURVIVED else str(at_half))


def test_a_signed_map_has_one_colour_per_sign(workspace):
    config = workspace.retriever.model.config
    image = np.full((*config.image_size, 3), 255, np.uint8)
    values = np.zeros(config.grid)
    values[0, 0], values[-1, -1], values[0, -1] = 2.0, -1.0, np.nan
    shown = signed_heat(image, values, config, 2.0).astype(int)
    orange, purple = np.array([230, 97, 1]), np.array([94, 60, 153])
    np.testing.assert_allclose(shown[0, 0], 255 + STRONGEST * (orange - 255), atol=1)
    np.testing.assert_allclose(shown[-1, -1], 255 + STRONGEST / 2 * (purple - 255), atol=1)
    assert (shown[0, -1] == 255).all()
    assert (signed_heat(image, values, config, 0.0) == image).all()


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (FigureKind.MARGIN, {"rival": "none.png"}, "gallery image 'none.png', which is not in this data"),
        (FigureKind.QUERY_MAPS, {"selected": "none.png"}, "gallery image 'none.png', which is not in this data"),
        (FigureKind.PATCH_LIFELINE, {"patch": 128}, r"patch must be in 0\.\.127, got 128"),
    ],
)
def test_a_recipe_that_does_not_fit_the_data_is_refused(workspace, kind, changes, message):
    with pytest.raises(RecipeError, match=message):
        draw(recipe(kind, **changes), workspace)


def test_an_image_is_not_compared_with_itself(workspace):
    (query,) = load_queries(recipe(FigureKind.MARGIN), workspace)
    nearest = path(workspace, int(query.trace.by_distance.indices[0]))
    with pytest.raises(RecipeError, match="rival must differ from the image"):
        draw(recipe(FigureKind.MARGIN, rival=nearest), workspace)


@pytest.mark.parametrize("value", [-1, 1 << 14, 0.5, True, "1"])
def test_a_patch_outside_the_bounds_is_refused(value):
    with pytest.raises(RecipeError, match="patch"):
        recipe(FigureKind.PATCH_LIFELINE, patch=value)


def test_recipes_of_earlier_releases_are_read_and_written_as_before():
    content = json.loads(FigureRecipe(FigureKind.TRANSPORT, QUERIES).to_json())
    assert not content.keys() & {"rival", "selected", "patch"}
    assert FigureRecipe.from_json(json.dumps(content)) == FigureRecipe(FigureKind.TRANSPORT, QUERIES)
    named = recipe(FigureKind.MARGIN, rival="a.png", selected="b.png", patch=3)
    assert FigureRecipe.from_json(named.to_json()) == named


@pytest.mark.parametrize("kind", [FigureKind.MARGIN, FigureKind.QUERY_MAPS, FigureKind.PATCH_LIFELINE])
def test_captions_are_complete_sentences_for_latex(workspace, kind):
    assert "weights" in latex(recipe(kind), workspace, "mine")
    assert " _" not in latex(recipe(kind), workspace, "mine")
