"""Links to all pages, which contain the visitor's query, settings and selection."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import StopException

from app.components.page_history import page_history
from app.session.shared_view import links_of_pages, read_params, store_page
from app.session.visitor import page_params, url_params

_RENDERED = "navigation-rendered"


def run_with_navigation(pages: Sequence[StreamlitPage], current: StreamlitPage) -> None:
    """Render a link to every page, and run the current page.

    The links contain the state at the end of the page's run, so they are rendered after the page. Until then, the
    browser shows the links of the previous run. The first run of a visit, which can take seconds, renders them first.

    Args:
        pages: All pages, in order.
        current: The page to run.
    """
    slot = st.container(key="navigation", horizontal=True)
    page_history()
    if _RENDERED not in st.session_state:
        st.session_state[_RENDERED] = True
        read_params(current.url_path, url_params())
        _render(slot, pages)
        current.run()
        _store(current)
        return
    try:
        current.run()
    except StopException:
        _store(current)
        _render(slot, pages)
        raise
    _store(current)
    _render(slot, pages)


def _store(current: StreamlitPage) -> None:
    params = page_params()
    read_params(current.url_path, params)
    store_page(current.url_path, params)


def _render(slot: DeltaGenerator, pages: Sequence[StreamlitPage]) -> None:
    links = links_of_pages([page.url_path for page in pages])
    with slot:
        for page in pages:
            st.page_link(page, query_params=links[page.url_path])
