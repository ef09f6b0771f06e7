"""Queries and settings that a visitor has collected for the Figures page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from fpc_core.config import DropStrategy, MapSettings, QuerySettings
from fpc_core.data.occluders import Scene
from fpc_core.figures.recipe import MAX_QUERIES, FigureKind

_KEY = "basket"


@dataclass(frozen=True)
class Item:
    """A query with its occluders and the patches dropped by hand.

    Attributes:
        query: Path of the query image in the dataset.
        scene: Occluders on the query image.
        given: Patches that each pruning layer drops; None if the model chooses.
    """

    query: str
    scene: Scene = field(default_factory=Scene)
    given: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class Basket:
    """Collected queries and settings. All fields except `items` are those of the latest addition.

    Attributes:
        items: Queries in the order in which they were added.
        settings: Query settings; None before the first addition.
        kind: Kind of figure; None before the first addition that sets one.
        gallery: Path of the selected gallery image, or empty.
        maps: Settings of heat maps; None for the defaults.
        alphas: Values of alpha in a sweep; empty for the defaults.
        keep_rates: Keep rates of a sweep or a table; empty for the defaults.
        rival: Path of the gallery image that `gallery` is compared with, or empty.
        patch: Row-major grid position of the pinned patch; None without one.
    """

    items: tuple[Item, ...] = ()
    settings: QuerySettings | None = None
    kind: FigureKind | None = None
    gallery: str = ""
    maps: MapSettings | None = None
    alphas: tuple[float, ...] = ()
    keep_rates: tuple[float, ...] = ()
    rival: str = ""
    patch: int | None = None


def basket() -> Basket:
    """Return the visitor's basket."""
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
    rival: str = "",
    patch: int | None = None,
) -> None:
    """Render a button that adds this view to the basket or, if it was just added, opens the Figures page.

    Args:
        item: Query to add; None for a figure of all queries.
        settings: Query settings of the view.
        kind: Kind of figure; None to keep that of the basket.
        what: Name of what is added, shown on the button.
        key: Suffix of the widget key, needed if a page has several of these buttons.
        gallery: Path of the selected gallery image, or empty.
        maps: Settings of heat maps; None for the defaults.
        alphas: Values of alpha in a sweep; empty for the defaults.
        keep_rates: Keep rates of a sweep or a table; empty for the defaults.
        rival: Path of the gallery image that the selected one is compared with, or empty.
        patch: Row-major grid position of the pinned patch; None without one.
    """
    stored = basket()
    # The patches belong to this query only, so the settings of the figure must not contain them.
    if settings.prune.strategy is DropStrategy.GIVEN:
        item = None if item is None else replace(item, given=settings.prune.given)
        settings = replace(settings, prune=settings.prune.of_model)
    items = stored.items if item is None else (*(each for each in stored.items if each != item), item)
    new = Basket(items, settings, kind or stored.kind, gallery, maps, alphas, keep_rates, rival, patch)
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
        help=f"A figure shows up to {MAX_QUERIES} queries. Remove one on the Figures page first."
        if full
        else "Adds this query and its settings to the Figures page.",
    )


def update_basket(**changes: Any) -> None:
    """Replace the given fields of the visitor's basket."""
    st.session_state[_KEY] = replace(basket(), **changes)
