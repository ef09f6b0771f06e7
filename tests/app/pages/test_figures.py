"""The Figures page without a browser: recipes, layouts, and items collected on other pages."""

from dataclasses import replace

import pytest

from app.server import resources
from app.session.figure_basket import Basket, Item
from fpc_core.config import DropStrategy, MapMethod, MapSettings, QuerySettings, Variant
from fpc_core.data.occluders import Rectangle, Scene
from fpc_core.figures.recipe import OF_ALL_QUERIES, FigureKind, FigureRecipe
from tests.support.apptest import PAGES, ROOT, open_page, run_page, run_until, texts

QUERY = "query/0005_c1_f0000002.png"


@pytest.fixture
def figures(small_world_in_use):
    return open_page(PAGES / "figures.py")


def test_a_first_visit_shows_a_figure_and_its_command(figures):
    run_page(figures)
    assert len(figures.get("image")) == 1
    assert "python -m fpc_core figure drop_process.json" in texts(figures)


def test_items_collected_on_explore_are_drawn(figures):
    figures.session_state["basket"] = Basket((Item(QUERY),), QuerySettings(alpha=0.15, neighbors=3))
    run_page(figures)
    assert figures.multiselect[0].value == [QUERY]
    assert figures.slider(key="f_alpha").value == 0.15
    figures.button(key="empty").click()
    run_page(figures)
    assert QUERY not in figures.multiselect[0].value


def test_method_and_target_of_the_decoder_maps_are_chosen_on_the_page(figures):
    run_page(figures).pills(key="kind").set_value(FigureKind.DECODER_MAPS)
    run_page(figures).selectbox(key="f_map").set_value(MapMethod.LEFT_OUT)
    figures.selectbox(key="f_target").set_value("likeliest training identity")
    run_page(figures)
    assert len(figures.get("image")) == 1
    figures.selectbox(key="f_map").set_value(MapMethod.ATTENTION)
    assert run_page(figures).selectbox(key="f_target").disabled


def test_a_new_figure_marks_dropped_patches_as_chosen_on_explore(figures):
    figures.session_state["basket"] = Basket((Item(QUERY),), QuerySettings(neighbors=3))
    figures.query_params["pruned"] = "outline"
    run_page(figures)
    del figures.query_params["pruned"]  # A button that opens another page also removes the parameter.
    assert run_page(figures).button_group(key="figure-pruned").value == "outline"


def test_without_a_query_the_page_asks_for_one(figures):
    run_page(figures).multiselect[0].set_value([])
    assert "Choose at least one query" in texts(run_page(figures))


def test_a_loaded_recipe_is_drawn_as_specified(figures):
    recipe = FigureRecipe(FigureKind.TRANSPORT, (QUERY,))
    run_page(figures).file_uploader[0].set_value(("mine.json", recipe.to_json().encode(), "application/json"))
    run_page(figures)
    assert "Showing the loaded figure" in texts(figures)
    assert "figure transport.json" in texts(figures)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "bad\\.json cannot be used\\: the recipe must be a JSON object"),
        (b"\xff\xfe", "bad\\.json cannot be used"),
        (FigureRecipe(FigureKind.TRANSPORT, ("none.png",)).to_json().encode(), "is not in this data"),
    ],
)
def test_an_unusable_recipe_shows_a_message(figures, content, message):
    run_page(figures).file_uploader[0].set_value(("bad.json", content, "application/json"))
    assert message in texts(run_page(figures))


OCCLUDED = Item(QUERY, Scene((Rectangle(0.5, 0.25, 1.0, 0.5, colour="#00ff00"),)))


@pytest.fixture
def shown(monkeypatch):
    """Return a list that receives the recipe of every figure that the page draws."""
    recipes = []
    real = resources.figure_preview
    monkeypatch.setattr(
        resources,
        "figure_preview",
        lambda workspace, recipe, tables: recipes.append(recipe) or real(workspace, recipe, tables),
    )
    return recipes


def test_a_query_of_the_lab_keeps_its_occluders_and_links_back(figures, shown):
    figures.session_state["basket"] = Basket(
        (Item(QUERY), OCCLUDED), QuerySettings(neighbors=3), FigureKind.RANKED_LIST
    )
    run_page(figures)
    assert figures.multiselect[0].value == [QUERY, f"{QUERY} under 1 occluder"]
    assert shown[-1].kind is FigureKind.RANKED_LIST
    assert shown[-1].scenes == (Scene(), OCCLUDED.scene)
    figures.button(key="up-1").click()
    run_page(figures)
    assert shown[-1].scenes == (OCCLUDED.scene, Scene())
    assert figures.button(key="lab").label == "See the first query in the Lab"


