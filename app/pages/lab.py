"""Lab page: cover parts of a query with occluders and see how masks, ranks and transport change."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.layout import heading

heading(
    "What happens when you cover the person?",
    "Add shapes, poles, textures, paint or another person to a query and move them around.",
)

from app.lab import editor, occlusion_curves, scene_file
from app.lab.editor import CLEAN, OCCLUDED, PREFIX
from app.messages import show_warning, show_warnings
from app.sections import by_hand, comparison, transport
from app.server import search
from app.server.search import Query
from app.session import given_patches, lab_scene
from app.ui import controls, status
from app.ui.page_frame import load_workspace_or_stop, run_page
from app.ui.query_picker import choose_neighbor, choose_pin, pick_query, view_from_url
from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.data.match_rule import MatchRule
from fpc_core.data.occluders import Scene
from fpc_core.evaluation.occlusion.study import Relevance
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import Workspace


def render_results(workspace: Workspace, query: Query, settings: QuerySettings) -> None:
    """Render the editor and all sections that depend on the scene.

    Args:
        workspace: Workspace of the query.
        query: Query without occluders.
        settings: Query settings.
    """
    scene = lab_scene.current_scene().scene
    occluded = editor.with_occluders(workspace, query, scene)
    search_results = {
        CLEAN: search.search(workspace, query, settings),
        OCCLUDED: search.search(workspace, occluded, settings),
    }
    traces = {side: result.trace for side, result in search_results.items()}
    rule = MatchRule(workspace.retriever.memory.records, query.subject, workspace.dataset.excludes_own_camera)
    nearest, identity = editor.nearest_wrong(workspace, query, traces[CLEAN]), query.subject.identity
    ranks = {} if identity is None else editor.first_matches(traces[CLEAN], traces[OCCLUDED], rule)
    editor.editor(workspace, query, settings, nearest, ranks)
    scene_file.render_downloads(workspace, query, scene, settings, occluded.image)
    view, problems = view_from_url(workspace, "neighbor", "pin")
    show_warnings(problems)
    chosen = comparison.hits(
        workspace,
        query,
        traces,
        view.neighbor,
        choose_neighbor,
        rankings=("by_distance", "final"),
        with_other_rank=(OCCLUDED,),
    )
    if settings.prune.strategy is DropStrategy.GIVEN:
        st.header("Did you prune better than the model?", anchor="by-hand")
        by_hand.render_comparison(workspace, occluded, settings, chosen, truth=False)
    st.header("Patch matching (optimal transport)", anchor="transport")
    transport.transport(workspace, occluded, search_results[OCCLUDED], chosen, view.pin, choose_pin)
    config = workspace.retriever.model.config
    comparison.parts((config, config), traces, rule, chosen)
    comparison.shares(traces, rule)
    if identity is None:
        st.caption("The occlusion curves and the sensitivity map need a query whose person is known.")
        return
    try:
        camera = query.subject.camera if rule.uses_cameras else None
        own = -1 if query.subject.path is None else workspace.dataset.own_rows[query.subject.path]
        relevance = Relevance.of(identity, camera, rule.records, own)
    except ValueError as error:
        show_warning(f"The curves and the map cannot be computed: {error}.")
        return
    # Patches that were chosen by hand for one scene do not fit other scenes.
    model = replace(settings, prune=settings.prune.of_model)
    if model != settings:
        st.caption("You prune by hand. Curves and map show other scenes, so the model chooses the patches there.")
    occlusion_curves.curves(workspace, query, relevance, scene, model)
    occlusion_curves.sliding_map(workspace, query, relevance, scene, model)


def page() -> None:
    workspace = load_workspace_or_stop()
    link_problem = lab_scene.load_link()
    lab_scene.pop_released()
    with st.sidebar:
        query, missing = pick_query(
            workspace, st.query_params.get(f"{PREFIX}query", ""), f"{PREFIX}query", searches_own=False
        )
        settings = controls.side_settings(
            PREFIX, QuerySettings(neighbors=workspace.dataset.neighbors), workspace.dataset.shortlist, by_hand=True
        )
        scene_file.open_recipe(workspace)
    view, problems = view_from_url(workspace, given_patches.PARAM)
    settings = controls.with_given_patches(settings, view.settings)
    status.status_line(workspace, settings)
    show_warnings((*missing, *problems))
    if link_problem:
        show_warning(link_problem)
    try:
        render_results(workspace, query, settings)
    except RecipeError as error:
        show_warning(str(error))
        st.button("Start with an empty scene", on_click=lab_scene.replace_scene, args=(Scene(),), key="empty-scene")


run_page(page)
