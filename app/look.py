"""What the theme settings cannot say: spacing of the page, its heading, the status line that stays in sight."""

import streamlit as st

_CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.6rem; padding-bottom: 4rem; max-width: 1500px; }
.st-key-status {
  position: sticky; top: 3rem; z-index: 50; padding: 0.35rem 0; background: var(--st-background-color, inherit);
  font-size: 0.9rem;
}
.st-key-album, .st-key-feed-grid, .st-key-feed-pairs { display: none; }
h3 { padding-bottom: 0.3rem; }
</style>
"""


def dress() -> None:
    st.html(_CSS)


def heading(title: str, sentence: str) -> None:
    """Title of a page. Call it before the page's own imports: in a new server those of torch take seconds."""
    st.title(title)
    st.caption(sentence)
