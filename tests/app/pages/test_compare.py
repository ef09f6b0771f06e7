"""The Compare page without a browser: presets, links, both sides and their differences."""

import pytest

from app.session.figure_basket import Item
from app.session.given_patches import to_param
from fpc_core.config import PruneSettings
from tests.support.apptest import PAGES, ROOT, open_page, run_page, texts


@pytest.fixture
def compare(small_world_in_use):
    return open_page(PAGES / "compare.py")


def numbers(page):
    """Return the rows of both tables as a dict from the name to (A, B, difference)."""
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


def test_a_link_of_side_b_alone_keeps_the_default_of_side_a(compare):
    compare.query_params["b_alpha"] = "0.2"
    shown = texts(run_page(compare))
    assert "**A** γ 1 · α 0.4 · K 10 · released" in shown
    assert "**B** γ 0.8 · α 0.2 · K 10 · released" in shown


def test_patches_dropped_by_hand_belong_to_side_a_until_it_is_reset(compare):
    given = PruneSettings().with_given(((0, 1), (), (9,)))
    compare.query_params["given"] = to_param(given)
    shown = texts(run_page(compare))
    assert "**A** pruned by hand · α 0.4" in shown
    assert "**B** γ 0.8" in shown
    assert numbers(compare)["patches kept"][:2] == ("125", "67")
    compare.button(key="a_reset").click()
    assert "**A** γ 0.8 · α 0.4" in texts(run_page(compare))
    assert "given" not in compare.query_params
    assert "Both sides have the same settings" in texts(compare)


def test_reset_restores_the_values_of_the_paper_on_one_side(compare):
    compare.query_params.update({"a_alpha": "0.1", "b_k": "3", "b_drop": "random"})
    run_page(compare).button(key="b_reset").click()
    shown = texts(run_page(compare))
    assert "**A** γ 1 · α 0.1" in shown
    assert "**B** γ 0.8 · α 0.4 · K 10 · released · non-salient" in shown
    assert compare.button(key="b_reset").disabled


def test_sliders_name_the_value_of_the_paper(compare):
    labels = [slider.label for slider in run_page(compare).slider]
    for label in ("Keep rate γ · paper 0.8", "Patch-matching weight α · paper 0.4", "Neighbours K · paper 10"):
        assert labels.count(label) == 2


def test_settings_of_side_a_in_the_link_are_shared(small_world_in_use):
    app = open_page(ROOT / "streamlit_app.py")
    app.switch_page("app/pages/compare.py")
    app.query_params.update({"a_alpha": "0.1", "a_k": "5"})
    run_page(app)
    shared = app.session_state["page-params-shared"]
    assert {name: float(shared[name][0]) for name in ("gamma", "alpha", "k")} == {"gamma": 1, "alpha": 0.1, "k": 5}


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
