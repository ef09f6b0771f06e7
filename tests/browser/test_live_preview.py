"""Live views during a drag: the browser draws them without messages to the server, and as the server does later."""

from dataclasses import replace

import numpy as np
import pytest

from fpc_core.matching.ranking import swap_alphas
from fpc_core.results import Shortlist
from tests.support.browser import captions, dragging, move, open_demo, open_tab, order, settle, slider, wait_for_frame

pytestmark = pytest.mark.browser


@pytest.fixture
def frames(browser):
    """Return a page that records its WebSocket frames in `frames_seen`."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.frames_seen = []

    def listen(socket):
        socket.on("framesent", lambda frame: page.frames_seen.append(("sent", len(frame))))
        socket.on("framereceived", lambda frame: page.frames_seen.append(("received", len(frame))))

    page.on("websocket", listen)
    yield page
    page.close()


def wait_for_all_keep_rates(page):
    """Wait until the background jobs have computed the results of the query at every keep rate."""
    page.wait_for_function(
        "window.fpcLive?.grid && fpcLive.pairs && fpcLive.grid.key === fpcLive.answer.key"
        " && fpcLive.pairs.key === fpcLive.answer.key",
        timeout=240_000,
    )
    settle(page)


def visible_rows(retriever, record, indices, count):
    """Return the first gallery rows that the page shows of an order, which are those that are not junk.

    Args:
        retriever: Retriever of the demo.
        record: Record of the query.
        indices: Gallery rows in order.
        count: Number of rows to return.
    """
    records = retriever.memory.records
    junk = {row for row in indices if (records[row].identity, records[row].camera) == (record.identity, record.camera)}
    return [row for row in indices if row not in junk][:count]


def test_dragging_alpha_reorders_cards_without_a_server_message(frames, url):
    page = frames
    open_demo(page, url)
    wait_for_all_keep_rates(page)
    before, by_cosine = order(page, "distance"), order(page, "cosine")
    page.frames_seen.clear()
    with dragging(page, "Patch-matching weight", 1.0):
        assert page.frames_seen == []
        during = order(page, "distance")
        assert during != before
        assert order(page, "cosine") == by_cosine
        assert "α = 1" in page.locator("[data-strip='distance'] .head").inner_text()
        assert "Release the slider to update this row" in page.locator("[data-strip='final'] .head").inner_text()
        assert "alpha" not in page.url
    assert "alpha=1" in page.url
    assert order(page, "distance") == during
    assert "Release the slider" not in page.locator("[data-strip='final'] .head").inner_text()


def test_the_browser_ranks_as_the_core_does_at_every_alpha_and_swap(page, matched):
    retriever, _, match, record = matched
    sent = page.evaluate("() => ['indices', 'dCos', 'dEmd'].map((name) => [...fpcLive.answer.match[name]])")
    rows, d_cos, d_emd = (np.array(each, kind) for each, kind in zip(sent, (int, np.float32, np.float32), strict=True))
    assert rows.tolist() == match.shortlist.indices.tolist()
    np.testing.assert_allclose(d_cos, match.shortlist.d_cos, atol=1e-6)
    np.testing.assert_allclose(d_emd, match.transport.distance, atol=1e-6)
    # At a swap two distances are equal except for rounding, so the core must rank the same values as the browser.
    match = replace(match, shortlist=Shortlist(rows, d_cos), transport=replace(match.transport, distance=d_emd))
    swaps = [swap.alpha for swap in swap_alphas(d_cos, d_emd, top=10)]
    assert len(swaps) > 5
    for alpha in [*(step / 20 for step in range(21)), *swaps]:
        page.evaluate("alpha => window.fpcLive.preview({ alpha })", alpha)
        wait_for_frame(page)
        expected = visible_rows(retriever, record, retriever.by_distance(match, alpha).indices.tolist(), 10)
        assert order(page, "distance") == [f"distance/{row}" for row in expected], alpha


def test_a_card_shows_its_rank_change_against_cosine_alone(page):
    by_cosine = [name.removeprefix("cosine/") for name in order(page, "cosine")]
    titles = page.locator("[data-card^='distance/'] .caption .title").all_inner_texts()
    for place, (name, title) in enumerate(zip(order(page, "distance"), titles, strict=True), start=1):
        row = name.removeprefix("distance/")
        if row in by_cosine:
            moved = by_cosine.index(row) + 1 - place
            arrow = f" ↑{moved}" if moved > 0 else f" ↓{-moved}" if moved < 0 else ""
            assert title == f"{place}{arrow}"
        else:
            assert " ↑" in title


def test_dragging_k_moves_the_decoder_marks(page):
    def tagged():
        return page.locator("[data-card^='distance/'] .tag").evaluate_all(
            "tags => tags.filter(tag => !tag.hidden).length"
        )

    with dragging(page, "Neighbours K", 0.0):
        assert tagged() == 1
    assert "k=1" in page.url
    head = page.locator("[data-strip='final'] .head").inner_text()
    assert head.startswith("3. Final ranking after feature consolidation (K = 1)")


def test_a_slider_is_moved_by_keyboard_and_has_help(page):
    move(page, "Patch-matching weight", "ArrowRight", 3)
    assert "alpha=0.43" in page.url
    assert slider(page, "Patch-matching weight").get_attribute("aria-valuetext") == "0.43"
    page.get_by_role("button", name="What is Keep rate γ?").click()
    assert page.get_by_text("Fraction of patches kept at each of the three pruning layers").is_visible()


def test_an_answer_during_key_presses_reverts_none_of_them(page):
    thumb = slider(page, "Patch-matching weight")
    thumb.press("Home")
    settle(page)
    thumb.press("ArrowRight")
    page.wait_for_timeout(200)  # Long enough to count as a release, which the server answers.
    for _ in range(60):
        thumb.press("ArrowRight")
        page.wait_for_timeout(30)  # Too short to count as a release.
    wait_for_frame(page)
    assert thumb.get_attribute("aria-valuetext") == "0.61"
    page.wait_for_timeout(200)
    settle(page)
    assert "alpha=0.61" in page.url
    assert "α = 0.61" in page.locator("[data-strip='distance'] .head").inner_text()


def test_two_tabs_never_see_each_others_sliders(browser, url):
    first, second = (browser.new_page(viewport={"width": 1280, "height": 1000}) for _ in range(2))
    for page in (first, second):
        open_demo(page, url)
    untouched = captions(second, "distance")
    move(first, "Patch-matching weight", "End", 1)
    move(first, "Neighbours K", "Home", 1)
    move(second, "Keep rate", "Home", 1)
    move(second, "Keep rate", "End", 1)
    move(second, "Keep rate", "ArrowLeft", 4)
    assert captions(second, "distance") == untouched
    assert "alpha" not in second.url
    assert "alpha=1" in first.url
    assert "gamma" not in first.url
    first.close()
    second.close()


def test_dragging_the_keep_rate_updates_views_without_a_server_message(frames, url):
    page = frames
    open_demo(page, url)
    wait_for_all_keep_rates(page)
    assert page.get_by_text("Live: updates while you drag").is_visible()

    def sums():
        return page.locator(".st-key-transport .sum").inner_text()

    masks, ranks, emd = captions(page, "masks"), captions(page, "distance"), sums()
    page.frames_seen.clear()
    with dragging(page, "Keep rate", 0.0):
        assert page.frames_seen == []
        during = captions(page, "masks"), captions(page, "distance"), sums()
        assert "39 kept" in during[0][1]  # ceil(0.3 * 128)
        assert all(now != before for now, before in zip(during, (masks, ranks, emd), strict=True))
        assert "gamma" not in page.url
    assert "gamma=0.3" in page.url
    assert (captions(page, "masks"), captions(page, "distance")) == during[:2]


def test_a_keep_rate_off_the_grid_is_answered_by_the_server(page):
    masks = captions(page, "masks")
    page.evaluate("window.fpcLive.commit({ gamma: 0.33 })")
    page.wait_for_function("fpcLive.answer.gamma === 0.33")
    settle(page)
    assert "gamma=0.33" in page.url
    assert captions(page, "masks") != masks
    assert "43 kept" in captions(page, "masks")[1]  # ceil(0.33 * 128)


def test_a_click_on_a_swap_sets_alpha_exactly(page):
    open_tab(page, "Alpha")
    ring = page.locator(".st-key-alpha-chart circle.ring").first
    ring.scroll_into_view_if_needed()
    alpha = float(ring.get_attribute("data-alpha"))
    box = ring.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    settle(page)
    assert f"alpha={alpha}" in page.url
    assert page.evaluate("fpcLive.answer.alpha") == alpha


def test_an_answer_during_a_chart_drag_does_not_end_the_drag(page):
    open_tab(page, "Alpha")
    chart = page.locator(".st-key-alpha-chart svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    answered = page.evaluate("fpcLive.answer.gamma")
    slider(page, "Keep rate").press("ArrowRight" if answered < 0.7 else "ArrowLeft")
    page.wait_for_timeout(200)  # Long enough to count as a release.
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    page.mouse.down()
    dragged_alpha = page.evaluate("fpcLive.view.alpha")
    settle(page)
    assert page.evaluate("fpcLive.answer.gamma") != answered
    assert dragged_alpha > 0.5
    assert page.evaluate("fpcLive.view.alpha") == dragged_alpha
    page.mouse.up()
    settle(page)
    assert page.evaluate("fpcLive.answer.alpha") == dragged_alpha


@pytest.mark.parametrize("where", ["#slider-alpha", ".st-key-alpha-chart svg"])
def test_another_mouse_button_starts_no_drag(page, where):
    open_tab(page, "Alpha")
    element = page.locator(where)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    page.mouse.down(button="right")
    wait_for_frame(page)
    assert not page.evaluate("fpcLive.isDragging")
    assert page.evaluate("fpcLive.view.alpha") == page.evaluate("fpcLive.answer.alpha")


def test_the_keyboard_moves_alpha_from_swap_to_swap(page):
    open_tab(page, "Alpha")
    swaps = page.evaluate("fpcLive.answer.match.swaps.map(([alpha]) => alpha)")
    chart = page.get_by_role("slider", name="in a chart of D")
    chart.focus()
    chart.press("PageUp")
    settle(page)
    assert page.evaluate("fpcLive.answer.alpha") == min(swap for swap in swaps if swap > 0.4)
    assert chart.get_attribute("aria-valuetext").startswith("α ")


def test_cards_do_not_animate_with_reduced_motion(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    open_demo(page, url)
    with dragging(page, "Patch-matching weight", 1.0):
        moving = "cards => cards.flatMap(card => card.getAnimations()).length"
        assert page.locator("[data-card^='distance/']").evaluate_all(moving) == 0
    page.close()
