"""Presenter mode of the Learn page. This module loads quickly, because it runs before the engine is loaded."""

from __future__ import annotations

import streamlit as st

from app.preload import load_engine

_PRESENTER_CSS = """
<style>
html { font-size: 17px !important; }
[data-testid="stHeader"], [data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] { display: none !important; }
[data-testid="stMainBlockContainer"] { padding: 0.8rem 2rem 0.5rem; max-width: none; }
[data-testid="stMainBlockContainer"] p { font-size: 1.12rem; line-height: 1.4; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: inherit !important; opacity: 1 !important; font-size: 0.85rem !important;
}
[data-testid="stMainBlockContainer"] [data-testid="stVerticalBlock"] { gap: 0.4rem; }
[data-testid="stMainBlockContainer"] .katex-display { margin: 0.1em 0 0.45em; }
.st-key-step-navigation { flex-wrap: nowrap !important; }
</style>
"""


def inject_presenter_css() -> None:
    """Inject the styles of presenter mode: large type, full contrast, and no header or sidebar."""
    st.html(_PRESENTER_CSS)
    load_engine()
