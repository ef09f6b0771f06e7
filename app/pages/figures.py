"""Publication figures: choose, look at the real thing, take it home."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import controls, resources, sections
from app.basket import Basket, basket, clear
from app.choice import usual_variant
from app.messages import plain, problem
from app.opening import open_or_explain
from app.state import ALPHA, GAMMA, NEIGHBORS, View
from fpc_core.config import KEEP_RATES, MapSettings, QuerySettings
from fpc_core.figures.recipe import (
    LANGUAGES,
    MOST_QUERIES,
    WIDTHS,
    FigureKind,
    FigureRecipe,
    FigureStyle,
)
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.recipes import MOST_BYTES, RecipeError
from fpc_core.workspace import Workspace

PREFIX = "f_"  # of parameters that Explore binds as well
KINDS = {
    FigureKind.DROP_PROCESS: "What each block drops (Figs. 6, 9)",
    FigureKind.DROP_STRATEGIES: "Drop strategies (Fig. 5)",
    FigureKind.KEEP_RATES: "Keep rates (Fig. 8)",
    FigureKind.DECODER_MAPS: "Decoder heat maps (Fig. 7)",
    FigureKind.RANKED_LIST: "Ranked lists",
    FigureKind.TRANSPORT: "Transport plan",
    FigureKind.ALPHA_LINES: "D against α",
    FigureKind.TRADE_OFF: "Scores against FLOPs (Table 3)",
}
ONE_QUERY = (FigureKind.TRANSPORT, FigureKind.ALPHA_LINES)


def opened_recipe() -> FigureRecipe | None:
    """A recipe from the visitor's machine; a message where it is none."""
    file = st.file_uploader(
        "Open a recipe", max_upload_size=1, key="recipe", help="The .json of an earlier figure: gives the same figure."
    )
    if file is None:
        return None
    try:
        if file.size > MOST_BYTES:
            raise RecipeError(f"it is larger than {MOST_BYTES:,} bytes")
        return FigureRecipe.from_json(file.getvalue().decode("utf-8"))
    except (RecipeError, UnicodeDecodeError) as error:
        problem(f"{file.name} cannot be used: {error}")
        return None


def chosen_settings(usual: QuerySettings, gallery: int) -> QuerySettings:
    """Settings of the searches, starting from those of the view that was added last."""
    rate = st.slider("Keep rate γ", *GAMMA[:2], usual.prune.keep_rate, GAMMA[2], key=f"{PREFIX}gamma")
    alpha = st.slider("Weight of transport α", *ALPHA[:2], usual.alpha, ALPHA[2], key=f"{PREFIX}alpha")
    neighbors = st.slider("Neighbours K", *NEIGHBORS[:2], usual.neighbors, NEIGHBORS[2], key=f"{PREFIX}k")
    shortlist = min(QuerySettings().shortlist, gallery)
    return replace(
        controls.method_settings(PREFIX).with_keep_rate(round(rate, 4)),
        alpha=round(alpha, 4), neighbors=min(neighbors, shortlist), shortlist=shortlist,
    )  # fmt: skip


def chosen_style() -> FigureStyle:
    left, right = st.columns(2)
    with left:
        width = st.selectbox("Width", list(WIDTHS), format_func=_inches, key="width")
        columns = st.number_input("Queries side by side", 1, 8, 1, key="columns")
        letters = st.toggle("Letters (a), (b), …", key="letters")
    with right:
        size = st.number_input("Font size in pt", 4.0, 16.0, 7.0, 0.5, key="font-size")
        language = st.selectbox("Language of labels", LANGUAGES, key="language")
    return FigureStyle(width, int(columns), font_size=float(size), letters=letters, language=language)


def _inches(width: str) -> str:
    return f"{width.replace('-', ' ')}, {WIDTHS[width]:g} in"


