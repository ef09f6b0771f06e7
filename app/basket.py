"""What a visitor collected for a figure on the way: queries, the last settings and the last chosen neighbour."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import streamlit as st

from fpc_core.config import QuerySettings
from fpc_core.figures.recipe import MOST_QUERIES

_KEY = "basket"


@dataclass(frozen=True)
class Basket:
    """queries: paths in the dataset, in the order they were added.  gallery: path of a gallery image, or empty."""

    queries: tuple[str, ...] = ()
    settings: QuerySettings = field(default_factory=QuerySettings)
    gallery: str = ""


def basket() -> Basket:
    return st.session_state.get(_KEY, Basket())


def add_button(query: str, settings: QuerySettings, gallery: str, side: str = "", key: str = "") -> None:
    """Offers to take this view into the figure; says so where it is in there already.

    side: which of two on a page, in words.  key: tells several buttons of the same words apart.
    """
    held = basket()
    new = Basket((*(each for each in held.queries if each != query), query), settings, gallery)
    if held == new:
        label = f"{side} in the figure ({len(held.queries)}): open it".strip().capitalize()
        if st.button(label, key=f"open-figure{side}{key}", icon=":material/check:"):
            st.switch_page("app/pages/figures.py", query_params={})
        return
    full = query not in held.queries and len(held.queries) >= MOST_QUERIES
    st.button(
        f"Add {side} to figure" if side else "Add to figure", key=f"add-to-figure{side}{key}",
        icon=":material/add_photo_alternate:", disabled=full,
        on_click=lambda: st.session_state.update({_KEY: new}),
        help=f"A figure holds up to {MOST_QUERIES} queries." if full else "Collects this query for the Figures page.",
    )  # fmt: skip


def clear() -> None:
    st.session_state[_KEY] = replace(basket(), queries=())
