"""The Figures page run without a browser."""

import pytest

from app.basket import Basket
from fpc_core.config import MapMethod, QuerySettings
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from tests.unseen import PAGES, opened, run, texts

QUERY = "query/0005_c1_f0000002.png"


@pytest.fixture
def figures(small_world_in_use):
    return opened(PAGES / "figures.py")


def test_a_first_visit_shows_a_figure_and_how_to_make_it_again(figures):
    run(figures)
    assert len(figures.get("image")) == 1
    assert "python -m fpc_core figure drop_process.json" in texts(figures)


def test_what_was_collected_on_explore_is_drawn(figures):
    figures.session_state["basket"] = Basket((QUERY,), QuerySettings(alpha=0.15, neighbors=3))
    run(figures)
    assert figures.multiselect[0].value == [QUERY]
    assert figures.slider(key="f_alpha").value == 0.15
    figures.button(key="empty").click()
    run(figures)
    assert QUERY not in figures.multiselect[0].value


def test_method_and_target_of_the_decoder_maps_are_chosen_on_the_page(figures):
    run(figures).segmented_control(key="kind").set_value(FigureKind.DECODER_MAPS)
    run(figures).selectbox(key="f_map").set_value(MapMethod.LEFT_OUT)
    figures.selectbox(key="f_target").set_value("likeliest training identity")
    run(figures)
    assert len(figures.get("image")) == 1
    figures.selectbox(key="f_map").set_value(MapMethod.ATTENTION)
    assert run(figures).selectbox(key="f_target").disabled


def test_without_a_query_the_page_asks_for_one(figures):
    run(figures).multiselect[0].set_value([])
    assert "Choose at least one query" in texts(run(figures))


def test_an_opened_recipe_is_shown_as_it_says(figures):
    recipe = FigureRecipe(FigureKind.TRANSPORT, (QUERY,))
    run(figures).file_uploader[0].set_value(("mine.json", recipe.to_json().encode(), "application/json"))
    run(figures)
    assert "Shown as the opened recipe says" in texts(figures)
    assert "figure transport.json" in texts(figures)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "bad\\.json cannot be used\\: the recipe must be a JSON object"),
        (b"\xff\xfe", "bad\\.json cannot be used"),
        (FigureRecipe(FigureKind.TRANSPORT, ("none.png",)).to_json().encode(), "is not in this data"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_named_in_words(figures, content, message):
    run(figures).file_uploader[0].set_value(("bad.json", content, "application/json"))
    assert message in texts(run(figures))
