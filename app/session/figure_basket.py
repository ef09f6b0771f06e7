"""What a visitor collected for a figure on the way: queries, the last settings, and which figure was in sight."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from fpc_core.config import MapSettings, QuerySettings
from fpc_core.data.occluders import Scene
from fpc_core.figures.recipe import MAX_QUERIES, FigureKind

_KEY = "basket"


@dataclass(frozen=True)
class Item:
    """A query of the data by its path, and what covers it."""

    query: str
    scene: Scene = field(default_factory=Scene)


@dataclass(frozen=True)
class Basket:
    """items: in the order they were added.  The rest is of what was added last.

    settings: None before anything was.  kind: None where no figure in particular was in sight.  gallery: path of the
    chosen gallery image, or empty.  maps: of heat maps.  alphas: of a sweep, keep_rates: of a sweep or a table; empty
    for the usual ones.
    """

    items: tuple[Item, ...] = ()
    settings: QuerySettings | None = None
    kind: FigureKind | None = None
    gallery: str = ""
    maps: MapSettings | None = None
    alphas: tuple[float, ...] = ()
    keep_rates: tuple[float, ...] = ()


def basket() -> Basket:
    return st.session_state.get(_KEY, Basket())


def add_button(
    item: Item | None,
    settings: QuerySettings,
    kind: FigureKind | None = None,
    *,
    what: str = "",
    key: str = "",
    gallery: str = "",
    maps: MapSettings | None = None,
    alphas: tuple[float, ...] = (),
    keep_rates: tuple[float, ...] = (),
) -> None:
    """Offers to take this view into the figure; says so where it is in there already.

    item: None for a figure of all queries.  what: is taken, in words.  key: tells several buttons of a page apart; the
    rest as of Basket.
    """
    held = basket()
    items = held.items if item is None else (*(each for each in held.items if each != item), item)
    new = Basket(items, settings, kind or held.kind, gallery, maps, alphas, keep_rates)
    if held == new:
        count = "" if item is None else f" ({len(held.items)})"
        label = f"{what} added ✓ — open Figures{count}".strip()
        if st.button(label[0].upper() + label[1:], key=f"open-figure{key}", icon=":material/check:"):
            st.switch_page("app/pages/figures.py", query_params={})
        return
    full = len(items) > MAX_QUERIES
    st.button(
        f"Add {what} to figure" if what else "Add to figure",
        key=f"add-to-figure{key}",
        icon=":material/add_photo_alternate:",
        disabled=full,
        on_click=lambda: st.session_state.update({_KEY: new}),
        help=f"A figure holds up to {MAX_QUERIES} queries."
        if full
        else "Adds this query and its settings to the Figures page.",
    )


def store(**changes: Any) -> None:
    """The basket with these fields changed."""
    st.session_state[_KEY] = replace(basket(), **changes)
