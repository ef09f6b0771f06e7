"""The Evaluate page in a browser: compute the curves of Fig. 4, open a recipe and its settings in Explore."""

import pytest

from tests.support.browser import settle

pytestmark = pytest.mark.browser


def test_a_figure_fills_in_and_a_recipe_leads_to_explore(page):
    page.get_by_role("link", name="Evaluate").click()
    page.get_by_text("How accurate is it").wait_for()
    settle(page)
    for name in ("1", "2", "3", "4", "5", "6", "7"):
        page.get_by_role("button", name=f"Table {name}", exact=True).click()
    settle(page)
    assert page.locator("table").count() == 2
    page.get_by_role("button", name="Start").click()
    page.get_by_text("steps").filter(has_text="left").first.wait_for()
    page.get_by_text("Done: ").wait_for(timeout=300_000)
    settle(page)
    # Rank-1 and mAP at each of 11 alphas and 8 values of K.
    assert page.locator("td.ours .bar").count() == 2 * (11 + 8)
    page.get_by_role("button", name="recipe of 0.7").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("python -m fpc_core evaluate --recipe recipe.json").wait_for()
    dialog.get_by_role("button", name="Open in Explore").click()
    page.locator("[data-card^='final/']").first.wait_for()
    settle(page)
    assert "alpha=0.7" in page.url
    assert "/evaluate" not in page.url
