"""The Explore page in a browser: choose a query, move every slider, upload a file."""

import pytest

from tests.support.browser import captions, move, open_demo, open_tab, order, settle

pytestmark = pytest.mark.browser


def test_a_click_on_a_thumbnail_chooses_the_query(page):
    before = order(page, "distance")
    card = page.locator("[data-card^='queries/'][aria-pressed='false']").first
    path = card.get_attribute("data-card").removeprefix("queries/")
    card.click()
    page.locator(f"[data-card='queries/{path}'][aria-pressed='true']").wait_for()
    settle(page)
    assert "query=" in page.url
    assert "rival=" not in page.url  # No hit was chosen for comparison.
    assert order(page, "distance") != before


def test_the_keep_rate_changes_masks_and_ranks(page):
    masks, ranks = captions(page, "masks"), captions(page, "distance")
    move(page, "Keep rate", "ArrowLeft", 6)
    assert "gamma=0.5" in page.url
    assert captions(page, "masks") != masks
    assert captions(page, "distance") != ranks


def test_alpha_changes_the_order_by_d_and_leaves_the_order_by_cosine(page):
    by_cosine, by_distance = order(page, "cosine"), order(page, "distance")
    move(page, "Patch-matching weight", "End", 1)
    assert "alpha=1" in page.url
    assert order(page, "cosine") == by_cosine
    assert order(page, "distance") != by_distance
    page.get_by_role("button", name="Timing").click()
    assert "cached" in page.locator(".st-key-timings .texts").first.inner_text()


def test_k_changes_the_consolidated_ranks_and_leaves_the_order_by_d(page):
    by_distance, final = order(page, "distance"), captions(page, "final")
    move(page, "Neighbours K", "Home", 1)
    assert "k=1" in page.url
    assert order(page, "distance") == by_distance
    assert captions(page, "final") != final
    open_tab(page, "Decoder")
    assert len(order(page, "heat")) == 1


def test_a_click_on_a_neighbour_shows_its_transport(page):
    card = page.locator("[data-card^='distance/']").nth(3)
    row = card.get_attribute("data-card").removeprefix("distance/")
    card.click()
    settle(page)
    assert f"neighbor={row}" in page.url
    assert page.locator(f"[data-card='distance/{row}']").get_attribute("aria-pressed") == "true"


def test_another_method_can_be_shown_in_place_of_grad_cam(page):
    def heat_maps():
        page.locator("[data-card^='heat/'] [data-heat='shown']").last.wait_for()
        return page.locator("[data-card^='heat/'] canvas").evaluate_all("maps => maps.map(map => map.toDataURL())")

    open_tab(page, "Decoder")
    before = heat_maps()
    choice = page.get_by_role("combobox", name="Heat map")
    choice.scroll_into_view_if_needed()
    settle(page)  # A menu that opens while the page scrolls would close again.
    choice.click()
    page.get_by_role("option", name="left out").click()
    settle(page)
    assert heat_maps() != before
    assert page.get_by_text("drop without the patch, for the cosine to the top-ranked image").is_visible()
    assert "map=left+out" in page.url


def test_a_bad_upload_shows_a_message_and_loses_nothing(page, tmp_path):
    before = order(page, "distance")
    note = tmp_path / "note.txt"
    note.write_text("no image")
    page.locator("input[type=file]").set_input_files(note)
    page.get_by_test_id("stAlert").get_by_text("note.txt").wait_for()
    settle(page)
    assert order(page, "distance") == before


def test_a_phone_needs_no_sideways_scrolling_of_the_page(browser, url):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    open_demo(page, url)
    assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
    page.close()


def test_leaving_right_after_choosing_a_query_raises_nothing(page):
    """Background jobs of Explore are still polled after the visitor has left the page."""
    for _ in range(3):
        page.locator("[data-card^='queries/'][aria-pressed='false']").first.click()
        page.get_by_role("link", name="Compare").click()
        page.get_by_text("What changes between two settings?").wait_for()
        settle(page)
        assert page.get_by_test_id("stException").count() == 0
        page.get_by_role("link", name="Explore").click()
        page.locator("[data-card^='final/']").first.wait_for()
        settle(page)
