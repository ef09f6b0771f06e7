"""Helpers for tests that run a page without a browser. The fixture `small_world_in_use` is in conftest.py."""

import json
import time
import warnings
from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.server.cache import FILE_INFO, JOBS, RESULTS, WORKSPACES

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "app" / "pages"


def open_page(script):
    """Return a page for a new visitor, before the first run."""
    return AppTest.from_file(script, default_timeout=120)


def clear_caches():
    """Clear all caches, as a restart of the server does. Files on disk are not deleted."""
    for cache in (WORKSPACES, FILE_INFO, RESULTS, JOBS):
        cache.clear()


def run_page(page):
    """Run the page once, check that it shows no traceback, and return it."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # Streamlit's own threads emit warnings, which must not fail the test.
        page.run()
    assert not page.exception
    return page


def run_until(page, holds):
    """Run the page repeatedly, for at most a minute, until a condition holds, and return the page.

    Args:
        page: Page to run.
        holds: Function that receives the page and returns whether the condition holds.
    """
    for _ in range(600):
        if holds(run_page(page)):
            return page
        time.sleep(0.1)
    raise AssertionError(texts(page))


def wait_until_finished(page, words="Done: "):
    """Run the page until it shows these words, by default those of a finished background job."""
    return run_until(page, lambda page: words in texts(page))


def sent_to(app, component):
    """Return the data that the page has sent to each instance of a component."""
    mounted = (each.proto for each in app.get("bidi_component"))
    return [json.loads(proto.json) for proto in mounted if proto.component_name == f"fpc_{component}"]


def open_tab(app, name):
    """Open a tab of the details on Explore, and return the page."""
    app.session_state["tab"] = app.query_params["tab"] = name
    return run_page(app)


def alpha_shown(app):
    """Return the alpha with which Explore computes D of the selected hit."""
    ((_, alpha),) = (sent["distance"] for sent in sent_to(app, "transport"))
    return alpha


def texts(page):
    """Return all text of the page, with Markdown escapes as in the source."""
    kinds = (
        page.markdown,
        page.caption,
        page.header,
        page.subheader,
        page.title,
        page.warning,
        page.error,
        page.info,
        page.code,
    )
    return " ".join(each.value for kind in kinds for each in kind)
