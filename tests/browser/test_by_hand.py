"""Pruning by hand in a browser: strokes, keys, undo, links, Back and other pages."""

import pytest

from tests.support.browser import open_demo, open_tab, settle, wait_for_frame

pytestmark = pytest.mark.browser
SHOWN = """() => {
  const root = [...document.querySelectorAll('.st-key-masks *')].map((node) => node.shadowRoot).find(Boolean);
  return root?.querySelector('.strips')?.editor?.painting.survived?.join("") ?? "";
}"""
ANSWERED = f"() => fpcLive.answer.match.survived.join('') === ({SHOWN})()"


def toggle(page):
    return page.get_by_role("button", name="Prune by hand", exact=True).first


def start(page):
    toggle(page).click()
    page.wait_for_function("fpcLive.answer.byHand")
    settle(page)


def stroke(page, grid, start, end):
    """Draw a line between two points of a mask, given as fractions of its width and height."""
    box = page.locator(f"[data-grid='{grid}']").bounding_box()
    (x, y), (to_x, to_y) = ((box["x"] + box["width"] * a, box["y"] + box["height"] * b) for a, b in (start, end))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to_x, to_y, steps=6)
    page.mouse.up()
    page.wait_for_function(ANSWERED)
    settle(page)


def distances(page):
    return page.evaluate("[...fpcLive.answer.match.dCos, ...fpcLive.answer.match.dEmd]")


def test_strokes_change_the_result_and_undo_restores_it_exactly(page):
    before = distances(page)
    start(page)
    assert distances(page) == before  # The model's own choice.
    stroke(page, "layer0", (0.3, 0.05), (0.7, 0.3))
    changed = page.evaluate(SHOWN)
    assert distances(page) != before
    stroke(page, "layer2", (0.3, 0.5), (0.6, 0.5))
    assert page.evaluate(SHOWN) != changed
    undo = page.get_by_role("button", name="Undo", exact=True)
    for _ in range(2):
        undo.click()
        page.wait_for_function(ANSWERED)
    settle(page)
    assert distances(page) == before
    assert undo.is_disabled()
    toggle(page).click()
    page.wait_for_function("!fpcLive.answer.byHand")
    settle(page)
    assert "given" not in page.url
    assert distances(page) == before


def test_keys_drop_a_patch_and_keep_all_equals_keep_rate_one(page):
    start(page)
    before = page.evaluate(SHOWN)
    grid = page.locator("[data-grid='all']")
    grid.focus()
    for key in ("ArrowDown", "ArrowRight", " "):
        grid.press(key)
    page.wait_for_function(ANSWERED)
    after = page.evaluate(SHOWN)
    assert [patch for patch in range(128) if before[patch] != after[patch]] == [9]
    page.keyboard.press("Control+z")
    page.wait_for_function(ANSWERED)
    assert page.evaluate(SHOWN) == before
    page.get_by_role("button", name="Keep all").click()
    page.wait_for_function(ANSWERED)
    settle(page)
    kept = distances(page)
    toggle(page).click()
    page.wait_for_function("!fpcLive.answer.byHand")
    settle(page)
    page.evaluate("fpcLive.commit({ gamma: 1 })")
    page.wait_for_function("fpcLive.answer.gamma === 1")
    assert distances(page) == kept


def test_reload_back_and_other_pages_restore_the_patches(page):
    start(page)
    stroke(page, "all", (0.3, 0.05), (0.7, 0.3))
    first, address = page.evaluate(SHOWN), page.url
    page.reload()
    page.wait_for_function(f"window.fpcLive?.answer?.byHand && ({ANSWERED})()")
    settle(page)
    assert page.evaluate(SHOWN) == first
    page.get_by_role("link", name="Lab").click()
    page.locator("[data-grid='layer0']").wait_for()
    settle(page)
    assert address.split("given=")[1].split("&")[0] in page.url
    page.go_back()
    page.wait_for_function(f"({SHOWN})() && ({ANSWERED})()")
    assert page.evaluate(SHOWN) == first


def test_the_tab_names_the_best_mask_and_all_fits_on_one_screen(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    open_demo(page, url)
    start(page)
    stroke(page, "layer0", (0.3, 0.05), (0.7, 0.3))
    open_tab(page, "By hand")
    page.locator("[data-strip='compared-masks'] .card").nth(2).wait_for()
    assert page.get_by_text("IoU with your mask").is_visible()
    assert page.get_by_text("does best:").is_visible()
    wait_for_frame(page)
    for where in ("[data-strip='masks'] .row", ".st-key-masks-panel", "[data-strip='final'] .row"):
        box = page.locator(where).bounding_box()
        assert box["y"] + box["height"] <= 720, where
    page.close()
