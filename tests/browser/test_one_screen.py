"""The layout of Explore: it fits on one screen, follows sliders during a drag, and works on a phone and by keyboard."""

import pytest

from fpc_core.data.datasets import open_dataset
from fpc_core.data.ground_truth import true_masks
from fpc_core.explain.patch_contents import drop_shares, patch_areas
from fpc_core.workspace import Places
from tests.support.browser import dragging, open_demo, open_tab, settle

pytestmark = pytest.mark.browser
PARTS = {
    "query strip": "[data-strip='queries'] .row",
    "masks": "[data-strip='masks'] .row",
    "sliders": ".st-key-sliders .sliders",
    "ranking by cosine": "[data-strip='cosine'] .row",
    "ranking by D": "[data-strip='distance'] .row",
    "final ranking": "[data-strip='final'] .row",
    "transport plan": ".st-key-transport .stage",
}


@pytest.mark.parametrize("size", [(1440, 900), (1280, 720)])
def test_everything_is_visible_without_scrolling(browser, url, size):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    open_demo(page, url)
    for name, where in PARTS.items():
        box = page.locator(where).bounding_box()
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= size[1], name
        assert box["x"] + box["width"] <= size[0], name
    for strip in ("cosine", "distance", "final"):
        row, last = (page.locator(f"[data-strip='{strip}'] {part}") for part in (".row", ".card >> nth=9"))
        right, end = (box["x"] + box["width"] for box in (last.bounding_box(), row.bounding_box()))
        assert right <= end, strip
    page.close()


@pytest.mark.parametrize("tab", ["Match", "Why", "Decoder", "Query map", "Alpha", "Patch", "By hand"])
def test_no_tab_makes_the_page_taller_than_1000_px(browser, url, tab):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    open_demo(page, f"{url}/?tab={tab.replace(' ', '+')}")
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollHeight") <= 1000
    page.close()


def test_the_open_tab_and_its_choices_survive_other_tabs_and_a_reload(page):
    open_tab(page, "Decoder")
    page.get_by_role("combobox", name="Heat map").click()
    page.get_by_role("option", name="HiResCAM").click()
    settle(page)
    open_tab(page, "Match")
    open_tab(page, "Decoder")
    assert page.get_by_role("combobox", name="Heat map").input_value() == "HiResCAM"
    page.reload()
    settle(page)
    assert page.get_by_role("tab", name="Decoder").get_attribute("aria-selected") == "true"
    assert page.get_by_role("combobox", name="Heat map").input_value() == "HiResCAM"


def test_sentences_follow_the_sliders_during_a_drag(page):
    def sentences():
        return page.locator(".masks .story").inner_text(), page.locator(".transport .distance").inner_text()

    page.wait_for_function("fpcLive.grid?.key === fpcLive.answer.key", timeout=240_000)
    before = sentences()
    with dragging(page, "Keep rate", 0.0):
        dropped, _ = sentences()
        assert dropped.startswith("124 of 128 patches were dropped")  # 4 = ceil(0.3 * 12), 12 = ceil(0.3 * 39)
        assert dropped != before[0]
    with dragging(page, "Patch-matching weight", 1.0):
        assert sentences()[1].startswith("D = 0.00 × ")


def test_the_sentence_on_dropped_patches_agrees_with_the_core(page, matched):
    retriever, encoding, _, record = matched
    dataset = open_dataset(Places().data)
    person, occluder = patch_areas(true_masks(dataset)[record.path], retriever.model.config)
    shares = [each for each in drop_shares(encoding, person, occluder) if each.dropped]
    total = sum(each.dropped for each in shares)
    assert page.locator(".masks .story").inner_text().startswith(f"{total} of 128 patches were dropped")
    for name in ("occluder", "person", "background"):
        mean = sum(each.dropped * getattr(each.of_dropped, name) for each in shares) / total
        assert f"{name} {mean:.0%}".replace("-0%", "0%") in page.locator(".masks .story").inner_text()


def test_a_phone_shows_masks_one_ranking_and_sliders_at_once(browser, url):
    phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    open_demo(page, url)
    visible = [each for each in ("cosine", "distance", "final") if page.locator(f"[data-strip='{each}']").is_visible()]
    assert visible == ["final"]
    page.get_by_role("button", name="Cosine").tap()
    page.locator("[data-strip='cosine']").wait_for()
    assert not page.locator("[data-strip='final']").is_visible()
    page.locator(".st-key-transport .stage").scroll_into_view_if_needed()
    masks, sliders = (page.locator(PARTS[name]).bounding_box() for name in ("masks", "sliders"))
    assert masks["y"] >= 0
    assert masks["y"] + masks["height"] <= sliders["y"]
    assert sliders["y"] + sliders["height"] <= 844
    phone.close()


