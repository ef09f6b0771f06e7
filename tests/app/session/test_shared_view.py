"""The state that the links of the navigation pass from page to page."""

import pytest
import streamlit as st

from app.compare.presets import DEFAULT_SIDES
from app.session.shared_view import _STATES, GAMMA, forget_params, links_of_pages, read_params, store_page
from fpc_core.config import QuerySettings

PAGES = ["", "learn", "sweep", "evaluate", "atlas", "lab", "compare", "figures", "data"]


def links_after(current, params):
    """Open a page with query parameters, and return the parameters of its links to all pages.

    Args:
        current: Name of the opened page; an empty text for Explore.
        params: Query parameters with a list of values each.
    """
    read_params(current, params)
    store_page(current, params)
    return links_of_pages(PAGES)


@pytest.fixture(autouse=True)
def session(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})


def test_settings_and_query_reach_every_page_that_has_them():
    links = links_after("", {"query": ["a.jpg"], "gamma": ["0.5"], "drop": ["random"], "neighbor": ["7"]})
    assert links["learn"] == {"query": ["a.jpg"], "gamma": ["0.5"], "drop": ["random"], "neighbor": ["7"]}
    assert links["sweep"] == {"s_query": ["a.jpg"], "s_drop": ["random"]}
    assert links["evaluate"] == {"e_gamma": ["0.5"], "e_drop": ["random"]}
    assert links["atlas"] == {"at_gamma": ["0.5"], "at_drop": ["random"]}
    assert links["lab"] == {"l_query": ["a.jpg"], "l_gamma": ["0.5"], "l_drop": ["random"], "neighbor": ["7"]}
    assert links["compare"] == {"c_query": ["a.jpg"], "a_gamma": ["0.5"], "a_drop": ["random"], "neighbor": ["7"]}
    assert links["figures"] == links["data"] == {}


def test_a_change_on_another_page_is_carried_back():
    links_after("", {"gamma": ["0.5"], "k": ["3"]})
    links = links_after("lab", {"l_gamma": ["0.6"]})  # K was set back to its default.
    assert links[""] == {"gamma": ["0.6"]}


def test_side_a_of_compare_is_the_shared_state():
    links = links_after("", {"alpha": ["0.6"], "k": ["7"], "given": ["x"]})
    assert links["compare"] == {"a_gamma": ["0.8"], "a_alpha": ["0.6"], "a_k": ["7"], "given": ["x"]}
    links = links_after("compare", {"a_gamma": ["0.5"], "a_alpha": ["0.6"], "b_gamma": ["0.9"]})
    assert links[""] == {"gamma": ["0.5"], "alpha": ["0.6"]}
    assert links["compare"] == {"a_gamma": ["0.5"], "a_alpha": ["0.6"], "b_gamma": ["0.9"]}


@pytest.mark.parametrize("params", [{}, {"b_alpha": ["0.2"]}, {"a_alpha": ["0.1"]}])
def test_a_keep_rate_that_a_link_to_compare_leaves_out_is_1(params):
    links = links_after("compare", params)
    assert float(links[""]["gamma"][0]) == 1.0
    assert "a_gamma" not in links["compare"]
    assert {name: value for name, value in links["compare"].items() if name in params} == params


def test_the_first_visit_to_compare_has_two_different_sides():
    assert links_after("learn", {})["compare"] == {"a_gamma": ["0.8"], "b_gamma": ["0.5"]}
    assert links_after("learn", {"gamma": ["0.7"]})["compare"] == {"a_gamma": ["0.7"]}
    links_after("compare", {"a_gamma": ["0.7"]})
    assert links_after("", {})["compare"] == {"a_gamma": ["0.8"]}  # The visitor has set side B to its defaults.


@pytest.mark.parametrize("text", ["1", "1.0", "1.00"])
def test_a_keep_rate_of_1_is_left_out_of_links_to_compare(text):
    assert "a_gamma" not in links_after("", {"gamma": [text]})["compare"]


def test_an_invalid_keep_rate_is_passed_on_to_the_page_that_reports_it():
    assert links_after("", {"gamma": ["much"]})["compare"] == {"a_gamma": ["much"]}


def test_the_default_keep_rate_is_that_of_the_settings():
    assert float(GAMMA) == QuerySettings().prune.keep_rate
    assert float(_STATES["compare"].gamma) == DEFAULT_SIDES[0].prune.keep_rate


def test_values_that_a_page_does_not_have_survive_it():
    links_after("", {"query": ["a.jpg"], "gamma": ["0.5"], "rival": ["3"]})
    for page in ("sweep", "data", "figures"):
        links = links_after(page, {"s_query": ["a.jpg"]} if page == "sweep" else {})
    assert links[""] == {"query": ["a.jpg"], "gamma": ["0.5"], "rival": ["3"]}


def test_another_query_drops_the_hits_of_the_previous_one():
    links_after("", {"query": ["a.jpg"], "neighbor": ["7"], "rival": ["3"], "pin": ["q1"]})
    links = links_after("sweep", {"s_query": ["b.jpg"]})
    assert links[""] == {"query": ["b.jpg"]}


def test_rows_of_the_own_gallery_stay_on_pages_that_search_it():
    own = {"query": ["a.jpg"], "gallery": ["own"], "neighbor": ["2"], "pin": ["q1"]}
    links = links_after("", own)
    assert links["learn"] == own
    sides = {"a_gamma": ["0.8"], "b_gamma": ["0.5"]}
    assert links["compare"] == {"c_query": ["a.jpg"], "gallery": ["own"], "neighbor": ["2"], **sides}
    assert links["lab"] == {"l_query": ["a.jpg"]}
    links = links_after("lab", {"l_query": ["a.jpg"], "neighbor": ["812"]})  # A row of the dataset's gallery.
    assert links[""] == own
    links = links_after("lab", {"l_query": ["b.jpg"], "neighbor": ["812"]})
    assert links[""] == {"query": ["b.jpg"], "gallery": ["own"]}
    links = links_after("", {"query": ["b.jpg"]})  # The dataset's gallery again.
    assert links["lab"] == {"l_query": ["b.jpg"]}
    assert links["compare"] == {"c_query": ["b.jpg"], **sides}


def test_another_gallery_drops_the_hits_of_the_previous_one():
    links_after("", {"query": ["a.jpg"], "neighbor": ["7"], "rival": ["17"], "pin": ["g3"]})
    links = links_after("compare", {"c_query": ["a.jpg"], "gallery": ["own"]})
    assert links[""].keys() & {"neighbor", "rival", "pin"} == set()


def test_a_page_gets_back_its_own_parameters():
    links_after("atlas", {"class": ["Wrong throughout"], "at_gamma": ["0.5"]})
    links = links_after("", {"gamma": ["0.7"], "data": ["street"]})
    assert links["atlas"] == {"class": ["Wrong throughout"], "at_gamma": ["0.7"]}
    assert links[""] == {"gamma": ["0.7"]}  # The choice of data has its own store.


def test_an_upload_is_not_part_of_a_link():
    assert links_after("", {"query": ["me.png (your image)"]})["lab"] == {}


def test_a_change_of_the_data_removes_all_parameters():
    links_after("", {"query": ["a.jpg"], "gamma": ["0.5"]})
    forget_params()
    assert links_after("data", {})[""] == {}
