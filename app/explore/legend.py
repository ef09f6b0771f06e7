"""Legend of Explore."""

from __future__ import annotations

import streamlit as st

from app.messages import escape_markdown
from fpc_core.glossary import GLOSSARY

EXPLAINED = ("[cls]", "D_cos", "D_EMD", "D", "K", "Junk image")  # Glossary terms in the legend.


def render_legend() -> None:
    """Render an explanation of the marks and arrows in the ranked strips, and of some terms."""
    st.markdown(
        "- ✓ same person, ✗ different person\n- K: used by the decoder\n- ↑ and ↓: rank change from the row above\n"
        "- Number below the rank: the distance of that row\n- Marked patches: dropped"
    )
    st.markdown("\n".join(f"- **{escape_markdown(term)}**: {escape_markdown(GLOSSARY[term])}" for term in EXPLAINED))
