"""The Sweep and Compare pages in a browser: complete a small sweep, open a cell, compare two sides."""

import re

import pytest

from fpc_core.data.datasets import open_dataset
from fpc_core.workspace import Places
from tests.support.browser import settle, slider

pytestmark = pytest.mark.browser


def select_keep_rates(page, *chosen):
    """Deselect all keep rates except these."""
    for rate in ("1", "0.9", "0.8", "0.7", "0.6", "0.5"):
        if rate not in chosen:
            button = page.get_by_test_id("stSidebar").get_by_role("button", name=rate, exact=True)
            button.first.click()  # A later button with the same name can be a value of K.
            settle(page)


@pytest.fixture
def sweep(page):
    """Return the Sweep page with a complete sweep of one query at two keep rates."""
    page.get_by_role("link", name="Sweep").click()
    page.get_by_text("Which settings work best?").wait_for()
    settle(page)
    select_keep_rates(page, "1", "0.8")
    page.get_by_test_id("stSidebar").get_by_text("one", exact=True).click()
    page.get_by_text("Done: 2 of 2 searches (1 query × 2 keep rates)").wait_for()
    settle(page)
    return page


def test_a_cell_opens_explore_with_its_settings(sweep):
    query = sweep.get_by_test_id("stSidebar").get_by_role("combobox", name="Query").input_value()
    cell = sweep.locator("[data-cell='0.8|0.7|10']")
    assert cell.get_attribute("aria-label").startswith("keep rate 0.8, alpha 0.7, K 10: mAP")
    cell.click()
    sweep.locator("[data-card^='final/']").first.wait_for()
    settle(sweep)
    assert "alpha=0.7" in sweep.url
    assert "/sweep" not in sweep.url
    assert slider(sweep, "Patch-matching weight").input_value() == "0.7"
    assert slider(sweep, "Keep rate").input_value() == "0.8"
    assert sweep.get_by_test_id("stSidebar").get_by_role("combobox", name="Query").input_value() == query


def test_repeated_clicks_on_a_cell_open_explore_once(sweep):
    """The later clicks arrive when the visitor has already left the page with the cell."""
    sweep.locator("[data-cell='0.8|0.7|10']").evaluate(
        "tile => [0, 30, 60].forEach((pause) => setTimeout(() => tile.click(), pause))"
    )
    sweep.locator("[data-card^='final/']").first.wait_for()
    settle(sweep)
    assert sweep.get_by_test_id("stException").count() == 0
    assert "alpha=0.7" in sweep.url


def test_arrow_keys_move_between_cells(sweep):
    sweep.locator("[data-position='3,0']").focus()
    sweep.keyboard.press("ArrowDown")
    sweep.keyboard.press("ArrowRight")
    assert sweep.locator("[data-position]:focus").get_attribute("data-position") == "4,1"
    assert sweep.locator(".tile[tabindex='0']").count() == 1


def test_another_measure_colours_the_same_cells(sweep):
    def words():
        return sweep.locator(".tile").evaluate_all("tiles => tiles.map(tile => tile.textContent)")

    before = words()
    sweep.get_by_role("radio", name="FLOPs").click()
    settle(sweep)
    assert "measure=FLOPs" in sweep.url
    assert words() != before
    assert len(words()) == 22


def test_a_sweep_of_all_queries_runs_from_its_start_to_its_end(page):
    page.get_by_role("link", name="Sweep").click()
    page.get_by_text("Which settings work best?").wait_for()
    settle(page)
    select_keep_rates(page, "0.5")
    count = len(open_dataset(Places().data).query)
    # Other tests may have swept single queries at this keep rate on the same server, whose results are then reused.
    waiting = re.compile(rf"(Not started · 0|Resumable · \d+) of {count} searches \({count} queries × 1 keep rate\)")
    page.get_by_text(waiting).wait_for()
    page.get_by_role("button", name=re.compile("Start|Resume")).click()
    page.get_by_text(f"Done: {count} of {count} searches ({count} queries × 1 keep rate)").wait_for(timeout=300_000)
    assert page.locator("[data-cell^='0.5|']").count() == 11
    assert page.get_by_role("button", name="All cells as CSV").is_visible()


def test_two_sides_are_compared_and_a_preset_changes_both(page):
    page.get_by_role("link", name="Compare").click()
    page.get_by_text("Decoder attention to each neighbour").wait_for()
    settle(page)
    assert page.locator("[data-card^='masks-A/']").count() == 4
    kept = page.locator("[data-card^='masks-B/'] .caption").last.inner_text()
    page.get_by_role("radio", name="γ 1.0 | 0.8").click()
    settle(page)
    assert "b_gamma" not in page.url
    assert page.locator("[data-card^='masks-B/'] .caption").last.inner_text() != kept
    card = page.locator("[data-card^='final-B/']").nth(2)
    row = card.get_attribute("data-card").removeprefix("final-B/")
    card.click()
    settle(page)
    assert f"neighbor={row}" in page.url
    assert page.locator(f"[data-card='final-B/{row}']").get_attribute("aria-pressed") == "true"