def test_keys_select_queries_sliders_and_tabs(page):
    before = page.locator("[data-card^='queries/'][aria-pressed='true']").get_attribute("data-card")
    page.keyboard.press("n")
    page.wait_for_function(
        "before => "
        "![...document.querySelectorAll('.st-key-query-cards *')].some((node) => "
        "node.shadowRoot?.querySelector(`[data-card='${before}'][aria-pressed='true']`))",
        arg=before,
    )
    settle(page)
    page.keyboard.press("p")
    page.locator(f"[data-card='{before}'][aria-pressed='true']").wait_for()
    settle(page)
    page.keyboard.press("a")
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    settle(page)
    assert "alpha=1" in page.url
    page.keyboard.press("3")
    settle(page)
    assert page.get_by_role("tab", name="Decoder").get_attribute("aria-selected") == "true"


def test_a_question_mark_lists_the_shortcuts_and_escape_closes_them(page):
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    dialog.wait_for()
    for text in ("Next query", "Move α with the arrow keys", "Open Decoder"):
        assert dialog.get_by_text(text).is_visible()
    page.keyboard.press("n")  # Shortcuts have no effect while the dialog is open.
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert "query=" not in page.url


def test_letters_can_be_switched_off_as_shortcuts(page):
    for works in (False, True):
        page.keyboard.press("?")
        page.get_by_role("checkbox", name="Letters and digits work as shortcuts").set_checked(works)
        page.keyboard.press("Escape")
        page.reload()
        page.locator("[data-card^='final/']").first.wait_for()
        settle(page)
        page.keyboard.press("3")
        settle(page)
        assert (page.get_by_role("tab", name="Decoder").get_attribute("aria-selected") == "true") is works


def test_letters_in_a_text_field_are_no_shortcuts(page):
    page.get_by_role("combobox", name="Query").click()
    page.keyboard.type("n1")
    settle(page)
    assert "query=" not in page.url
    page.keyboard.press("Escape")


def test_each_strip_has_one_tab_stop_with_arrow_keys_inside(page):
    for strip in ("queries", "cosine", "distance", "final"):
        cards = page.locator(f"[data-card^='{strip}/']")
        stops = cards.evaluate_all(
            "cards => cards.filter((card) => card.tabIndex === 0).map((card) => card.ariaPressed)"
        )
        assert len(stops) == 1, strip
    first = page.locator("[data-card^='distance/'][tabindex='0']")
    first.focus()
    page.keyboard.press("End")
    last = page.locator("[data-card^='distance/']").last
    assert last.get_attribute("tabindex") == "0"
    assert last.evaluate("card => card.getRootNode().activeElement === card")
    page.keyboard.press("Enter")
    settle(page)
    assert f"neighbor={last.get_attribute('data-card').removeprefix('distance/')}" in page.url


def test_the_tour_has_three_steps_and_can_be_left(page):
    card = page.get_by_role("dialog", name="Tour")
    page.get_by_role("button", name="Tour").click()
    for step in ("1 of 3", "2 of 3", "3 of 3"):
        assert card.get_by_text(step).is_visible()
        box = card.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
        card.get_by_role("button", name="Done" if step == "3 of 3" else "Next").click()
    card.wait_for(state="hidden")
    page.get_by_role("button", name="Tour").click()
    page.keyboard.press("n")
    page.keyboard.press("Escape")
    card.wait_for(state="hidden")
    assert "query=" not in page.url


def test_slider_moves_and_another_hit_barely_shift_the_layout(page):
    page.evaluate(
        """() => {
          window.shifts = 0;
          const add = (list) => list.getEntries().forEach((entry) => { window.shifts += entry.value; });
          new PerformanceObserver(add).observe({ type: "layout-shift" });
        }"""
    )
    for action in (
        lambda: page.evaluate("fpcLive.commit({ gamma: 0.5 })"),
        lambda: page.evaluate("fpcLive.commit({ alpha: 0.7 })"),
        page.locator("[data-card^='distance/'][aria-pressed='false']").first.click,
    ):
        page.evaluate("window.shifts = 0")
        action()
        page.wait_for_timeout(300)
        settle(page)
        assert page.evaluate("window.shifts") < 0.1
