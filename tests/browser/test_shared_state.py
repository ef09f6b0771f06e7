"""Query, settings and selection survive page changes, Back, Forward and a reload, and are part of a shared link."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.browser import TRACK_MESSAGES, move, open_demo, settle, slider, visit

pytestmark = pytest.mark.browser

STATE = {"gamma": ["0.7"], "alpha": ["0.5"], "k": ["7"], "drop": ["random"], "variant": ["paper"]}
PAGES = {
    "Learn": ("", STATE.keys()),
    "Sweep": ("s_", ("drop", "variant")),
    "Evaluate": ("e_", STATE.keys()),
    "Atlas": ("at_", STATE.keys()),
    "Lab": ("l_", STATE.keys()),
}


def params(page):
    return parse_qs(urlsplit(page.url).query)


def expected(name):
    prefix, names = PAGES[name]
    return {f"{prefix}{each}": STATE[each] for each in names}


def go(page, name):
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_url(lambda address: urlsplit(address).path == ("/" if name == "Explore" else f"/{name.lower()}"))
    settle(page)


def edit(page, side, label, key):
    """Press a key on a slider of one side of Compare."""
    page.get_by_role("button", name=f"Edit {side}", exact=True).click()
    thumb = page.get_by_role("slider", name=label)
    thumb.focus()
    thumb.press(key)
    page.wait_for_timeout(400)  # Streamlit's slider waits before it sends a value.
    settle(page)
    page.keyboard.press("Escape")


@pytest.fixture
def opened(browser):
    """Return a page of another visitor, which can open any page directly."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(TRACK_MESSAGES)
    yield page
    page.close()


@pytest.fixture
def changed(page):
    """Return Explore with the settings in STATE, which are not the defaults."""
    move(page, "Keep rate γ", "ArrowLeft", 2)
    settle(page)
    move(page, "Patch-matching weight α", "ArrowRight", 10)
    settle(page)
    move(page, "Neighbours K", "ArrowLeft", 3)
    settle(page)
    page.get_by_role("radio", name="random").click()
    settle(page)
    page.get_by_role("radio", name="paper").click()
    settle(page)
    assert params(page).items() >= STATE.items()
    return page


def test_settings_survive_every_page_back_forward_and_reload(changed):
    page = changed
    for name in PAGES:
        go(page, name)
        assert params(page).items() >= expected(name).items(), name
    go(page, "Figures")
    go(page, "Explore")
    assert params(page).items() >= STATE.items()
    for name in ("Figures", "Lab"):
        page.go_back()
        page.wait_for_url(lambda address, name=name: urlsplit(address).path == f"/{name.lower()}")
        settle(page)
    assert params(page).items() >= expected("Lab").items()
    page.go_forward()
    page.go_forward()
    page.wait_for_url(lambda address: urlsplit(address).path == "/")
    settle(page)
    page.reload()
    settle(page)
    assert params(page).items() >= STATE.items()
    assert page.get_by_role("slider", name="Keep rate γ").input_value() == "0.7"


def test_back_from_explore_returns_to_the_settings_of_the_page_before(changed):
    page = changed
    go(page, "Evaluate")
    go(page, "Explore")
    page.go_back()
    page.wait_for_url(lambda address: urlsplit(address).path == "/evaluate")
    settle(page)
    assert params(page).items() >= expected("Evaluate").items()


def test_a_link_opens_the_same_state_in_another_browser(changed, browser):
    go(changed, "Lab")
    other = browser.new_context().new_page()
    visit(other, changed.url)
    settle(other)
    assert params(other).items() >= expected("Lab").items()
    go(other, "Explore")
    assert params(other).items() >= STATE.items()
    other.close()


def test_a_change_on_the_lab_reaches_explore(page, url):
    open_demo(page, url)
    go(page, "Lab")
    page.get_by_role("radio", name="salient", exact=True).click()
    settle(page)
    go(page, "Explore")
    assert params(page)["drop"] == ["salient"]
    assert page.get_by_role("radio", name="salient", exact=True).is_checked()


