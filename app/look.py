"""What the theme settings cannot say: spacing of the page and the status line that stays in sight."""

import streamlit as st

_CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.6rem; padding-bottom: 4rem; max-width: 1500px; }
.st-key-status {
  position: sticky; top: 3rem; z-index: 50; padding: 0.35rem 0; background: var(--st-background-color, inherit);
  font-size: 0.9rem;
}
.st-key-album { display: none; }
h3 { padding-bottom: 0.3rem; }
</style>
"""


def dress() -> None:
    st.html(_CSS)
