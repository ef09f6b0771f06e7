"""Page headings, and the CSS files of `app/styles`, for what Streamlit's theme settings cannot express."""

import base64
from pathlib import Path

import streamlit as st

from app.preload import load_engine

_STYLES = Path(__file__).resolve().parent / "styles"
_ICON_BYTES = (Path(__file__).resolve().parent.parent / "assets" / "icon.png").read_bytes()
ICON = f"data:image/png;base64,{base64.b64encode(_ICON_BYTES).decode()}"
"""Page icon as a data URI. Streamlit might discard an image file before the browser requests it."""


def inject_page_css() -> None:
    """Inject the styles that every page uses."""
    st.html(_STYLES / "page.css")


def inject_explore_css() -> None:
    """Inject the styles of the Explore page, which fits on one screen."""
    st.html(_STYLES / "explore.css")


def heading(title: str, sentence: str = "") -> None:
    """Render a page's title and caption, then load the engine.

    Call it before the page's other imports, which take seconds on a new server.

    Args:
        title: Title of the page.
        sentence: Caption below the title; empty for none.
    """
    st.title(title)
    if sentence:
        st.caption(sentence)
    load_engine()


def inject_presenter_css() -> None:
    """Inject the styles of presenter mode (large type, full contrast, no header or sidebar), then load the engine."""
    st.html(_STYLES / "presenter.css")
    load_engine()
