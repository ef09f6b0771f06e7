"""The Sweep page without a browser: start, stop, results, and a sweep of some queries."""

import threading

import pytest

from fpc_core.figures.recipe import FigureKind
from fpc_core.retrieval import Retriever
from tests.support.apptest import PAGES, clear_caches, open_page, run_page, texts, wait_until_finished


@pytest.fixture
def sweep(small_world_in_use, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    page = open_page(PAGES / "sweep.py")
    page.query_params["step"] = "0.5"
    page.query_params["ks"] = ["1", "5"]
    return page


def test_nothing_is_computed_until_it_is_started(sweep):
    shown = texts(run_page(sweep))
    assert "Which settings work best?" in shown
    assert ":orange-badge[SYNTHETIC]" in shown
    assert "Not started · 0 of 48 searches (8 queries × 6 keep rates)" in shown
    assert "Results appear here" in shown


def test_a_finished_sweep_shows_its_best_cell_and_a_table(sweep):
    run_page(sweep).button(key="start").click()
    shown = texts(wait_until_finished(sweep))
    assert "Done: 48 of 48 searches (8 queries × 6 keep rates)" in shown
    assert "**Best mAP** of all K: keep rate" in shown
    assert sweep.session_state["measure"] == "mAP"
    assert not sweep.warning


def test_a_finished_sweep_is_shown_on_a_second_visit(sweep):
    run_page(sweep).button(key="start").click()
    wait_until_finished(sweep)
    clear_caches()
    again = open_page(PAGES / "sweep.py")
    again.query_params.update(sweep.query_params)
    assert "Done: " in texts(run_page(again))


def test_nobody_can_stop_the_sweep_of_another_visitor(sweep, monkeypatch):
    gate, original = threading.Event(), Retriever.match
    monkeypatch.setattr(Retriever, "match", lambda *args, **options: gate.wait(60) and original(*args, **options))
    run_page(sweep).button(key="start").click()
    assert run_page(sweep).button(key="stop").label == "Stop"
    other = open_page(PAGES / "sweep.py")
    other.query_params.update(sweep.query_params)
    assert "Another visitor is running this" in texts(run_page(other))
    assert not [button for button in other.button if button.key == "stop"]
    gate.set()
    assert "Done: 48 of 48" in texts(wait_until_finished(other))


def test_one_query_starts_by_itself(sweep):
    sweep.query_params["scope"] = "one"
    sweep.query_params["s_query"] = "query/0003_c1_f0000002.png"
    shown = texts(wait_until_finished(sweep))
    assert "6 of 6 searches (1 query × 6 keep rates)" in shown
    assert sweep.selectbox(key="s_query").value == "query/0003_c1_f0000002.png"


def test_a_set_of_queries_is_chosen_by_identity_and_image(sweep):
    sweep.query_params["scope"] = "a set"
    assert "Choose at least one query" in texts(run_page(sweep))
    sweep.multiselect(key="ids").set_value([2, 3])
    sweep.multiselect(key="images").set_value(["query/0003_c1_f0000002.png", "query/0005_c1_f0000002.png"])
    assert "3 queries × 6 keep rates" in texts(run_page(sweep))


def test_other_settings_need_another_sweep(sweep):
    run_page(sweep).button(key="start").click()
    wait_until_finished(sweep)
    sweep.query_params["s_variant"] = "paper"
    fresh = open_page(PAGES / "sweep.py")
    fresh.query_params.update(sweep.query_params)
    assert "Not started" in texts(run_page(fresh))


@pytest.mark.parametrize("part", ["FPC_DATA", "FPC_WEIGHTS", "FPC_MEMORY"])
def test_missing_data_weights_or_memory_are_reported(sweep, monkeypatch, tmp_path, part):
    monkeypatch.setenv(part, str(tmp_path / "nowhere"))
    run_page(sweep)
    assert sweep.header[0].value == "No data loaded yet"


def test_only_a_sweep_of_all_queries_can_be_added_to_a_figure(sweep):
    run_page(sweep).button(key="start").click()
    wait_until_finished(sweep).button(key="add-to-figure").click()
    run_page(sweep)
    basket = sweep.session_state["basket"]
    assert (basket.kind, basket.alphas, basket.settings.neighbors) == (FigureKind.SWEEP_MAP, (0.0, 0.5, 1.0), 1)
    assert len(basket.keep_rates) == 6
    sweep.query_params["scope"] = "one"
    assert not any(button.key == "add-to-figure" for button in wait_until_finished(sweep).button)
