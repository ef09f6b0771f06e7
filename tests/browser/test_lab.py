"""The Lab in a browser: edit occluders by pointer, keyboard and touch, and check that masks and hits follow."""

import pytest

from tests.support.browser import captions, settle, until, visit, wait_for_frame

pytestmark = pytest.mark.browser


def open_lab(page, address):
    visit(page, address)
    page.get_by_text("Which image region matters most?").wait_for()
    settle(page)


@pytest.fixture
def lab(browser, url):
    """Return the Lab with one rectangle, which is selected."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_lab(page, f"{url}/lab")
    page.get_by_role("button", name="Rectangle", exact=True).click()
    settle(page)
    yield page
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.close()
    assert errors == []


def box_of(page, selector):
    while (box := page.locator(selector).bounding_box()) is None:  # The page is drawing an answer.
        page.wait_for_timeout(20)
    return box


def middle(page, selector):
    box = box_of(page, selector)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, selector, dx, dy):
    x, y = middle(page, selector)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=6)
    page.mouse.up()
    wait_for_frame(page)


def mask_pixels(page):
    """Return the pixels of all masks as data URIs."""
    return page.locator("[data-card^='masks/'] canvas").evaluate_all("all => all.map((mask) => mask.toDataURL())")


def description(page):
    return page.locator(".editor .description").inner_text()


def test_masks_follow_a_drag_hits_a_release_and_undo_restores_both(lab):
    before, hits = mask_pixels(lab), captions(lab, "final-occluded")
    x, y = middle(lab, "[data-shape='0']")
    lab.mouse.move(x, y)
    lab.mouse.down()
    lab.mouse.move(x + 20, y - 140, steps=10)
    until(lab, lambda: mask_pixels(lab) != before)
    assert mask_pixels(lab) != before
    assert captions(lab, "final-occluded") == hits
    lab.mouse.up()
    settle(lab)
    moved = mask_pixels(lab)
    assert captions(lab, "final-occluded") != hits
    lab.get_by_role("button", name="Undo").click()
    settle(lab)
    assert mask_pixels(lab) == before
    assert captions(lab, "final-occluded") == hits
    lab.keyboard.press("Control+y")
    settle(lab)
    assert mask_pixels(lab) == moved


def expect_description(lab, start, end=""):
    """Wait until the description in the editor starts and ends with these texts, and check it."""
    until(lab, lambda: description(lab).startswith(start) and description(lab).endswith(end))
    assert (description(lab)[: len(start)], description(lab)[len(description(lab)) - len(end) :]) == (start, end)


def test_keys_and_handles_move_grow_turn_and_delete_shapes(lab):
    at_first = "Rectangle, 1 of 2 · centre 50 % across, 50 % down · 60 % × 30 %"
    lab.get_by_role("button", name="Pole", exact=True).click()
    expect_description(lab, "Pole, 2 of 2")
    lab.keyboard.press("Shift+Tab")
    expect_description(lab, at_first)
    for key in ("ArrowRight", "ArrowRight", "+", "r"):
        lab.keyboard.press(key)
    expect_description(lab, "Rectangle, 1 of 2 · centre 54 % across, 50 % down · 66 % × 33 % · rotated 15°")
    lab.keyboard.press("PageUp")
    expect_description(lab, "Rectangle, 2 of 2")
    lab.keyboard.press("Delete")
    expect_description(lab, "Pole, 1 of 1")
    # Undo the deletion, the new order and the key presses, which count as several changes on a slow machine.
    for _ in range(6):
        lab.keyboard.press("Control+z")
        lab.wait_for_timeout(200)
        lab.locator("[data-shape='0']").focus()
        if description(lab) == at_first:
            break
    assert description(lab) == at_first
    settle(lab)  # Otherwise, an answer could move the page under the pointer.
    width = lab.locator(".table > svg").bounding_box()["width"]
    drag(lab, "[data-handle=se]", 0.2 * width, 0.2 * width)
    expect_description(lab, "Rectangle", "centre 60 % across, 55 % down · 80 % × 40 %")
    drag(lab, "[data-handle=turn]", 100, 40)
    assert "rotated" in description(lab)


def test_on_a_phone_a_finger_drags_and_paints_and_the_link_keeps_the_scene(browser, url):
    phone = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = phone.new_page()
    open_lab(page, f"{url}/lab")
    touch = phone.new_cdp_session(page)

    def scrolled():
        return page.get_by_test_id("stMain").evaluate("node => node.scrollTop")

    def swipe(x, y, dx, dy):
        before = scrolled()
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for part in (0.25, 0.5, 0.75, 1):
            point = {"x": x + part * dx, "y": y + part * dy}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert scrolled() == before
        settle(page)

    page.get_by_role("button", name="Rectangle", exact=True).tap()
    settle(page)
    page.locator("[data-shape='0']").scroll_into_view_if_needed()
    before = description(page)
    swipe(*middle(page, "[data-shape='0']"), 0, -80)
    assert description(page) != before
    page.get_by_role("button", name="Draw", exact=True).tap()
    page.locator("[data-act='stroke'][aria-pressed='true']").wait_for()
    page.locator("[data-shape='0']").scroll_into_view_if_needed()
    swipe(*middle(page, "[data-shape='0']"), 60, 90)
    line = page.locator("[data-shape='1'] path").get_attribute("d")
    assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
    open_lab(page, page.url)
    assert page.locator("[data-shape='1'] path").get_attribute("d") == line
    page.get_by_role("button", name="Reset", exact=True).tap()
    page.wait_for_url(lambda address: "scene=" not in address)
    phone.close()
