"""Panels of Explore are saved as image and data, or added to the figure, as they are shown."""

import csv
import io

import pytest

from app.sections.save_panel import panel_recipe
from app.server import resources
from fpc_core.config import MapMethod, MapSettings, QuerySettings
from fpc_core.explain.overlay import PrunedStyle
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import open_workspace
from tests.support.apptest import ROOT, open_page, open_tab, run_page, sent_to, texts

SCRIPT = ROOT / "streamlit_app.py"
SETTINGS = QuerySettings(neighbors=3, shortlist=32)
QUERY = "query/0003_c1_f0000002.png"


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture
def app(small_world_in_use):
    return open_page(SCRIPT)


def recipe(workspace, kind, **options):
    return panel_recipe(
        workspace, QUERY, SETTINGS, kind, options.pop("gallery", ""), options.pop("maps", None), **options
    )


def test_rankings_are_saved_as_csv_with_ten_ranks_each(workspace):
    text = resources.figure_file(workspace, recipe(workspace, FigureKind.RANKED_LIST), "csv").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["ranking"], int(row["rank"])) for row in rows] == [
        (name, rank) for name in ("cosine", "D", "consolidated") for rank in range(1, 11)
    ]
    assert all(float(row["distance"]) >= 0 for row in rows)


PANELS = [
    FigureKind.DROP_PROCESS,
    FigureKind.RANKED_LIST,
    FigureKind.TRANSPORT,
    FigureKind.MARGIN,
    FigureKind.QUERY_MAPS,
    FigureKind.PATCH_LIFELINE,
]


@pytest.mark.parametrize("kind", PANELS)
def test_panels_are_saved_as_png_and_svg(workspace, kind):
    image = resources.figure_file(workspace, recipe(workspace, kind), "png")
    assert image.startswith(b"\x89PNG")
    assert b"<svg" in resources.figure_file(workspace, recipe(workspace, kind), "svg")


def test_the_transport_panel_saves_the_plan_of_the_selected_hit(workspace):
    gallery = workspace.retriever.memory.records[5].path.as_posix()
    of_hit = recipe(workspace, FigureKind.TRANSPORT, gallery=gallery)
    text = resources.figure_file(workspace, of_hit, "csv").decode()
    assert {row["gallery"] for row in csv.DictReader(io.StringIO(text))} == {gallery}


def test_a_recipe_names_the_gallery_image_that_maps_explain(workspace):
    explained = MapSettings(MapMethod.HIRES_CAM, index=5, relative=False)
    of_image = recipe(workspace, FigureKind.DECODER_MAPS, gallery="a.png", maps=explained)
    assert (of_image.gallery, of_image.method, of_image.relative) == ("a.png", MapMethod.HIRES_CAM, False)
    assert recipe(workspace, FigureKind.DECODER_MAPS, gallery="a.png", maps=MapSettings()).gallery == ""


def test_add_to_figure_adds_the_panel_above_the_button(app, workspace):
    app.query_params.update({"query": QUERY, "alpha": "0.3"})
    row = sent_to(run_page(app), "transport")[0]["row"]
    app.button(key="add-to-figure-transport").click()
    run_page(app)
    basket = app.session_state["basket"]
    assert basket.kind is FigureKind.TRANSPORT
    assert basket.settings.alpha == 0.3
    assert basket.gallery == workspace.retriever.memory.records[row].path.as_posix()
    open_tab(app, "Alpha").button(key="add-to-figure-alpha_lines").click()
    assert run_page(app).session_state["basket"].kind is FigureKind.ALPHA_LINES


def test_the_tab_why_adds_the_two_hits_that_it_compares(app, workspace):
    app.query_params.update({"query": QUERY, "neighbor": "5"})
    run_page(app)
    rival = open_tab(app, "Why").selectbox(key="rival-of-5").value
    app.button(key="add-to-figure-margin").click()
    basket = run_page(app).session_state["basket"]
    records = workspace.retriever.memory.records
    assert basket.kind is FigureKind.MARGIN
    assert (basket.gallery, basket.rival) == tuple(records[row].path.as_posix() for row in (5, rival))


def test_the_query_map_is_added_with_the_selected_hit_and_its_method(app, workspace):
    app.query_params.update({"query": QUERY, "neighbor": "5", "map": "HiResCAM"})
    run_page(app)
    open_tab(app, "Query map").button(key="add-to-figure-query_maps").click()
    basket = run_page(app).session_state["basket"]
    assert (basket.kind, basket.maps.method) == (FigureKind.QUERY_MAPS, MapMethod.HIRES_CAM)
    assert basket.gallery == workspace.retriever.memory.records[5].path.as_posix()


def test_a_lifeline_is_saved_once_a_query_patch_is_pinned(app):
    app.query_params.update({"query": QUERY, "pin": "g7"})
    run_page(app)
    assert "Pin a patch to save" in texts(open_tab(app, "Patch"))
    app.query_params["pin"] = "q7"
    run_page(app).button(key="add-to-figure-patch_lifeline").click()
    basket = run_page(app).session_state["basket"]
    assert (basket.kind, basket.patch) == (FigureKind.PATCH_LIFELINE, 7)


def test_query_maps_name_the_selected_hit_for_the_encoder_only(workspace):
    ranked_first = recipe(workspace, FigureKind.QUERY_MAPS, gallery="a.png", maps=MapSettings())
    assert (ranked_first.gallery, ranked_first.selected) == ("", "a.png")
    of_image = recipe(workspace, FigureKind.QUERY_MAPS, gallery="a.png", maps=MapSettings(index=5))
    assert (of_image.gallery, of_image.selected) == ("a.png", "a.png")


def test_a_panel_is_saved_in_the_visitors_style(workspace):
    assert recipe(workspace, FigureKind.DROP_PROCESS).style.pruned is PrunedStyle.HATCH
