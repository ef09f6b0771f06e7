"""Pruning by hand without a browser: links, the comparison of masks, recipes, and pages that share the patches."""

import pytest

from app.session.figure_basket import Item
from app.session.given_patches import to_param
from fpc_core.config import PruneSettings, QuerySettings
from fpc_core.data.occluders import SceneRecipe
from fpc_core.figures.recipe import FigureKind
from tests.support.apptest import PAGES, ROOT, open_page, open_tab, run_page, sent_to, texts

SCRIPT = ROOT / "streamlit_app.py"
QUERY = "query/0003_c1_f0000002.png"
GIVEN = (tuple(range(40)), (40, 41), (127,))
LINK = to_param(PruneSettings().with_given(GIVEN))


@pytest.fixture
def app(small_world_in_use):
    page = open_page(SCRIPT)
    page.query_params["query"] = QUERY
    return page


def painter(page):
    return sent_to(page, "masks")[0]["painter"]


def digits(survived):
    return "".join(map(str, survived))


def test_a_link_restores_the_patches_and_their_result(app):
    (model,) = sent_to(run_page(app), "ranking")
    assert painter(app) == {"serial": 0, "survived": "", "model": None}
    app.query_params["given"] = LINK
    (mine,) = sent_to(run_page(app), "ranking")
    expected = "0" * 40 + "11" + "3" * 85 + "2"
    assert painter(app)["survived"] == expected
    assert digits(painter(app)["model"]) == digits(model["answer"]["match"]["survived"])
    assert digits(mine["answer"]["match"]["survived"]) == expected
    assert mine["answer"]["byHand"]
    assert not model["answer"]["byHand"]


def test_the_models_own_choice_gives_the_models_distances(app):
    (model,) = sent_to(run_page(app), "ranking")
    open_tab(app, "By hand")
    app.button(key="start-by-hand").click()
    (mine,) = sent_to(run_page(app), "ranking")
    assert "given" in app.query_params
    for name in ("indices", "dCos", "dEmd", "survived"):
        assert mine["answer"]["match"][name] == model["answer"]["match"][name]
    # The run after the click drew only the rankings.
    assert "All masks do equally well for this query" in texts(run_page(app))


def test_the_tab_compares_ranks_distance_and_overlap(app):
    app.query_params["given"] = LINK
    open_tab(app, "By hand")
    (masks,) = [each for each in sent_to(app, "cards") if each["strips"][0]["id"] == "compared-masks"]
    assert [card["title"] for card in masks["strips"][0]["cards"]][:2] == ["Model", "You"]
    assert masks["strips"][0]["cards"][1]["lines"] == ["43 dropped"]
    (table,) = (each.value for each in app.table)
    assert table.loc["IoU with your mask", "You"] == "100%"
    assert table.loc["IoU with your mask", "Model"] == table.loc["IoU with the model's mask", "You"]


def test_a_broken_link_is_explained(app):
    app.query_params["given"] = "AQ.AQ.0"
    assert "The link sets the patches dropped by hand to AQ\\.AQ\\.0" in texts(run_page(app))
    assert painter(app)["survived"] == ""


def test_another_query_starts_with_the_models_choice(app):
    app.query_params["given"] = LINK
    run_page(app)
    app.selectbox(key="query").set_value("query/0005_c1_f0000002.png")
    run_page(app)
    assert painter(app)["survived"] == ""
    assert "given" not in app.query_params


def test_a_saved_panel_has_the_given_patches(app):
    app.query_params["given"] = LINK
    run_page(app)
    app.button(key=f"add-to-figure-{FigureKind.DROP_PROCESS}").click()
    run_page(app)
    basket = app.session_state["basket"]
    assert basket.items == (Item(QUERY, given=GIVEN),)
    assert basket.settings.prune == PruneSettings()
    figures = open_page(PAGES / "figures.py")
    figures.session_state["basket"] = basket
    assert run_page(figures).multiselect[0].value == [f"{QUERY} pruned by hand"]


def test_the_lab_shares_the_patches_and_restores_them_from_a_file(small_world_in_use):
    lab = open_page(PAGES / "lab.py")
    lab.query_params.update({"l_query": QUERY, "given": LINK})
    run_page(lab)
    assert painter(lab)["survived"].startswith("0" * 40 + "11")
    assert "Did you prune better than the model?" in texts(lab)
    settings = QuerySettings(PruneSettings(0.6).with_given(((5,), (), ())), shortlist=32, neighbors=4)
    recipe = SceneRecipe(query=QUERY, settings=settings)
    again = run_page(open_page(PAGES / "lab.py"))
    again.file_uploader(key="lab-recipe").set_value(("scene.json", recipe.to_json().encode(), "application/json"))
    run_page(again)
    assert painter(again)["survived"] == "33333" + "0" + "3" * 122
    assert again.query_params["given"] == "IA.0.0"
