"""The occlusion lab: put something on a query and watch masks, ranks, shares and transport follow."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading(
    "What does an occluder change?", "Put shapes, poles, textures, paint or another person on a query, and move them."
)

from app.lab import editor, occlusion_curves
from app.lab.editor import CLEAN, OCCLUDED, PREFIX
from app.messages import problem, problems
from app.sections import comparison, ranking, transport
from app.sections.comparison_data import Labels
from app.server import search
from app.server.search import Query
from app.session import lab_scene
from app.ui import controls
from app.ui.page_frame import open_or_explain, run_page
from app.ui.query_picker import asked_view, choose_neighbor, choose_pin, chosen_query
from fpc_core.config import QuerySettings
from fpc_core.data.occluders import Scene
from fpc_core.evaluation.occlusion.study import Relevance
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import Workspace


def results(space: Workspace, query: Query, settings: QuerySettings) -> None:
    """Everything that follows when the scene is let go."""
    scene = lab_scene.desk().scene
    occluded = editor.painted(space, query, scene)
    found = {CLEAN: search.search(space, query, settings), OCCLUDED: search.search(space, occluded, settings)}
    traces = {side: each.trace for side, each in found.items()}
    labels = Labels(space.retriever.memory.records, query.subject, space.dataset.uses_cameras)
    nearest, who = editor.nearest_wrong(space, query, traces[CLEAN]), query.subject.identity
    ranks = {} if who is None else editor.first_matches(traces[CLEAN], traces[OCCLUDED], labels)
    editor.editor(space, query, settings, nearest, ranks)
    editor.take_home(space, query, scene, settings, occluded.image)
    asked, wrong = asked_view(space, "neighbor", "pin")
    problems(wrong)
    chosen = comparison.hits(
        space, query, traces, asked.neighbor, choose_neighbor,
        rankings=("by_distance", "final"), arrows=(OCCLUDED,),
    )  # fmt: skip
    transport.transport(space, occluded, found[OCCLUDED], chosen, asked.pin, choose_pin)
    comparison.parts(space, traces, labels, chosen)
    comparison.shares(traces, labels)
    if who is None:
        st.caption("How much can be covered, and which spot matters, is known of a query with a true match alone.")
        return
    try:
        relevance = Relevance.of(who, query.subject.camera, labels.records)
    except ValueError as error:
        problem(f"No curves and no map: {error}.")
        return
    occlusion_curves.curves(space, query, relevance, scene, settings)
    occlusion_curves.sliding_map(space, query, relevance, scene, settings)


def page() -> None:
    space = open_or_explain()
    link = lab_scene.open_link()
    lab_scene.was_released()
    with st.sidebar:
        query, _ = chosen_query(space, "", f"{PREFIX}query")
        settings = controls.side_settings(
            PREFIX, QuerySettings(neighbors=space.dataset.neighbors), space.dataset.shortlist
        )
        editor.open_recipe(space)
    ranking.status_line(space, settings)
    if link:
        problem(link)
    try:
        results(space, query, settings)
    except RecipeError as error:
        problem(str(error))
        st.button("Start with an empty scene", on_click=lab_scene.put, args=(Scene(),), key="empty-scene")


run_page(page)
