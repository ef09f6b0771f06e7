"""The Figures page run without a browser."""

import warnings
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import app.pages
from app.basket import Basket
from fpc_core.config import QuerySettings
from fpc_core.figures.recipe import FigureKind, FigureRecipe

PAGE = Path(app.pages.__file__).parent / "figures.py"
QUERY = "query/0005_c1_f0000002.png"


@pytest.fixture
def figures(small_places, monkeypatch):
    monkeypatch.setenv("FPC_DATA", str(small_places.data))
    monkeypatch.setenv("FPC_WEIGHTS", str(small_places.weights))
    monkeypatch.setenv("FPC_MEMORY", str(small_places.memory))
    return AppTest.from_file(PAGE, default_timeout=120)


def run(page):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # of Streamlit's own threads
        page.run()
    assert not page.exception
    return page


def words(page):
    shown = " ".join(each.value for kind in (page.caption, page.info, page.warning, page.code) for each in kind)
    return shown.replace("\\", "")  # messages escape what Markdown would read


def test_a_first_visit_shows_a_figure_and_how_to_make_it_again(figures):
    run(figures)
    assert len(figures.get("image")) == 1
    assert "python -m fpc_core figure drop_process.json" in words(figures)


def test_what_was_collected_on_explore_is_drawn(figures):
    figures.session_state["basket"] = Basket((QUERY,), QuerySettings(alpha=0.15, neighbors=3))
    run(figures)
    assert figures.multiselect[0].value == [QUERY]
    assert figures.slider(key="f_alpha").value == 0.15
    figures.button(key="empty").click()
    run(figures)
    assert QUERY not in figures.multiselect[0].value


def test_without_a_query_the_page_asks_for_one(figures):
    run(figures).multiselect[0].set_value([])
    assert "Choose at least one query" in words(run(figures))


def test_an_opened_recipe_is_shown_as_it_says(figures):
    recipe = FigureRecipe(FigureKind.TRANSPORT, (QUERY,))
    run(figures).file_uploader[0].set_value(("mine.json", recipe.to_json().encode(), "application/json"))
    run(figures)
    assert "Shown as the opened recipe says" in words(figures)
    assert "figure transport.json" in words(figures)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "bad.json cannot be used: the recipe must be a JSON object"),
        (b"\xff\xfe", "bad.json cannot be used"),
        (FigureRecipe(FigureKind.TRANSPORT, ("none.png",)).to_json().encode(), "is not in this data"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_named_in_words(figures, content, message):
    run(figures).file_uploader[0].set_value(("bad.json", content, "application/json"))
    assert message in words(run(figures))
