"""Widgets that save a panel of Explore as an image, as data, or as part of a figure."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.public_mode import is_public
from app.server import resources
from app.server.downloads import on_demand
from app.server.search import Query
from app.session.display import pruned_style
from app.session.figure_basket import Item, add_button
from app.session.shared_view import UPLOAD_SUFFIX
from app.session.view import keep_rates
from app.ui.query_picker import has_recipe, is_dataset_query
from fpc_core.config import DropStrategy, MapSettings, QuerySettings
from fpc_core.explain.code import python_lines, shell_line
from fpc_core.figures.recipe import OF_HEAT_MAPS, FigureKind, FigureRecipe
from fpc_core.figures.style import FigureStyle
from fpc_core.workspace import PersonalWorkspace, Places, Workspace

HITS = 10  # Number of ranks in saved rankings.
_MIME_TYPES = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv"}


def render_save(
    workspace: Workspace,
    query: Query,
    settings: QuerySettings,
    kind: FigureKind,
    *,
    chosen: int | None = None,
    maps: MapSettings | None = None,
    rival: int | None = None,
    patch: int | None = None,
    key: str = "",
) -> None:
    """Render buttons that save a panel as PNG, SVG or CSV, and one that adds it to the figure.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings of the panel.
        kind: Kind of figure that shows what the panel shows.
        chosen: Gallery row of the selected hit, or None.
        maps: Settings of heat maps; None for the defaults.
        rival: Gallery row of the hit that the selected one is compared with, or None.
        patch: Grid position of the pinned patch, or None.
        key: Suffix of the widget keys, needed if a page saves two panels of one kind.
    """
    if not has_recipe(workspace, query):
        st.caption("Figures refer to images of the dataset, so panels with your own images cannot be saved.")
        return
    records = workspace.retriever.memory.records
    gallery, other = ("" if row is None else records[row].path.as_posix() for row in (chosen, rival))
    recipe = panel_recipe(workspace, query.name, settings, kind, gallery, maps, other, patch or 0)
    with st.container(horizontal=True, gap="xsmall", key=f"save-{kind}{key}"):
        add_button(
            Item(query.name), settings, kind, key=f"-{kind}{key}", gallery=gallery, maps=maps, rival=other, patch=patch
        )
        for suffix, mime_type in _MIME_TYPES.items():
            st.download_button(
                suffix.upper(),
                on_demand(
                    ("panel", workspace.key, recipe, suffix),
                    partial(resources.figure_file, workspace, recipe, suffix),
                    queued=True,
                ),
                f"{kind}.{suffix}",
                mime_type,
                key=f"save-{kind}-{suffix}{key}",
                on_click="ignore",
                help="Numbers of this panel." if suffix == "csv" else "Image of this panel.",
            )


def render_code(workspace: Workspace, query: Query, settings: QuerySettings) -> None:
    """Render the Python and shell lines that repeat the search, each with a button that copies it.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings.
    """
    if isinstance(workspace, PersonalWorkspace):
        return  # The visitor's own gallery exists only in this session, so no code can open it.
    places = Places.from_environment() if is_public() else workspace.places  # A public app shows no paths.
    name = query.name if is_dataset_query(query) else query.name.removesuffix(UPLOAD_SUFFIX)
    st.markdown("**Code**")
    st.code(python_lines(name, settings, places), language="python")
    if settings.prune.strategy is DropStrategy.GIVEN:
        st.caption("The command line does not support patches dropped by hand. Use the Python code.")
    else:
        st.code(shell_line(name, settings, places), language="bash")


def panel_recipe(
    workspace: Workspace,
    query: str,
    settings: QuerySettings,
    kind: FigureKind,
    gallery: str,
    maps: MapSettings | None,
    rival: str = "",
    patch: int = 0,
) -> FigureRecipe:
    """Return the recipe of a figure that shows one panel.

    Args:
        workspace: Workspace of the query.
        query: Path of the query.
        settings: Query settings of the panel.
        kind: Kind of figure that shows what the panel shows.
        gallery: Path of the selected hit, or empty.
        maps: Settings of heat maps; None for the defaults.
        rival: Path of the hit that the selected one is compared with, or empty.
        patch: Grid position of the pinned patch.
    """
    maps = maps or MapSettings(relative=True)
    explained = kind in OF_HEAT_MAPS and maps.explains_gallery_image
    return FigureRecipe(
        kind,
        (query,),
        settings,
        gallery=gallery if kind in (FigureKind.TRANSPORT, FigureKind.MARGIN) or explained else "",
        hits=HITS,
        method=maps.method,
        target=maps.target,
        relative=maps.relative,
        style=FigureStyle(width="cvpr-page", pruned=pruned_style()),
        weights=workspace.weights_fingerprint,
        keep_rates=keep_rates() if kind is FigureKind.PATCH_LIFELINE else FigureRecipe.keep_rates,
        rival=rival,
        selected=gallery if kind is FigureKind.QUERY_MAPS else "",
        patch=patch,
    )
