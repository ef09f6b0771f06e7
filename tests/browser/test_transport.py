"""Transport plan, lifeline and margin in a browser, by pointer, keyboard and touch."""

import re

import pytest

from tests.support.browser import open_demo, open_tab, settle, slider, wait_for_frame

pytestmark = pytest.mark.browser
NOTHING = "Hover over a patch"


def grid(page, side):
    element = page.locator(f"[data-grid={side}]")
    element.scroll_into_view_if_needed()
    return element


def cell(page, side, index):
    """Return the centre of a patch of the demo's 16 x 8 grid, in pixels of the page."""
    box = grid(page, side).bounding_box()
    return box["x"] + box["width"] * (index % 8 + 0.5) / 8, box["y"] + box["height"] * (index // 8 + 0.5) / 16


def description(page):
    wait_for_frame(page)
    return page.locator(".transport .description").inner_text()


def kept(page):
    """Return a query patch that was kept, according to the labels for screen readers."""
    labels = page.locator("[data-grid=query] [role=gridcell]").evaluate_all("all => all.map((cell) => cell.ariaLabel)")
    return next(index for index, label in enumerate(labels) if "mass" in label and "no weight" not in label)


def painted_pixels(page):
    """Return the number of painted pixels on the canvas with the flows of the hovered patch."""
    return page.locator(".stage > canvas").last.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, at) => at % 4 === 3 && v).length"
    )


def open_patch_tab(page):
    open_tab(page, "Patch")
    page.locator("[data-grid=life]").wait_for(timeout=180_000)  # The encoder runs at 15 keep rates.
    settle(page)


def test_hovering_a_patch_draws_its_flows_and_their_totals(page):
    assert description(page).startswith(NOTHING)
    assert painted_pixels(page) == 0
    index = kept(page)
    page.mouse.move(*cell(page, "query", index))
    words = description(page)
    assert f"row {index // 8 + 1}, column {index % 8 + 1}" in words
    assert re.search(r"mass \d+\.\d\d % · mean cost \d\.\d{3} · \d+\.\d\d % of D_EMD", words)
    assert painted_pixels(page) > 1000
    page.mouse.move(*cell(page, "gallery", 60))
    assert description(page).startswith("Gallery patch, row 8, column 5")
    page.mouse.move(2, 2)
    assert description(page).startswith(NOTHING)


def test_the_contributions_of_all_patches_add_up_to_the_distance_shown(page):
    for side in ("query", "gallery"):
        labels = page.locator(f"[data-grid={side}] [role=gridcell]").evaluate_all("all => all.map((c) => c.ariaLabel)")
        parts = [float(found[1]) for label in labels if (found := re.search(r"D_EMD \((\d\.\d{4})\)", label))]
        together, distance = re.findall(r"\d\.\d{4}", page.locator(".transport .sum").inner_text())
        assert together == distance
        assert sum(parts) == pytest.approx(float(distance), abs=0.00005 * len(parts))
    assert f"{distance} (EMD)" in page.locator(".transport .distance").inner_text()


def test_arrow_keys_move_enter_pins_and_escape_unpins(page):
    query = grid(page, "query")
    query.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp", "End", "ArrowRight"):
        query.press(key)
    assert description(page).startswith("Query patch, row 2, column 8")
    assert query.get_attribute("aria-activedescendant") == "query-15"
    query.press("Enter")
    page.wait_for_url("**pin=q15")
    assert page.locator("[data-grid=query] [aria-selected=true]").get_attribute("id") == "query-15"
    query.press("Escape")
    page.wait_for_url(lambda address: "pin=" not in address)


def test_a_pin_survives_a_reload_and_another_setting(page, url):
    page.mouse.click(*cell(page, "gallery", 93))
    page.wait_for_url("**pin=g93")
    open_demo(page, page.url)
    assert description(page).startswith("Gallery patch, row 12, column 6 (pinned)")
    page.mouse.move(*cell(page, "query", kept(page)))
    assert description(page).startswith("Query patch")
    slider(page, "Patch-matching weight").press("ArrowRight")
    settle(page)
    page.mouse.move(2, 2)
    assert description(page).startswith("Gallery patch, row 12, column 6 (pinned)")


def test_a_gallery_pin_is_removed_with_its_image(page):
    page.mouse.click(*cell(page, "gallery", 93))
    page.wait_for_url("**pin=g93")
    settle(page)
    page.locator("[data-card^='distance/']").nth(2).click()
    page.wait_for_url(lambda address: "neighbor=" in address and "pin=" not in address)
    settle(page)
    assert description(page).startswith(NOTHING)


def test_all_flows_follow_their_threshold(page):
    page.get_by_label("Show all flows above a threshold").check()
    counted = page.locator(".threshold .faint", has_text="flows")
    few = int(re.search(r"(\d+) flows", counted.inner_text())[1])
    page.get_by_label("Threshold of all flows").press("End")
    wait_for_frame(page)
    assert int(re.search(r"(\d+) flows", counted.inner_text())[1]) > few


def test_a_tap_pins_a_patch(browser, url):
    phone = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = phone.new_page()
    open_demo(page, url)
    page.touchscreen.tap(*cell(page, "query", kept(page)))
    page.wait_for_url("**pin=q*")
    assert "(pinned)" in description(page)
    phone.close()


def test_a_pin_in_the_lifeline_is_a_pin_in_the_transport(page):
    open_patch_tab(page)
    life = grid(page, "life")
    page.mouse.click(*cell(page, "life", 44))
    page.wait_for_url("**pin=q44")
    settle(page)
    story = page.locator(".life .description").inner_text()
    assert story.startswith("Patch, row 6, column 5 (pinned)")
    assert re.search(r"(Dropped in|Never dropped; in) layer \d", story)
    assert life.locator("[aria-selected=true]").get_attribute("aria-label").endswith(story.split("\n")[1])
    open_tab(page, "Match")
    assert description(page).startswith("Query patch, row 6, column 5 (pinned)")


def test_scrubbing_shows_the_patches_that_enter_each_block(page):
    open_patch_tab(page)
    scrubber = page.get_by_role("slider", name="Layer", exact=True)
    entered = []
    for _ in range(12):
        scrubber.press("ArrowLeft")
    for block in range(12):
        wait_for_frame(page)
        text = scrubber.get_attribute("aria-valuetext")
        assert text.startswith(f"Layer {block}:")
        entered.append(int(re.search(r"(\d+) patches", text)[1]))
        scrubber.press("ArrowRight")
    assert entered == [128] * 4 + [103] * 3 + [83] * 3 + [67] * 2


def test_a_comparison_explains_itself_and_every_patch(page):
    index = kept(page)
    open_tab(page, "Why")
    story = page.locator(".margin .summary").inner_text()
    gap = re.match(r"#\d+ is closer than #\d+ by (\d\.\d{4}) in D:", story)[1]
    table = [row.split() for row in page.locator(".margin tbody tr").all_inner_texts()]
    assert table[2][:1] == ["difference"]
    assert table[2][3] == gap
    assert round(float(table[1][3]) - float(table[0][3]), 4) == float(gap)
    page.mouse.move(*cell(page, "margin", index))
    wait_for_frame(page)
    assert re.search(r"favours #\d+ by 0\.\d{5}", page.locator(".margin .description").inner_text())


def test_a_link_to_a_missing_patch_shows_a_message(page, url):
    open_demo(page, f"{url}/?pin=q128")
    assert page.get_by_test_id("stAlert").get_by_text("q128").is_visible()
    assert description(page).startswith(NOTHING)
