"""A short random walk finds no error. Run a longer one with `python -m tests.load.random_walk`."""

import pytest

from tests.load.random_walk import Walk, traceback_in, walk

pytestmark = pytest.mark.browser


def test_a_short_random_walk_meets_no_error(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    taken, error = walk(page, url, seed=3, actions=20, wait_each=True)
    page.close()
    assert error == "", list(taken.actions)
    assert taken.counts.total() == 20
    assert taken.missed < 15


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("console.error('a component failed')", "the browser's console: a component failed"),
        ("setTimeout(() => { throw new Error('thrown') })", "uncaught: thrown"),
        (
            "const box = document.body.appendChild(document.createElement('p'));"
            "box.dataset.testid = 'stException'; box.innerText = 'boom'",
            "an exception on the page: boom",
        ),
    ],
)
def test_a_walk_reports_errors_of_browser_and_page(browser, url, script, words):
    page = browser.new_page()
    taken = Walk(page, url, 1)
    assert taken.error == ""
    page.evaluate(f"() => {{ {script} }}")
    page.wait_for_timeout(100)
    assert words in taken.error
    page.close()


def test_a_walk_reports_a_traceback_in_the_log(tmp_path):
    (tmp_path / "log").write_text("all is well\n")
    assert traceback_in(tmp_path / "log") == ""
    (tmp_path / "log").write_text("Traceback (most recent call last)\n  File\nValueError: boom\n")
    assert "ValueError: boom" in traceback_in(tmp_path / "log")
