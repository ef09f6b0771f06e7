"""Figures page: compose, preview and download figures for publications."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading("Figures", "Create publication-ready figures from the results in this app.")

from app.evaluate.tables import evaluation_size
from app.figures import compose
from app.lab.editor import PREFIX as LAB
from app.messages import show_warning, show_warnings
from app.server import resources
from app.server.downloads import on_demand
from app.server.queues import PAGE_QUEUE
from app.session import given_patches, lab_scene
from app.session.figure_basket import Item, basket
from app.session.view import View
from app.session.workspace_choice import default_variant
from app.ui import progress, status
from app.ui.page_frame import load_workspace_or_stop, run_page
from app.ui.refused_file import forget_refusal, refuse, render_refusal, uploader_key
from fpc_core.config import QuerySettings
from fpc_core.data.occluders import Scene
from fpc_core.evaluation.paper_tables.table import ReportTable
from fpc_core.figures.recipe import OF_ALL_QUERIES, FigureRecipe
from fpc_core.figures.style import WIDTHS
from fpc_core.io.dataclass_json import MAX_BYTES, RecipeError
from fpc_core.workspace import Workspace

_OPENED = "opened-recipe"


def load_recipe() -> FigureRecipe | None:
    """Render the uploader and return the recipe in the file, or None without a valid file."""
    file = st.file_uploader(
        "Load settings",
        max_upload_size=1,
        key=uploader_key("recipe"),
        on_change=forget_refusal,
        args=("recipe",),
        help="A JSON file saved here earlier. Recreates the figure.",
    )
    render_refusal("recipe")
    if file is None:
        return None
    name, recipe = st.session_state.get(_OPENED, ("", None))
    if name == file.file_id:  # The file was already read in an earlier run.
        return recipe
    try:
        if file.size > MAX_BYTES:
            raise RecipeError(f"it has {file.size:,} bytes, the maximum is {MAX_BYTES:,}")
        with PAGE_QUEUE.release_while():  # Other visitors must not wait while a file is read.
            recipe = FigureRecipe.from_json(file.getvalue().decode("utf-8"))
    except (RecipeError, UnicodeDecodeError) as error:
        refuse("recipe", f"{file.name} cannot be used: {error}")
        st.rerun()
    st.session_state[_OPENED] = (file.file_id, recipe)
    return recipe


def load_scores(workspace: Workspace, recipe: FigureRecipe) -> tuple[ReportTable, ...] | None:
    """Return the tables for a figure of all queries, or render the progress and return None until they are computed.

    Args:
        workspace: Workspace to evaluate.
        recipe: Recipe of a figure of all queries.
    """
    # Imported here, because matplotlib takes a second to import.
    from fpc_core.figures.score_figures import score_tables

    task, run = resources.evaluation_job(workspace, score_tables(recipe, workspace))
    job_status = run.status()
    if job_status.complete:
        return task.filled(job_status.known)
    st.markdown("This figure needs scores for all queries. Results are saved and shared with the Evaluate page.")

    progress.run_job(run, "figure", "steps", evaluation_size(task), lambda _: None)
    return None


def render_figure(workspace: Workspace, recipe: FigureRecipe) -> None:
    """Render the figure of a recipe and its downloads.

    Args:
        workspace: Workspace of the figure.
        recipe: Recipe to draw.
    """
    try:
        tables = load_scores(workspace, recipe) if recipe.kind in OF_ALL_QUERIES else ()
        if tables is None:
            return
        with st.spinner("Drawing …"):
            image = resources.figure_preview(workspace, recipe, tables)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return
    show_warnings(recipe.notes)
    preview, downloads = st.columns([3, 1], gap="medium")
    inches = WIDTHS[recipe.style.width]
    with preview:
        st.image(image, alt="Preview of the figure", caption=f"Print size: {inches:g} in wide (preview is enlarged)")
    with downloads:
        st.download_button(
            "Download all formats (ZIP)",
            on_demand(
                ("figure", workspace.key, recipe, tables),
                lambda: resources.figure_bundle(workspace, recipe, tables),
                queued=True,
            ),
            f"{recipe.kind}.zip",
            "application/zip",
            icon=":material/download:",
            key="zip",
            type="primary",
            help="PDF, SVG, PNG at 300 and 600 dpi, recipe, data and LaTeX.",
        )
        st.download_button(
            "Save settings (JSON)",
            recipe.to_json(),
            f"{recipe.kind}.json",
            "application/json",
            icon=":material/receipt_long:",
            key="json",
        )
        st.caption("Reproduce this figure exactly from the command line (CPU):")
        st.code(f"python -m fpc_core figure {recipe.kind}.json", language=None, wrap_lines=True)


def render_explore_link(recipe: FigureRecipe) -> None:
    """Render a button that opens the first query in the Lab if it has occluders, otherwise in Explore."""
    first = Item(recipe.queries[0], (*recipe.scenes, Scene())[0]) if recipe.queries else None
    params = View(query=first.query if first else "", settings=recipe.settings).to_params(default_variant())
    if first and first.scene.occluders:
        if st.button("See the first query in the Lab", icon=":material/science:", key="lab"):
            lab_scene.replace_scene(first.scene)
            shared = (given_patches.PARAM,)  # Parameters that have the same name on all pages.
            prefixed = {name if name in shared else f"{LAB}{name}": value for name, value in params.items()}
            st.switch_page("app/pages/lab.py", query_params=prefixed)
        return
    label = "See the first query in Explore" if first else "Open Explore"
    if st.button(label, icon=":material/person_search:", key="explore"):
        st.switch_page("app/pages/explore.py", query_params=params)


def page() -> None:
    workspace = load_workspace_or_stop()
    collected = basket()
    default = collected.settings or QuerySettings(neighbors=workspace.dataset.neighbors, variant=default_variant())
    with st.sidebar:
        loaded = load_recipe()
        if loaded is None:
            settings = compose.chosen_settings(default, workspace.dataset.shortlist)
    status.status_line(workspace, loaded.settings if loaded else settings)
    if loaded is not None:
        st.info("Showing the loaded figure. Remove it in the sidebar to edit your own.")
        render_figure(workspace, loaded)
        return
    recipe = compose.compose_recipe(workspace, collected, settings)
    if recipe is not None:
        render_figure(workspace, recipe)
        render_explore_link(recipe)


run_page(page)
