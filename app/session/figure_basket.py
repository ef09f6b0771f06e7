"""Queries and settings that a visitor has collected for the Figures page."""

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
    """A query, by its path in the dataset, and its occluders."""

    query: str
    scene: Scene = field(default_factory=Scene)


@dataclass(frozen=True)
class Basket:
    """What is collected. All fields but `items` belong to the latest addition.

    Attributes:
        items: Queries in the order of addition.
        settings: None before the first addition.
        kind: Figure that the page showed; None if none in particular.
        gallery: Path of the selected gallery image, or empty.
        maps: Settings of heat maps.
        alphas: Of a sweep; empty for the defaults.
        keep_rates: Of a sweep or a table; empty for the defaults.
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
    """Render a button that adds this view to the basket, or opens the Figures page if it is there already.

    Args:
        item: None for a figure of all queries.
        what: Names in words what is added.
        key: Distinguishes several buttons of a page. All others as in `Basket`.
    """
    stored = basket()
    items = stored.items if item is None else (*(each for each in stored.items if each != item), item)
    new = Basket(items, settings, kind or stored.kind, gallery, maps, alphas, keep_rates)
    if stored == new:
        count = "" if item is None else f" ({len(stored.items)})"
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


def update_basket(**changes: Any) -> None:
    """Replace these fields of the basket."""
    st.session_state[_KEY] = replace(basket(), **changes)
