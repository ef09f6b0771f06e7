"""Links to all pages, which carry the visitor's query, settings and selection to every page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from app.session.shared_view import links_of_pages


def render_navigation(pages: Sequence[StreamlitPage], current: StreamlitPage) -> None:
    """Render a link to every page.

    Args:
        pages: All pages, in order.
        current: The page that is shown.
    """
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    links = links_of_pages([page.url_path for page in pages], current.url_path, params)
    with st.container(key="navigation", horizontal=True):
        for page in pages:
            st.page_link(page, query_params=links[page.url_path])
