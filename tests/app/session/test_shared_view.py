"""The state that travels in the links of the navigation."""

import pytest
import streamlit as st

from app.session.shared_view import forget_params, links_of_pages, read_params, store_page

PAGES = ["", "learn", "sweep", "evaluate", "atlas", "lab", "compare", "figures", "data"]


def links_after(current, params):
    """Show a page with these parameters, and return the links that it then has."""
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
    assert links["compare"] == {"c_query": ["a.jpg"], "neighbor": ["7"]}
    assert links["figures"] == links["data"] == {}


def test_a_change_on_another_page_is_carried_back():
    links_after("", {"gamma": ["0.5"], "k": ["3"]})
    links = links_after("lab", {"l_gamma": ["0.6"]})  # K was set back to its default.
    assert links[""] == {"gamma": ["0.6"]}


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
    assert links["compare"] == {"c_query": ["a.jpg"], "gallery": ["own"], "neighbor": ["2"]}
    assert links["lab"] == {"l_query": ["a.jpg"]}
    links = links_after("lab", {"l_query": ["a.jpg"], "neighbor": ["812"]})  # A row of the dataset's gallery.
    assert links[""] == own
    links = links_after("lab", {"l_query": ["b.jpg"], "neighbor": ["812"]})
    assert links[""] == {"query": ["b.jpg"], "gallery": ["own"]}
    links = links_after("", {"query": ["b.jpg"]})  # The dataset's gallery again.
    assert links["lab"] == {"l_query": ["b.jpg"]}
    assert links["compare"] == {"c_query": ["b.jpg"]}


def test_a_page_gets_back_its_own_parameters():
    links_after("atlas", {"class": ["Wrong throughout"], "at_gamma": ["0.5"]})
    links = links_after("", {"gamma": ["0.7"], "data": ["street"]})
    assert links["atlas"] == {"class": ["Wrong throughout"], "at_gamma": ["0.7"]}
    assert links[""] == {"gamma": ["0.7"]}  # The choice of data has its own store.


def test_an_upload_is_not_part_of_a_link():
    assert links_after("", {"query": ["me.png (your image)"]})["lab"] == {}


def test_other_data_forget_everything():
    links_after("", {"query": ["a.jpg"], "gamma": ["0.5"]})
    forget_params()
    assert links_after("data", {})[""] == {}
