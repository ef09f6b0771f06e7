"""The Compare page run without a browser."""

import pytest

from app.session.figure_basket import Item
from tests.support.apptest import PAGES, open_page, run_page, texts


@pytest.fixture
def compare(small_world_in_use):
    return open_page(PAGES / "compare.py")


def numbers(page):
    """Return the two tables as one dict: name -> (A, B, difference)."""
    return {name: tuple(row) for table in page.table for name, *row in table.value.itertuples()}


def test_two_keep_rates_are_compared_by_default(compare):
    shown = texts(run_page(compare))
    for question in ("Patches kept on one side only", "How do the results differ?", "numbers"):
        assert question in shown
    assert "**A** γ 1 · α 0.4 · K 10 · released" in shown
    assert "**B** γ 0.8 · α 0.4 · K 10 · released" in shown
    assert ":orange-badge[SYNTHETIC]" in shown
    assert numbers(compare)["patches kept"] == ("128", "67", "−61")


def test_a_preset_sets_both_sides(compare):
    run_page(compare).pills(key="preset").set_value("paper | released")
    shown = texts(run_page(compare))
    assert "**A** γ 0.8 · α 0.4 · K 10 · paper" in shown
    assert "**Variant** paper and released" in shown
    assert compare.session_state["a_variant"] == "paper"
    assert numbers(compare)["attention to the query (%)"][1] == "0.0"


def test_sinkhorn_distance_exceeds_the_exact_distance(compare):
    run_page(compare).pills(key="preset").set_value("sinkhorn | exact")
    run_page(compare)
    sinkhorn, exact, difference = numbers(compare)["D_EMD"]
    assert float(sinkhorn) > float(exact)
    assert difference.startswith("−")


def test_a_link_opens_both_sides(compare):
    compare.query_params["a_alpha"] = "0.1"
    compare.query_params["b_k"] = "3"
    compare.query_params["c_query"] = "query/0003_c1_f0000002.png"
    shown = texts(run_page(compare))
    assert "**A** γ 1 · α 0.1" in shown
    assert "K 3 · released" in shown
    assert compare.selectbox(key="c_query").value == "query/0003_c1_f0000002.png"


def test_a_moved_slider_leaves_the_preset(compare):
    run_page(compare)
    assert compare.session_state["preset"] == "γ 1.0 | 0.8"
    compare.slider(key="b_gamma").set_value(0.6)
    assert "**B** γ 0.6" in texts(run_page(compare))
    assert compare.session_state["preset"] is None


def test_equal_sides_have_no_difference(compare):
    compare.query_params["a_gamma"] = "0.8"
    assert {difference for *_, difference in numbers(run_page(compare)).values()} <= {"=", "–"}


def test_an_unknown_neighbour_in_the_link_falls_back_to_the_best(compare):
    compare.query_params["neighbor"] = "9999"
    assert "Selected: person" in texts(run_page(compare))


def test_either_side_can_be_added_to_a_figure(compare):
    run_page(compare).button(key="add-to-figureB").click()
    run_page(compare)
    basket = compare.session_state["basket"]
    assert basket.items == (Item("query/0001_c1_f0000002.png"),)
    assert basket.settings.prune.keep_rate == 0.8
    assert compare.button(key="open-figureB").label == "B added ✓ — open Figures (1)"