def test_side_a_of_compare_is_what_explore_shows(changed, opened):
    page = changed
    go(page, "Compare")
    assert params(page).items() >= {f"a_{name}": values for name, values in STATE.items()}.items()
    assert page.get_by_text("A γ 0.7 · α 0.5 · K 7 · paper · random").is_visible()
    edit(page, "A", "Keep rate γ", "ArrowLeft")
    assert params(page)["a_gamma"] == ["0.65"]
    edit(page, "B", "Patch-matching weight α", "ArrowRight")
    go(page, "Explore")
    assert params(page).items() >= (STATE | {"gamma": ["0.65"]}).items()
    assert slider(page, "Keep rate γ").input_value() == "0.65"
    go(page, "Compare")
    opened.goto(page.url)  # Like a reload, but on a page whose console is not checked.
    settle(opened)
    assert params(opened).items() >= {"a_gamma": ["0.65"], "b_alpha": ["0.41"]}.items()
    assert opened.get_by_text("A γ 0.65 · α 0.5 · K 7 · paper · random").is_visible()


def test_a_choice_on_compare_is_one_step_back(page, url):
    open_demo(page, url)
    go(page, "Compare")
    opened = page.url
    page.get_by_role("radio", name="α 0 | 0.4").click()
    settle(page)
    preset = page.url
    assert params(page).items() >= {"a_alpha": ["0"]}.items() or params(page)["a_alpha"] == ["0.0"]
    edit(page, "B", "Keep rate γ", "ArrowLeft")
    assert params(page)["b_gamma"] == ["0.75"]
    for address, sides in ((preset, "α 0 "), (opened, "γ 0.8 · α 0.4")):
        page.go_back()
        page.wait_for_url(address)
        settle(page)
        assert page.get_by_text(f"A γ 0.8 · {sides.removeprefix('γ 0.8 · ')}").first.is_visible()
    page.go_back()
    page.wait_for_url(lambda address: urlsplit(address).path == "/")
    settle(page)
    for address in (opened, preset):
        page.go_forward()
        page.wait_for_url(address)
        settle(page)


def test_links_to_compare_of_release_0_1_keep_their_meaning(opened, url):
    opened.goto(f"{url}/compare?b_alpha=0.2")
    settle(opened)
    opened.get_by_text("A γ 1 · α 0.4 · K 10").wait_for()
    assert opened.get_by_text("B γ 0.8 · α 0.2 · K 10").is_visible()
    opened.goto(f"{url}/compare?a_alpha=0.1&c_query=query/0002_c1_f0000102.jpg")
    settle(opened)
    opened.get_by_text("A γ 1 · α 0.1 · K 10").wait_for()
    go(opened, "Explore")
    assert float(params(opened)["gamma"][0]) == 1
    assert params(opened).items() >= {"alpha": ["0.1"], "query": ["query/0002_c1_f0000102.jpg"]}.items()


def test_reset_restores_the_values_of_the_paper(changed):
    page = changed
    page.get_by_role("button", name="Reset to the paper's values").click()
    page.wait_for_function("location.search === '' || !/gamma|alpha|k=|drop|variant/.test(location.search)")
    settle(page)
    values = [slider(page, name).input_value() for name in ("Keep rate γ", "Patch-matching weight α", "Neighbours K")]
    assert values == ["0.8", "0.4", "10"]
    assert page.get_by_role("radio", name="non-salient").is_checked()
    assert page.get_by_role("radio", name="released", exact=True).first.is_checked()
    assert page.get_by_role("button", name="Reset to the paper's values").is_disabled()


def test_a_tick_marks_the_value_of_the_paper(page):
    track, tick = slider(page, "Keep rate γ").bounding_box(), page.locator(".tick").first.bounding_box()
    share = (tick["x"] + tick["width"] / 2 - track["x"] - 8) / (track["width"] - 16)
    assert share == pytest.approx((0.8 - 0.3) / 0.7, abs=0.01)


def test_the_style_of_dropped_patches_holds_on_all_pages(page, url):
    def masks(strip):
        return page.locator(f"[data-card^='{strip}/'] canvas").last.evaluate("canvas => canvas.toDataURL()")

    open_demo(page, url)
    hatched = masks("masks")
    page.get_by_role("button", name="Legend").click()
    page.get_by_role("radio", name="outline").click()
    settle(page)
    outlined = masks("masks")
    assert outlined != hatched
    for name in ("Learn", "Lab", "Compare", "Figures"):
        go(page, name)
        assert params(page)["pruned"] == ["outline"], name
    go(page, "Explore")
    assert masks("masks") == outlined
