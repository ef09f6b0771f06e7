"""Steps that every browser test takes; the fixtures `browser`, `url` and `page` are in conftest.py."""


def settle(page):
    """Until the script has run to its end."""
    page.wait_for_timeout(400)
    page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")
    page.wait_for_timeout(200)


def open_demo(page, url):
    """Load the Explore page, to its last section."""
    page.set_default_timeout(60_000)
    page.goto(url)
    page.locator("[data-card^='heat/']").first.wait_for()
    settle(page)
