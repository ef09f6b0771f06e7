"""The Learn page in Chromium: its formulas are seen whole."""

import pytest

from tests.browsing import settle

pytestmark = pytest.mark.browser
HIDDEN = """() => Math.max(...[...document.querySelectorAll(".katex-display")].map((formula) =>
  Math.max(...[...formula.querySelectorAll(".base")].map((base) => base.getBoundingClientRect().right))
  - formula.getBoundingClientRect().right))"""


@pytest.mark.parametrize("step", [1, 3])  # those with the longest formulas
def test_a_long_formula_goes_on_in_the_next_line(browser, url, step):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(f"{url}/learn?step={step}")
    page.locator(".katex-display").last.wait_for()
    settle(page)
    assert page.evaluate(HIDDEN) <= 1  # pixel
    page.close()
