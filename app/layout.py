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
[data-testid="stMainBlockContainer"] { padding-top: 0.5rem; padding-bottom: 4rem; max-width: 1500px; }
[data-testid="stHeader"] { background: transparent; pointer-events: none; } /* It lies above the navigation. */
[data-testid="stHeader"] button { pointer-events: auto; }
.st-key-navigation { padding-right: 3rem; gap: 0.4rem; }
.st-key-navigation [data-stale="true"] { opacity: 1 !important; } /* It is drawn last. */
.stApp:has([data-testid="stExpandSidebarButton"]) .st-key-navigation { padding-left: 2.4rem; }
@media (max-width: 900px) { .st-key-navigation { flex-wrap: nowrap !important; overflow-x: auto; } }
.st-key-status {
  position: sticky; top: 0; z-index: 50; padding: 0.35rem 0; background: var(--st-background-color, inherit);
  font-size: 0.9rem;
}
[class*="st-key-image-store"], [class*="st-key-job-result-"], .st-key-paint-ack, .st-key-page-history { display: none; }
.st-key-summary { min-height: 10.5rem; } /* The summary is drawn last; content below it must not move. */
@media (max-width: 640px) { .st-key-summary { min-height: 19rem; } }
h3 { padding-bottom: 0.3rem; }
.katex-display > .katex { white-space: normal; } /* Long formulas wrap. */
.katex-display .base { margin: 0.2em 0; }
</style>
"""


_PRESENTER_CSS = """
<style>
html { font-size: 17px !important; }
[data-testid="stHeader"], [data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], .st-key-navigation {
  display: none !important;
}
[data-testid="stMainBlockContainer"] { padding: 0.4rem 2rem 0.3rem; max-width: none; }
[data-testid="stMainBlockContainer"] p { font-size: 1.12rem; line-height: 1.4; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: inherit !important; opacity: 1 !important; font-size: 0.85rem !important;
}
[data-testid="stMainBlockContainer"] [data-testid="stVerticalBlock"] { gap: 0.4rem; }
[data-testid="stMainBlockContainer"] .katex-display { margin: 0.1em 0 0.45em; }
.st-key-step-navigation { flex-wrap: nowrap !important; }
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


def inject_presenter_css() -> None:
    """Inject the styles of presenter mode: large type, full contrast, and no header or sidebar."""
    st.html(_PRESENTER_CSS)
    load_engine()