def composed(space: Workspace, held: Basket, style: FigureStyle, settings: QuerySettings) -> FigureRecipe | None:
    """The recipe of the page's controls; None with a word where no query is chosen."""
    records = [record.path.as_posix() for record in space.dataset.query]
    kind = st.segmented_control(
        "Figure", list(KINDS), default=FigureKind.DROP_PROCESS, required=True, format_func=KINDS.__getitem__, key="kind"
    )
    weights = weights_fingerprint(space.retriever.model)
    if kind is FigureKind.TRADE_OFF:
        count = len(space.dataset.query)
        st.caption(f"Scores all {count} queries at {len(KEEP_RATES)} keep rates the first time, and keeps the results.")
        return FigureRecipe(kind, (), settings, keep_rates=KEEP_RATES, style=style, weights=weights)
    usual = [name for name in held.queries if name in records] or records[:2]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        queries = st.multiselect(
            "Queries, in the order shown", records, default=usual, max_selections=MOST_QUERIES,
            key=f"queries-of-{hash(held.queries)}", help="“Add to figure” on the Explore page collects them.",
        )  # fmt: skip
        if held.queries:
            st.button("Empty", icon=":material/delete:", on_click=clear, key="empty")
    if not queries:
        st.info("Choose at least one query.", icon=":material/person_search:")
        return None
    hits, flows, gallery = 5, 80, ""
    if kind in (FigureKind.RANKED_LIST, FigureKind.ALPHA_LINES):
        hits = st.slider("Ranks", 1, 20, 5, key="hits")
    if kind is FigureKind.TRANSPORT:
        flows = st.slider("Flows, heaviest first", 10, 500, 80, 10, key="flows")
        gallery = held.gallery if held.queries[-1:] == (queries[0],) else ""
    how = MapSettings()
    if kind is FigureKind.DECODER_MAPS:
        how = controls.map_settings(PREFIX, None, space.weights.knows_identities)
    if kind in ONE_QUERY and len(queries) > 1:
        st.caption(f"This figure shows one query: {plain(queries[0])}.")
        queries = queries[:1]
    return FigureRecipe(
        kind, tuple(queries), settings, gallery, hits, flows, method=how.method, target=how.target,
        relative=how.relative, style=style, weights=weights,
    )  # fmt: skip


def show(space: Workspace, recipe: FigureRecipe) -> None:
    """The figure itself, and its downloads."""
    try:
        with st.spinner("Drawing …"):
            picture = resources.figure_preview(space, recipe)
    except ValueError as error:
        problem(str(error))
        return
    preview, downloads = st.columns([3, 1], gap="medium")
    inches = WIDTHS[recipe.style.width]
    with preview:
        st.image(picture, width=min(round(inches * 160), 1100), caption=f"{inches:g} in wide, as it will be printed")
    with downloads:
        st.download_button(
            "Everything (zip)", lambda: resources.figure_bundle(space, recipe), f"{recipe.kind}.zip", "application/zip",
            icon=":material/download:", key="zip", type="primary",
            help="PDF, SVG, PNG at 300 and 600 dpi, recipe, data and LaTeX.",
        )  # fmt: skip
        st.download_button(
            "Recipe (json)", recipe.to_json(), f"{recipe.kind}.json", "application/json",
            icon=":material/receipt_long:", key="json",
        )  # fmt: skip
        st.caption("The same recipe gives the same bytes on the CPU, here or from the command line:")
        st.code(f"python -m fpc_core figure {recipe.kind}.json", language="bash", wrap_lines=True)


def page() -> None:
    space = open_or_explain()
    held = basket()
    with st.sidebar:
        opened = opened_recipe()
        if opened is None:
            settings = chosen_settings(held.settings, len(space.dataset.gallery))
    st.title("Figures")
    st.caption("Figures for a paper, drawn from the same results as every other page.")
    sections.status_line(space, opened.settings if opened else settings)
    if opened is not None:
        st.info("Shown as the opened recipe says. Remove it in the sidebar to compose a figure here.")
        show(space, opened)
        return
    with st.expander("Layout", icon=":material/dashboard_customize:"):
        style = chosen_style()
    recipe = composed(space, held, style, settings)
    if recipe is not None:
        show(space, recipe)
        view = View(query="".join(recipe.queries[:1]), settings=recipe.settings)
        if st.button(
            "See the first query in Explore" if recipe.queries else "Open Explore",
            icon=":material/person_search:",
            key="explore",
        ):
            st.switch_page("app/pages/explore.py", query_params=view.to_params(usual_variant()))


page()
