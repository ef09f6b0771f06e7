"""Styles that the theme settings cannot express: page spacing, headings and the sticky status line."""

import base64
from pathlib import Path

import streamlit as st

from app.preload import load_engine

_ICON_BYTES = (Path(__file__).resolve().parent.parent / "assets" / "icon.png").read_bytes()
ICON = f"data:image/png;base64,{base64.b64encode(_ICON_BYTES).decode()}"
"""Page icon as a data URI. Streamlit might discard an image file before the browser requests it."""
_PAGE_CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.6rem; padding-bottom: 4rem; max-width: 1500px; }
.st-key-status {
  position: sticky; top: 3rem; z-index: 50; padding: 0.35rem 0; background: var(--st-background-color, inherit);
  font-size: 0.9rem;
}
[class*="st-key-image-store"], [class*="st-key-job-result-"], .st-key-paint-ack { display: none; }
.st-key-summary { min-height: 10.5rem; } /* The summary is drawn last; content below it must not move. */
@media (max-width: 640px) { .st-key-summary { min-height: 19rem; } }
h3 { padding-bottom: 0.3rem; }
.katex-display > .katex { white-space: normal; } /* Long formulas wrap. */
.katex-display .base { margin: 0.2em 0; }
</style>
"""


def inject_page_css() -> None:
    """Inject the styles that every page uses."""
    st.html(_PAGE_CSS)


def heading(title: str, sentence: str) -> None:
    """Render a page's title and caption, then load the engine.

    Call it before the page's other imports, which take seconds on a new server.
    """
    st.title(title)
    st.caption(sentence)
    load_engine()
