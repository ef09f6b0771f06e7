"""Controls of the Figures page for kind, queries and layout. Their values are stored in the session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.messages import escape_markdown, show_warnings
from app.session.display import pruned_style
from app.session.figure_basket import Basket, Item, update_basket
from app.session.view import ALPHA, GAMMA, NEIGHBORS, keep_rates
from app.ui import controls, heatmap_controls
from fpc_core.config import ALPHAS, KEEP_RATES, MapSettings, QuerySettings
from fpc_core.explain.overlay import PrunedStyle
from fpc_core.figures.fonts import fonts
from fpc_core.figures.recipe import (
    MAX_LETTERS,
    MAX_QUERIES,
    OF_ALL_QUERIES,
    OF_HEAT_MAPS,
    OF_MODEL,
    OF_ONE_QUERY,
    FigureKind,
    FigureRecipe,
)
from fpc_core.figures.style import WIDTHS, FigureStyle
from fpc_core.workspace import Workspace

PREFIX = "f_"  # Prefix that distinguishes query parameters of this page from those of Explore.
KINDS = {
    FigureKind.DROP_PROCESS: "What each layer drops (Figs. 6, 9)",
    FigureKind.DROP_STRATEGIES: "Drop strategies (Fig. 5)",
    FigureKind.KEEP_RATES: "Keep rates (Fig. 8)",
    FigureKind.DECODER_MAPS: "Decoder heat maps (Fig. 7)",
    FigureKind.RANKED_LIST: "Ranked lists",
    FigureKind.TRANSPORT: "Transport plan",
    FigureKind.ALPHA_LINES: "Distance D versus α",
    FigureKind.MARGIN: "Margin between two hits",
    FigureKind.QUERY_MAPS: "Heat maps of the query",
    FigureKind.PATCH_LIFELINE: "Lifeline of a patch",
    FigureKind.SCORE_CURVES: "Scores versus α and K (Fig. 4)",
    FigureKind.TRADE_OFF: "Scores versus FLOPs (Table 3)",
    FigureKind.SWEEP_MAP: "Sweep heat map",
}
SIDES = {"cvpr-column": "CVPR column", "cvpr-page": "CVPR page", "ieee-column": "IEEE column", "ieee-page": "IEEE page"}
_STYLE, _QUERIES = "figure-style", "queries"


def chosen_settings(default: QuerySettings, shortlist: int) -> QuerySettings:
    """Render the query settings, and return them.

    Args:
        default: Initial settings.
        shortlist: Size of the shortlist, which limits K.
    """
    rate = st.slider("Keep rate γ", *GAMMA[:2], default.prune.keep_rate, GAMMA[2], key=f"{PREFIX}gamma")
    alpha = st.slider("Patch-matching weight α", *ALPHA[:2], default.alpha, ALPHA[2], key=f"{PREFIX}alpha")
    max_k = int(NEIGHBORS[1])
    neighbors = st.slider("Neighbours K", *NEIGHBORS[:2], min(default.neighbors, max_k), NEIGHBORS[2], key=f"{PREFIX}k")
    return replace(
        controls.method_settings(PREFIX, default).with_keep_rate(round(rate, 4)),
        alpha=round(alpha, 4),
        neighbors=min(neighbors, shortlist),
        shortlist=shortlist,
    )


def chosen_kind(collected: Basket) -> FigureKind:
    kind = st.pills(
        "Figure",
        list(KINDS),
        default=collected.kind or FigureKind.DROP_PROCESS,
        required=True,
        format_func=KINDS.__getitem__,
        key="kind",
    )
    update_basket(kind=kind)
    return kind


def chosen_style(kind: FigureKind) -> FigureStyle:
    default: FigureStyle = st.session_state.get(_STYLE, FigureStyle(pruned=pruned_style()))
    offered = fonts()
    left, middle, right = st.columns(3)
    with left:
        width = st.selectbox(
            "Width",
            list(WIDTHS),
            list(WIDTHS).index(default.width),
            key="width",
            format_func=lambda name: f"{SIDES[name]}, {WIDTHS[name]:g} in",
        )
        columns_label = "Panels side by side" if kind in OF_ALL_QUERIES else "Queries side by side"
        columns = st.number_input(columns_label, 1, 8, default.columns, key="columns", disabled=kind in OF_ONE_QUERY)
    with middle:
        font = st.selectbox(
            "Font",
            offered,
            offered.index(default.font) if default.font in offered else 0,
            key="font",
            help="Fonts installed on this machine. DejaVu and STIX (Times-like) are always available.",
        )
        size = st.number_input("Font size in pt", 4.0, 16.0, default.font_size, 0.5, key="font-size")
    with right:
        letters = st.toggle("Label panels (a), (b), …", default.letters, key="letters", disabled=kind in OF_ONE_QUERY)
        pruned = st.segmented_control(
            "Dropped patches", list(PrunedStyle), default=default.pruned, required=True, key="figure-pruned"
        )
    style = FigureStyle(width, int(columns), font, float(size), letters, pruned=pruned)
    st.session_state[_STYLE] = style
    return style


def chosen_items(workspace: Workspace, collected: Basket) -> list[Item]:
    """Render the choice of queries, and return them in order. Changes are written to the basket.

    Args:
        workspace: Workspace with the queries.
        collected: Visitor's basket.
    """
    records = [record.path.as_posix() for record in workspace.dataset.query]
    items_by_name = _named(records, collected.items)
    names = {item: name for name, item in items_by_name.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Queries (in this order)",
            list(items_by_name),
            key=_QUERIES,
            max_selections=MAX_QUERIES,
            default=[names[item] for item in collected.items if item in names] or records[:2],
            on_change=lambda: update_basket(
                items=tuple(items_by_name[name] for name in st.session_state.get(_QUERIES, ()) if name in items_by_name)
            ),
            help="Queries you added with “Add to figure” on other pages (Lab scenes include their occluders).",
        )
        if chosen:
            st.button(
                "Clear all", icon=":material/delete:", on_click=_replace_items, args=((), items_by_name), key="empty"
            )
    return [items_by_name[name] for name in chosen]


def labels(items: Sequence[Item], workspace: Workspace, of_sheet: bool) -> tuple[str, ...]:
    """Render fields for labels and buttons that reorder the queries, and return the labels.

    Args:
        items: Queries of the figure, in order.
        workspace: Workspace with the queries.
        of_sheet: Whether the figure shows labels.
    """
    items_by_name = _named([record.path.as_posix() for record in workspace.dataset.query], items)
    names = {item: name for name, item in items_by_name.items()}
    texts = []
    with st.expander("Reorder and label queries", icon=":material/swap_vert:"):
        for index, item in enumerate(items):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                moved = [*items]
                if index:
                    moved[index - 1 : index + 1] = moved[index], moved[index - 1]
                st.button(
                    "Move up",
                    icon=":material/arrow_upward:",
                    key=f"up-{index}",
                    disabled=index == 0,
                    on_click=_replace_items,
                    args=(moved, items_by_name),
                    help="Moves this query before the one above.",
                )
                label = st.text_input(
                    f"{index + 1}. {escape_markdown(names[item])}",
                    key=f"label-{names[item]}",
                    max_chars=MAX_LETTERS,
                    disabled=not of_sheet,
                    placeholder="no label",
                )
                texts.append(label)
    return tuple(texts) if of_sheet and any(texts) else ()


def compose_recipe(workspace: Workspace, collected: Basket, settings: QuerySettings) -> FigureRecipe | None:
    """Render the controls, and return the recipe of the figure, or None if no query is selected.

    Args:
        workspace: Workspace with the queries.
        collected: Visitor's basket.
        settings: Query settings of the figure.
    """
    kind = chosen_kind(collected)
    with st.expander("Layout", icon=":material/dashboard_customize:"):
        style = chosen_style(kind)
    weights = workspace.weights_fingerprint
    if kind in OF_ALL_QUERIES:
        rates, alphas = collected.keep_rates or KEEP_RATES, collected.alphas or ALPHAS
        return FigureRecipe(kind, (), settings, keep_rates=rates, alphas=alphas, style=style, weights=weights)
    items = chosen_items(workspace, collected)
    if not items:
        st.info("Choose at least one query.", icon=":material/person_search:")
        return None
    if kind in OF_ONE_QUERY and len(items) > 1:
        st.caption(f"This figure shows only the first query: {escape_markdown(items[0].query)}.")
        items = items[:1]
    settings = _with_given(kind, items, settings)
    shown = labels(items, workspace, of_sheet=kind not in OF_ONE_QUERY)
    return FigureRecipe(
        kind,
        tuple(item.query for item in items),
        settings,
        style=style,
        weights=weights,
        labels=shown,
        scenes=tuple(item.scene for item in items) if any(item.scene.occluders for item in items) else (),
        **_of_kind(kind, workspace, collected, items[0]),
    )


def _with_given(kind: FigureKind, items: Sequence[Item], settings: QuerySettings) -> QuerySettings:
    """Return the settings with the patches dropped by hand, if the figure shows a single query and can draw them.

    Args:
        kind: Kind of figure.
        items: Queries of the figure.
        settings: Query settings with the model's choice of patches.
    """
    given = [item.given for item in items if item.given is not None]
    if not given:
        return settings
    if kind in OF_MODEL or len(items) > 1:
        st.caption("Patches dropped by hand need a figure of a single query. This one shows the model's choice.")
        return settings
    return replace(settings, prune=settings.prune.with_given(given[0]))


def _of_kind(kind: FigureKind, workspace: Workspace, collected: Basket, first: Item) -> dict[str, Any]:
    """Render the controls that only this kind of figure has, and return their recipe fields.

    Args:
        kind: Kind of figure.
        workspace: Workspace with the queries.
        collected: Visitor's basket.
        first: First query of the figure.
    """
    gallery = collected.gallery if collected.items[-1:] == (first,) else ""
    if kind in (FigureKind.RANKED_LIST, FigureKind.ALPHA_LINES):
        return {"hits": st.slider("Ranks", 1, 20, 5, key="hits")}
    if kind is FigureKind.TRANSPORT:
        return {
            "flows": st.slider("Number of flows (heaviest first)", 10, 500, 80, 10, key="flows"),
            "gallery": gallery,
        }
    if kind is FigureKind.MARGIN:
        return {"gallery": gallery, "rival": collected.rival if gallery else ""}
    if kind is FigureKind.PATCH_LIFELINE:
        return {"patch": _patch(workspace, collected), "keep_rates": keep_rates()}
    if kind in OF_HEAT_MAPS:
        records = workspace.retriever.memory.records
        row = next((row for row, each in enumerate(records) if each.path.as_posix() == gallery), None)
        show_warnings(heatmap_controls.check_map_params(PREFIX, workspace.weights.knows_identities))
        maps = heatmap_controls.map_settings(PREFIX, row, workspace.weights.knows_identities, collected.maps)
        selected = gallery if kind is FigureKind.QUERY_MAPS else ""
        return _maps(maps) | {"gallery": gallery if maps.explains_gallery_image else "", "selected": selected}
    return {}


def _patch(workspace: Workspace, collected: Basket) -> int:
    """Render the choice of a patch, initially the pinned or the middle one, and return its grid position.

    Args:
        workspace: Workspace with the model.
        collected: Visitor's basket, with the pinned patch.
    """
    rows, columns = workspace.retriever.model.config.grid
    pinned = collected.patch if collected.patch is not None and collected.patch < rows * columns else None
    row, column = divmod((rows // 2) * columns + columns // 2 if pinned is None else pinned, columns)
    with st.container(horizontal=True):
        row = st.number_input(f"Row of the patch, 1 to {rows}", 1, rows, row + 1, key=f"patch-row-{pinned}")
        column = st.number_input(f"Column, 1 to {columns}", 1, columns, column + 1, key=f"patch-column-{pinned}")
    return (int(row) - 1) * columns + int(column) - 1


def _maps(maps: MapSettings) -> dict[str, Any]:
    return {"method": maps.method, "target": maps.target, "relative": maps.relative}


def _replace_items(items: Sequence[Item], items_by_name: Mapping[str, Item]) -> None:
    """Replace the queries of the figure.

    Args:
        items: New queries, in order.
        items_by_name: Result of `_named`.
    """
    update_basket(items=tuple(items))
    st.session_state[_QUERIES] = [name for item in items for name, each in items_by_name.items() if each == item]


def _named(records: Sequence[str], items: Sequence[Item]) -> dict[str, Item]:
    """Return the queries that can be chosen, by name.

    Args:
        records: Paths of the dataset's queries.
        items: Collected queries. Those with occluders or patches dropped by hand get a name of their own.
    """
    items_by_name = {path: Item(path) for path in records}
    for item in items:
        count = len(item.scene.occluders)
        if (not count and item.given is None) or item.query not in items_by_name:
            continue
        name = f"{item.query} under {count} occluder{'s' * (count > 1)}" if count else item.query
        if item.given is not None:
            name += " pruned by hand"
        count_before = sum(each.startswith(name) for each in items_by_name)
        items_by_name[f"{name} ({count_before + 1})" if count_before else name] = item
    return items_by_name
