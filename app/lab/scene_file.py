"""Scene files of the Lab: open a saved scene, save the scene and the occluded image, and add them to the figure."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st
from PIL import Image

from app.lab.editor import PREFIX, PROBLEM, cut_outs
from app.server.queues import PAGE_QUEUE
from app.server.search import Query
from app.session import given_patches, lab_scene
from app.session.figure_basket import Item, add_button
from app.session.view import EPSILON, GAMMA, NEIGHBORS, write_slider_params
from app.ui import controls
from app.ui.query_picker import is_dataset_query
from app.ui.refused_file import forget_refusal, refuse, render_refusal, uploader_key
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, TransportSettings
from fpc_core.data.occluders import Scene, SceneRecipe
from fpc_core.figures.recipe import FigureKind
from fpc_core.io.dataclass_json import MAX_BYTES, RecipeError
from fpc_core.workspace import Workspace


def open_recipe(workspace: Workspace) -> None:
    """Render the uploader of a recipe, which replaces the visitor's scene, query and settings."""
    key = uploader_key("lab-recipe")

    def on_upload() -> None:
        forget_refusal("lab-recipe")
        file = st.session_state.get(key)
        if file is None:
            return
        try:
            if file.size > MAX_BYTES:
                raise RecipeError(f"it has {file.size:,} bytes, the maximum is {MAX_BYTES:,}")
            with PAGE_QUEUE.release_while():
                recipe = SceneRecipe.from_json(file.getvalue().decode("utf-8"))
            _apply_recipe(workspace, recipe)
        except (RecipeError, UnicodeDecodeError) as error:
            refuse("lab-recipe", f"{file.name} cannot be used: {error}")

    st.file_uploader(
        "Load scene",
        type="json",
        max_upload_size=1,
        key=key,
        on_change=on_upload,
        help="A JSON file saved here earlier. Restores occluders, query and settings.",
    )
    render_refusal("lab-recipe")


def _apply_recipe(workspace: Workspace, recipe: SceneRecipe) -> None:
    """Replace scene, query and settings by those of a recipe.

    Args:
        workspace: Workspace of the page.
        recipe: Recipe to open.

    Raises:
        RecipeError: The dataset or the page does not support the recipe. Nothing has been changed.
    """
    names = [record.path.as_posix() for record in workspace.dataset.query]
    if recipe.query and recipe.query not in names:
        raise RecipeError(f"its query {recipe.query[:120]!r} is not in this dataset")
    cut_outs(workspace, recipe.scene)
    settings = recipe.settings
    model = settings.prune.of_model
    prune = PruneSettings(model.keep_rate, model.strategy)
    if settings.prune.strategy is DropStrategy.GIVEN:
        if len(settings.prune.given) != len(prune.blocks):
            raise RecipeError(
                f"it drops patches by hand in {len(settings.prune.given)} layers, but this page drops patches in "
                f"{len(prune.blocks)}"
            )
        prune = prune.with_given(settings.prune.given)
        try:
            prune.check_grid(workspace.retriever.model.config.patches)
        except ValueError as error:
            raise RecipeError(f"the patches dropped by hand do not fit this model: {error}") from error
    supported = QuerySettings(
        prune,
        TransportSettings(settings.transport.solver, settings.transport.epsilon),
        settings.variant,
        settings.alpha,
        settings.neighbors,
        settings.shortlist,
    )
    within = (
        GAMMA[0] <= settings.prune.keep_rate <= GAMMA[1]
        and EPSILON[0] <= settings.transport.epsilon <= EPSILON[1]
        and settings.neighbors <= min(NEIGHBORS[1], len(workspace.dataset.gallery))
    )
    if settings != supported or not within:
        raise RecipeError(
            "its settings are not supported here: keep rate, epsilon or K is out of range, or blocks, seed, "
            "tolerance or iterations are not the defaults"
        )
    if recipe.query:
        st.session_state[f"{PREFIX}query"] = recipe.query
    controls.set_side_widgets(PREFIX, settings, workspace.dataset.shortlist)
    write_slider_params(st.query_params, {given_patches.PARAM: given_patches.to_param(settings.prune)})
    lab_scene.replace_scene(recipe.scene)
    weights = workspace.weights_fingerprint
    if recipe.weights not in ("", weights):
        st.session_state[PROBLEM] = (
            f"The scene was saved with the weights {recipe.weights[:12]}, but the app uses {weights[:12]}. "
            "Results will differ."
        )


def render_downloads(
    workspace: Workspace, query: Query, scene: Scene, settings: QuerySettings, image: np.ndarray
) -> None:
    """Render downloads of the scene and of the occluded image, and buttons that add them to the figure.

    Args:
        workspace: Workspace of the query.
        query: Query without occluders.
        scene: Occluders on the query.
        settings: Query settings.
        image: (H, W, 3) uint8 query with occluders.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    weights = workspace.weights_fingerprint
    recipe = SceneRecipe(scene, query.name if is_dataset_query(query) else "", settings, weights)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Save scene (JSON)",
            recipe.to_json(),
            "scene.json",
            "application/json",
            icon=":material/receipt_long:",
            key="scene",
            help="Saves occluders, query and settings so that you can reopen them here.",
        )
        st.download_button(
            "Download occluded image (PNG)",
            buffer.getvalue(),
            "occluded.png",
            "image/png",
            icon=":material/image:",
            key="png",
            help="At the model's input size. Upload it on Explore to analyse it fully.",
        )
        if is_dataset_query(query):
            add_button(Item(query.name, scene), settings, FigureKind.DROP_PROCESS, what="masks", key="-masks")
            add_button(Item(query.name, scene), settings, FigureKind.RANKED_LIST, what="ranked lists", key="-hits")
        if not lab_scene.fits_link(scene):
            st.caption("This scene is too large for a link. Save it as a file instead.")
