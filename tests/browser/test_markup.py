"""Hostile file names in a browser: none of them becomes an element, and none of their code runs."""

import pytest

from tests.support.browser import settle, visit
from tests.support.hostile_workspace import COLOUR, IMAGE, LINK, build_hostile_world
from tests.support.server import server

pytestmark = pytest.mark.browser
PAGES = ("Explore", "Learn", "Atlas", "Lab", "Compare", "Figures", "Data")  # Pages that show file names.
TRACES = """() => {
    const found = [], look = root => {
        for (const each of root.querySelectorAll("*")) {
            if (each.shadowRoot) look(each.shadowRoot);
            const there = each.getAttribute("src") ?? each.getAttribute("href") ?? "";
            if (each.hasAttribute("onerror") || there === "x" || there === "y" || there.startsWith("javascript:"))
                found.push(each.outerHTML.slice(0, 200));
        }
    };
    look(document);
    return found;
}"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return the address of an app that shows the hostile workspace."""
    places = build_hostile_world(tmp_path_factory.mktemp("hostile"))
    own = {
        "FPC_DATA": str(places.data),
        "FPC_WEIGHTS": str(places.weights),
        "FPC_MEMORY": str(places.memory),
        "FPC_CACHE": str(tmp_path_factory.mktemp("cache")),
        "FPC_ROOTS": str(places.data.parent),
    }
    with server(settings=own) as (address, _, _):
        yield address


def test_no_page_renders_a_name_as_an_element(browser, hostile):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    fired = []
    page.on("dialog", lambda dialog: (fired.append(dialog.message), dialog.dismiss()))
    visit(page, hostile)
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).first.click()
        page.locator(".stMarkdown, .stCaption", has_text="onerror=alert").first.wait_for()  # The name is shown as text.
        settle(page)
        assert page.evaluate(TRACES) == [], name
        assert page.locator("[data-testid='stMain'] .katex", has_text="LATEX").count() == 0, name
    visit(page, hostile)
    page.locator(".stFileUploader").first.wait_for()
    settle(page)  # A page that is still being drawn could lose the file.
    page.locator(".stFileUploader input[type=file]").first.set_input_files(
        {"name": f"{IMAGE}{LINK}{COLOUR}.png", "mimeType": "image/png", "buffer": b"no image"}
    )
    page.get_by_text("is not an image in a supported format").wait_for()
    settle(page)
    assert page.evaluate(TRACES) == []
    assert fired == []
    page.close()
