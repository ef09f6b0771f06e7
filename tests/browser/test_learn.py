"""The Learn page in a browser: formulas, the strip of step 7, touch scrolling, presenter mode and keys."""

import re

import pytest

from fpc_core.lessons.course import STEPS
from tests.support.browser import move, settle, until, visit

pytestmark = pytest.mark.browser
HIDDEN = """() => Math.max(...[...document.querySelectorAll(".katex-display")].map((formula) =>
  Math.max(...[...formula.querySelectorAll(".base")].map((base) => base.getBoundingClientRect().right))
  - formula.getBoundingClientRect().right))"""


@pytest.mark.parametrize("step", [1, 3])  # The steps with the longest formulas.
def test_a_long_formula_wraps(browser, url, step):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    visit(page, f"{url}/learn?step={step}")
    page.locator(".katex-display").last.wait_for()
    settle(page)
    page.evaluate("() => document.fonts.ready")  # The fonts of formulas are loaded when they are first used.
    until(page, lambda: page.evaluate(HIDDEN) <= 1)
    assert page.evaluate(HIDDEN) <= 1  # In pixels.
    page.close()


def alpha_step(browser, url, **kwargs):
    page = browser.new_page(**kwargs)
    visit(page, f"{url}/learn?step=7")
    page.locator("[data-card^='distance/']").first.wait_for()
    settle(page)
    return page


def test_a_dimmed_strip_is_clear_again_after_its_answer(browser, url):
    page = alpha_step(browser, url, viewport={"width": 1280, "height": 900})
    move(page, "Keep rate", "ArrowLeft", 2)
    strip = page.locator("[data-strip='distance']")
    assert strip.locator(".card").count()
    assert "stale" not in strip.get_attribute("class")
    page.close()


def swipe(page, locator, share, down):
    """Swipe on an element by touch, and return by how many pixels the page has moved.

    Args:
        page: Page with touch support.
        locator: Element on which the swipe starts.
        share: Horizontal start position, as a share of the element's width.
        down: Length of the swipe in pixels; negative to swipe up.
    """
    box, touches = locator.bounding_box(), page.context.new_cdp_session(page)
    x, y = box["x"] + share * box["width"], box["y"] + box["height"] / 2
    for at in range(11):
        touch = {"touchPoints": [{"x": x, "y": y + down * at / 10}]}
        touches.send("Input.dispatchTouchEvent", {"type": "touchMove" if at else "touchStart", **touch})
        page.wait_for_timeout(16)
    touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)
    return locator.bounding_box()["y"] - box["y"]


def test_scrolling_by_touch_moves_neither_alpha_nor_a_slider(browser, url):
    page = alpha_step(browser, url, viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    lines = page.locator(".alpha-chart svg")
    lines.evaluate("node => node.scrollIntoView({ block: 'center' })")
    assert swipe(page, lines, 0.85, 150) > 50
    page.get_by_test_id("stExpandSidebarButton").click()
    alpha = page.locator("#slider-alpha")
    alpha.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # The sidebar opens with an animation.
    assert abs(swipe(page, alpha, 0.85, -300)) > 50
    settle(page)
    assert page.evaluate("fpcLive.view.alpha") == 0.4
    assert "alpha" not in page.url
    page.close()


def test_a_presented_lesson_fits_a_projector_at_every_step(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    visit(page, f"{url}/learn?present=1")
    for step in range(1, len(STEPS) + 1):
        page.get_by_text(f"Step {step} of {len(STEPS)}").wait_for()
        settle(page)
        page.keyboard.press("1")  # Choose the first answer of the question.
        page.locator(".stMarkdown", has_text=re.compile(r"^(Right\.|It is:)")).last.wait_for()
        settle(page)
        assert page.get_by_test_id("stMain").evaluate("all => all.scrollHeight - all.clientHeight") == 0, step
        page.keyboard.press("ArrowRight")
    page.close()


def test_a_clicker_changes_the_step_and_keys_change_query_and_alpha(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    visit(page, f"{url}/learn?present=1")
    page.get_by_text(f"Step 1 of {len(STEPS)}").wait_for()
    settle(page)
    for key, step in (("PageDown", 2), (" ", 3), ("PageUp", 2)):
        page.keyboard.press(key)
        page.get_by_text(f"Step {step} of {len(STEPS)}").wait_for()
        settle(page)
    page.keyboard.press("n")
    page.wait_for_url("**query=*")
    settle(page)
    page.keyboard.press("a")
    page.keyboard.press("End")
    page.wait_for_url("**alpha=1*")
    page.close()