def test_the_lab_opens_with_the_settings_of_the_figure(small_world_in_use):
    app = open_page(ROOT / "streamlit_app.py")
    app.switch_page("app/pages/figures.py")
    app.session_state["basket"] = Basket((OCCLUDED,), QuerySettings(alpha=0.15, neighbors=3), FigureKind.RANKED_LIST)
    run_page(app).button(key="lab").click()
    run_page(app)
    assert (app.slider(key="l_alpha").value, app.slider(key="l_k").value) == (0.15, 3)
    assert app.selectbox(key="l_query").value == QUERY


def test_labels_and_layout_are_in_the_recipe_and_layout_persists(figures, shown):
    run_page(figures).selectbox(key="font").set_value("STIXGeneral")
    figures.text_input[0].set_value("hidden by a hedge")
    run_page(figures)
    assert shown[-1].labels == ("hidden by a hedge", "")
    assert shown[-1].style.font == "STIXGeneral"
    again = open_page(PAGES / "figures.py")
    again.session_state["figure-style"] = figures.session_state["figure-style"]
    assert run_page(again).selectbox(key="font").value == "STIXGeneral"


def test_method_and_variant_of_the_view_are_used(figures, shown):
    settings = QuerySettings(neighbors=3, shortlist=32, variant=Variant.PAPER)
    settings = replace(settings, prune=replace(settings.prune, strategy=DropStrategy.SALIENT))
    maps = MapSettings(MapMethod.HIRES_CAM, relative=False)
    figures.session_state["basket"] = Basket((Item(QUERY),), settings, FigureKind.DECODER_MAPS, maps=maps)
    run_page(figures)
    assert shown[-1].settings == settings
    assert (shown[-1].method, shown[-1].relative) == (MapMethod.HIRES_CAM, False)


def test_a_margin_compares_the_two_hits_of_the_panel(figures, shown, small_world_in_use):
    pair = ("bounding_box_test/0005_c2_f0000001.png", "bounding_box_test/0001_c2_f0000001.png")
    figures.session_state["basket"] = Basket(
        (Item(QUERY),), QuerySettings(neighbors=3), FigureKind.MARGIN, pair[0], rival=pair[1]
    )
    run_page(figures)
    assert (shown[-1].gallery, shown[-1].rival) == pair
    assert len(figures.get("image")) == 1


def test_the_patch_of_a_lifeline_is_pinned_or_chosen_by_row_and_column(figures, shown):
    figures.session_state["basket"] = Basket(
        (Item(QUERY),), QuerySettings(neighbors=3), FigureKind.PATCH_LIFELINE, patch=13
    )
    run_page(figures)
    assert shown[-1].patch == 13  # The sixth patch of the second row; a row has eight.
    assert len(shown[-1].keep_rates) == 15
    figures.number_input(key="patch-row-13").set_value(3)
    run_page(figures)
    assert shown[-1].patch == 21


def test_the_target_of_query_maps_is_the_selected_hit(figures, shown):
    gallery = "bounding_box_test/0001_c2_f0000001.png"
    figures.session_state["basket"] = Basket(
        (Item(QUERY),), QuerySettings(neighbors=3, variant=Variant.PAPER), FigureKind.QUERY_MAPS, gallery
    )
    run_page(figures)
    assert (shown[-1].selected, shown[-1].gallery) == (gallery, "")
    figures.selectbox(key="f_target").set_value("chosen neighbour")
    run_page(figures)
    assert (shown[-1].selected, shown[-1].gallery) == (gallery, gallery)


@pytest.mark.parametrize("kind", sorted(OF_ALL_QUERIES))
def test_scores_are_computed_on_demand_and_then_drawn(figures, shown, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    figures.session_state["basket"] = Basket((), QuerySettings(neighbors=3), kind, alphas=(0.0, 1.0))
    run_page(figures)
    assert "Not started" in texts(figures)
    assert not shown
    figures.button(key="start").click()
    run_until(figures, lambda page: page.get("image"))
    assert shown[-1].kind is kind
    assert shown[-1].queries == ()
