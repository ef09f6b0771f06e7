"""Links to all pages, which carry the visitor's query, settings and selection to every page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import StopException

from app.components.page_history import page_history
from app.session.shared_view import Params, links_of_pages, read_params, store_page
from app.session.visitor import url_params


def run_with_navigation(pages: Sequence[StreamlitPage], current: StreamlitPage) -> None:
    """Render a link to every page, then run the current page.

    The links are rendered first, because a page can take seconds, and again if the page changed what they carry.

    Args:
        pages: All pages, in order.
        current: The page to run.
    """
    slot = st.empty()
    read_params(current.url_path, url_params())
    links = _links(pages)
    _render(slot, pages, links)
    page_history()
    try:
        current.run()
    except StopException:
        _update(slot, pages, current, links)
        raise
    _update(slot, pages, current, links)


def _update(
    slot: st.delta_generator.DeltaGenerator,
    pages: Sequence[StreamlitPage],
    current: StreamlitPage,
    links: dict[str, Params],
) -> None:
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    read_params(current.url_path, params)
    store_page(current.url_path, params)
    if (now := _links(pages)) != links:
        _render(slot, pages, now)


def _links(pages: Sequence[StreamlitPage]) -> dict[str, Params]:
    return links_of_pages([page.url_path for page in pages])


def _render(slot: st.delta_generator.DeltaGenerator, pages: Sequence[StreamlitPage], links: dict[str, Params]) -> None:
    with slot.container(key="navigation", horizontal=True):
        for page in pages:
            st.page_link(page, query_params=links[page.url_path])
